package vault_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"countersign/internal/vault"
	"countersign/internal/verify"
)

const (
	day     = 24 * time.Hour
	longest = 6 * time.Hour
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)

func at(s float64) time.Time { return t0.Add(time.Duration(s * float64(time.Second))) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// memory keeps the rows of a vault in memory.
type memory struct {
	mu     sync.Mutex
	rows   vault.Rows
	sealed bool  // result of SealedBefore
	fault  error // result of each call
}

func (m *memory) ReadKeys(context.Context) (vault.Rows, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rows, m.fault
}

func (m *memory) ChangeKeys(_ context.Context, change func(vault.Rows) (vault.Rows, error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault != nil {
		return m.fault
	}
	before := vault.Rows{Files: slices.Clone(m.rows.Files), DataKeys: slices.Clone(m.rows.DataKeys), Check: m.rows.Check}
	for range 2 { // as after a rollback
		next, err := change(before)
		if err != nil {
			return err
		}
		m.rows = next
	}
	return nil
}

func (m *memory) SealedBefore(context.Context, vault.Purpose, time.Time, time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sealed, m.fault
}

// open opens the rows of m as a process that was started at now.
func (m *memory) open(t *testing.T, key vault.Key, now time.Time) *vault.Vault {
	t.Helper()
	rows, err := m.ReadKeys(t.Context())
	must(t, err)
	v, err := vault.Open(rows, vault.Config{Key: key, Records: m, Log: slog.New(slog.DiscardHandler), Longest: longest}, now)
	must(t, err)
	return v
}

func (m *memory) refuses(t *testing.T, key vault.Key) {
	t.Helper()
	if _, err := vault.Open(m.rows, vault.Config{Key: key, Records: m}, t0); !errors.Is(err, vault.ErrKey) {
		t.Errorf("open: %v, want ErrKey", err)
	}
}

func pin(t *testing.T, digits string) verify.PIN {
	t.Helper()
	p, ok := verify.ParsePIN(digits)
	if !ok {
		t.Fatal(digits)
	}
	return p
}

// count returns the number of data keys of a purpose and the id of the key in use.
func count(t *testing.T, v *vault.Vault, p vault.Purpose) (n int, current int64) {
	t.Helper()
	s, err := v.Status()
	must(t, err)
	for _, k := range s.Data {
		if k.Purpose == p {
			n++
			if k.Current {
				current = k.ID
			}
		}
	}
	return n, current
}

// TestPlaces: a sealed value opens in its place only.
func TestPlaces(t *testing.T) {
	t.Parallel()
	key := vault.NewKey()
	s := (&memory{rows: vault.Create(key, t0)}).open(t, key, t0).Sealer()
	id, other := verify.NewID(rand.Reader), verify.NewID(rand.Reader)
	sealed := s.SealPIN(pin(t, "482100"), id, 1)
	code := s.SealCode(verify.Check{Code: pin(t, "1234"), Generation: 1, ReceivedAt: t0}, id)
	for name, tt := range map[string]struct {
		sealed     []byte
		id         verify.ID
		generation int
		want       string // "" for an error
	}{
		"PIN":                {sealed, id, 1, "482100"},
		"Code":               {code, id, 1, "1234"},
		"AnotherID":          {sealed, other, 1, ""},
		"AnotherGeneration":  {sealed, id, 2, ""},
		"KeyOfCodes":         {slices.Concat(code[:8], sealed[8:]), id, 1, ""},
		"KeyThatIsDestroyed": {slices.Concat([]byte{0, 0, 0, 0, 0, 0, 0, 99}, sealed[8:]), id, 1, ""},
		"Changed":            {slices.Concat(sealed[:20], []byte{sealed[20] ^ 1}, sealed[21:]), id, 1, ""},
		"Short":              {sealed[:20], id, 1, ""},
		"Empty":              {[]byte{}, id, 1, ""},
	} {
		got, err := s.OpenPIN(tt.sealed, tt.id, tt.generation)
		if got.Reveal() != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: %q, %v; want %q", name, got.Reveal(), err, tt.want)
		}
	}
	if again := s.SealPIN(pin(t, "482100"), id, 1); bytes.Equal(again, sealed) {
		t.Error("a PIN is sealed twice with the same result")
	}
	if got, err := s.OpenPIN(nil, id, 1); !got.IsZero() || err != nil || s.SealPIN(verify.PIN{}, id, 1) != nil {
		t.Errorf("no PIN: %q, %v", got.Reveal(), err)
	}
	if got, err := s.OpenSecret(s.SealSecret("secret", "a"), "a"); got != "secret" || err != nil {
		t.Errorf("secret %q, %v", got, err)
	}
	if got, err := s.OpenSecret(s.SealSecret("secret", "a"), "b"); got != "" || err == nil {
		t.Errorf("the secret of another account: %q, %v", got, err)
	}
	if bytes.Equal(s.HashSecret("a", "secret"), s.HashSecret("b", "secret")) || s.HashNumber("447700900000") == s.HashNumber("447700900001") {
		t.Error("two values have one hash")
	}
	if s.HashNumber("5491123456789") != s.HashNumber("541123456789") {
		t.Error("two forms of a number have two hashes")
	}
}

// TestNewDay: one of several processes makes the data keys of a day; the others open values
// that were sealed with them.
func TestNewDay(t *testing.T) {
	t.Parallel()
	key, midnight := vault.NewKey(), t0.Truncate(day).Add(day)
	m := &memory{rows: vault.Create(key, t0)}
	a, b := m.open(t, key, t0), m.open(t, key, t0)
	must(t, a.Refresh(t.Context(), midnight.Add(-time.Millisecond)))
	if n, _ := count(t, a, vault.ForPIN); n != 1 {
		t.Errorf("%d keys on the first day, want 1", n)
	}
	for _, v := range []*vault.Vault{a, b, a} {
		must(t, v.Refresh(t.Context(), midnight))
	}
	for _, p := range []vault.Purpose{vault.ForPIN, vault.ForCode} {
		if n, current := count(t, a, p); n != 2 || current < 5 {
			t.Errorf("%s: %d keys, %d in use; want 2, the newest in use", p, n, current)
		}
	}
	must(t, a.NewDataKeys(t.Context(), midnight.Add(-time.Second))) // its clock is slow
	_, current := count(t, b, vault.ForPIN)
	id := verify.NewID(rand.Reader)
	sealed := a.Sealer().SealPIN(pin(t, "4821"), id, 1)
	if got, err := b.Sealer().OpenPIN(sealed, id, 1); got.Reveal() != "4821" || err != nil || int64(sealed[7]) != current {
		t.Errorf("PIN %q (%v) with key %d; want key %d", got.Reveal(), err, sealed[7], current)
	}
	old := a.Sealer().SealCode(verify.Check{Code: pin(t, "4821"), Generation: 1, ReceivedAt: t0}, id)
	if old[7] != 4 {
		t.Errorf("a code of yesterday is sealed with key %d, want 4", old[7])
	}
	m.fault = errors.New("no connection")
	if _, err := m.openOld(t, key).OpenPIN(sealed, id, 1); !errors.Is(err, vault.ErrUnavailable) || !errors.Is(err, m.fault) {
		t.Errorf("without a database: %v, want ErrUnavailable", err)
	}
}

// openOld returns the sealer of a process that does not know the newest data keys.
func (m *memory) openOld(t *testing.T, key vault.Key) *vault.Sealer {
	t.Helper()
	rows := m.rows
	rows.DataKeys = rows.DataKeys[:4]
	v, err := vault.Open(rows, vault.Config{Key: key, Records: m}, t0)
	must(t, err)
	return v.Sealer()
}

// TestDestroy: a replaced data key is destroyed an hour after its replacement if no value
// needs it, a key of codes only after their time.
func TestDestroy(t *testing.T) {
	t.Parallel()
	key, midnight := vault.NewKey(), t0.Truncate(day).Add(day)
	m := &memory{rows: vault.Create(key, t0), sealed: true}
	v := m.open(t, key, t0)
	id := verify.NewID(rand.Reader)
	sealed := v.Sealer().SealPIN(pin(t, "4821"), id, 1)
	code := v.Sealer().SealCode(verify.Check{Code: pin(t, "4821"), Generation: 1, ReceivedAt: t0}, id)
	must(t, v.Refresh(t.Context(), midnight))
	for i, tt := range []struct {
		now    time.Time
		codes  time.Duration
		sealed bool
		want   int
	}{
		{midnight.Add(90 * day), day, true, 0},
		{midnight.Add(time.Hour - 1), day, false, 0},
		{midnight.Add(time.Hour), day, false, 1},
		{midnight.Add(90 * day), 0, false, 0},
		{midnight.Add(time.Hour + longest + day - 1), day, false, 0},
		{midnight.Add(time.Hour + longest + day), day, true, 0},
		{midnight.Add(time.Hour + longest + day), day, false, 1},
		{midnight.Add(90 * day), day, false, 0},
	} {
		m.sealed = tt.sealed
		if n, err := v.DestroyDataKeys(t.Context(), tt.now, tt.codes); n != tt.want || err != nil {
			t.Errorf("step %d: %d destroyed (%v), want %d", i, n, err, tt.want)
		}
	}
	if got, err := v.Sealer().OpenPIN(sealed, id, 1); !errors.Is(err, vault.ErrDestroyed) {
		t.Errorf("PIN of a destroyed key: %q, %v", got.Reveal(), err)
	}
	if got, err := v.Sealer().OpenCode(code, id, 1); !got.IsZero() || err != nil {
		t.Errorf("code of a destroyed key: %q, %v", got.Reveal(), err)
	}
}

// TestReplaceKeyFile replaces the key file while a server runs.
func TestReplaceKeyFile(t *testing.T) {
	t.Parallel()
	old, next := vault.NewKey(), vault.NewKey()
	m := &memory{rows: vault.Create(old, t0)}
	onDisk, missing := old, true
	server, err := vault.Open(m.rows, vault.Config{
		Key: old, Records: m, Log: slog.New(slog.DiscardHandler), Longest: longest,
		ReadKey: func() (vault.Key, error) {
			if missing {
				return vault.Key{}, fs.ErrNotExist
			}
			return onDisk, nil
		},
	}, t0)
	must(t, err)
	tool := m.open(t, old, t0)
	wants := func(what string, got, want error) {
		t.Helper()
		if !errors.Is(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	m.refuses(t, next)
	wants("finish without a start", tool.FinishKeyFile(t.Context(), t0, true), vault.ErrNotRotating)
	wants("add the same", tool.AddKeyFile(t.Context(), old, t0), vault.ErrSameKey)
	before := m.rows
	must(t, tool.AddKeyFile(t.Context(), next, t0))
	wants("add a third", tool.AddKeyFile(t.Context(), vault.NewKey(), t0), vault.ErrRotating)
	for i := range before.DataKeys {
		if bytes.Equal(before.DataKeys[i].Sealed, m.rows.DataKeys[i].Sealed) {
			t.Errorf("data key %d is sealed with the old master key", i)
		}
	}
	newer := m.open(t, next, at(1))
	wants("finish with the old file", tool.FinishKeyFile(t.Context(), at(1e6), false), vault.ErrOtherKey)
	wants("abort with the new file", newer.AbortKeyFile(t.Context(), at(1e6), false), vault.ErrOtherKey)
	must(t, server.Refresh(t.Context(), at(60))) // without a file on the disk
	missing = false
	wants("finish after a report", newer.FinishKeyFile(t.Context(), at(60+179), false), vault.ErrKeyInUse)
	onDisk = vault.NewKey()
	wants("refresh with another key", server.Refresh(t.Context(), at(120)), vault.ErrKey)
	onDisk = next
	must(t, server.Refresh(t.Context(), at(180)))
	s, err := server.Status()
	must(t, err)
	if len(s.Files) != 2 || s.Files[0].Fingerprint != old.Fingerprint() || !s.Files[1].Ours || !s.Files[1].UsedAt.Equal(at(180)) {
		t.Errorf("key files %+v, want the second in use", s.Files)
	}
	must(t, newer.FinishKeyFile(t.Context(), at(120+180), false))
	m.refuses(t, old)
	m.open(t, next, at(400))
	must(t, server.Refresh(t.Context(), at(400)))
	must(t, newer.AddKeyFile(t.Context(), old, at(500)))
	must(t, newer.AbortKeyFile(t.Context(), at(500), false))
	m.refuses(t, old)
	if _, err := vault.Open(before, vault.Config{Key: next}, t0); !errors.Is(err, vault.ErrKey) {
		t.Errorf("rows from before the replacement: %v, want ErrKey", err)
	}
}

// TestOpenRefuses: rows that are incomplete or of two databases do not open.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	key := vault.NewKey()
	for name, spoil := range map[string]func(r *vault.Rows, other vault.Rows){
		"NoFile":       func(r *vault.Rows, _ vault.Rows) { r.Files = nil },
		"NoKeys":       func(r *vault.Rows, _ vault.Rows) { r.DataKeys = nil },
		"NoKeyForPIN":  func(r *vault.Rows, _ vault.Rows) { r.DataKeys = slices.Delete(r.DataKeys, 2, 3) },
		"NoCheck":      func(r *vault.Rows, _ vault.Rows) { r.Check = nil },
		"OtherCheck":   func(r *vault.Rows, other vault.Rows) { r.Check = other.Check },
		"OtherKey":     func(r *vault.Rows, other vault.Rows) { r.DataKeys[1].Sealed = other.DataKeys[1].Sealed },
		"OtherMaster":  func(r *vault.Rows, other vault.Rows) { r.Files[0].Master = other.Files[0].Master },
		"OtherPurpose": func(r *vault.Rows, _ vault.Rows) { r.DataKeys[2].Purpose = vault.ForCode },
		"OtherID":      func(r *vault.Rows, _ vault.Rows) { r.DataKeys[2].ID = 9 },
	} {
		rows := vault.Create(key, t0)
		spoil(&rows, vault.Create(key, t0))
		if _, err := vault.Open(rows, vault.Config{Key: key}, t0); !errors.Is(err, vault.ErrKey) {
			t.Errorf("%s: %v, want ErrKey", name, err)
		}
	}
}
