package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/store"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

const day = 24 * time.Hour

// node opens a database as a server does that was started at now.
func node(t *testing.T, database string, file vault.Key, now time.Time) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{Database: database, Key: file, Now: now, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

// dataKeys lists the data keys of a purpose, and returns the key that now seals values.
func dataKeys(t *testing.T, db *store.DB, purpose vault.Purpose) (ids []int64, current int64) {
	t.Helper()
	keys, err := db.Vault().Status()
	must(t, err)
	for _, k := range keys.Data {
		if k.Purpose == purpose {
			ids = append(ids, k.ID)
		}
		if k.Purpose == purpose && k.Current {
			current = k.ID
		}
	}
	return ids, current
}

// sealedPIN reads the sealed PIN of a verification.
func sealedPIN(t *testing.T, database string, id verify.ID) []byte {
	t.Helper()
	return field(document(t, database, id), pinPath...)
}

// sealedCode reads the sealed code of the first check of a verification.
func sealedCode(t *testing.T, database string, id verify.ID) []byte {
	t.Helper()
	return field(document(t, database, id), codePath...)
}

// TestKeysOfTheDay: one node makes the keys of a day. Another node opens their values before
// it has refreshed its keys.
func TestKeysOfTheDay(t *testing.T) {
	engines(t, func(t *testing.T, database string) {
		a, b := node(t, database, key, t0), node(t, database, key, t0)
		addAccount(t, a, "demo0001", 0)
		first := begin(t, a, request("demo0001", "447700900000"), t0)
		midnight := t0.Truncate(day).Add(day)
		must(t, a.Vault().Refresh(t.Context(), midnight.Add(-ms)))
		if ids, _ := dataKeys(t, b, "pin"); len(ids) != 1 {
			t.Fatalf("keys for PINs: %v, want one on the first day", ids)
		}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { must(t, a.Vault().Refresh(t.Context(), midnight)) })
		}
		wg.Wait()
		second := begin(t, a, request("demo0001", "447700900001"), midnight)
		second = checked(t, a, second, pin(t, "12345"), "", midnight)
		if got := get(t, b, second.ID); got.PIN != second.PIN {
			t.Errorf("another node opens %q, want %q", got.PIN.Reveal(), second.PIN.Reveal())
		}
		must(t, b.Vault().Refresh(t.Context(), midnight.Add(time.Minute)))
		ids, current := dataKeys(t, b, "pin")
		codes, currentCode := dataKeys(t, b, "code")
		if len(ids) != 2 || current != ids[1] || len(codes) != 2 || currentCode != codes[1] {
			t.Errorf("keys %v and %v, in use %d and %d; want two, and the newest used", ids, codes, current, currentCode)
		}
		if got := get(t, b, first.ID); got.PIN != first.PIN {
			t.Errorf("the PIN of yesterday is %q, want %q", got.PIN.Reveal(), first.PIN.Reveal())
		}
		for _, tt := range []struct {
			what   string
			sealed []byte
			key    int64
		}{
			{"the PIN of yesterday", sealedPIN(t, database, first.ID), ids[0]},
			{"the PIN", sealedPIN(t, database, second.ID), ids[1]},
			{"the code", sealedCode(t, database, second.ID), codes[1]},
		} {
			if got := int64(binary.BigEndian.Uint64(tt.sealed)); got != tt.key {
				t.Errorf("%s is sealed with key %d, want %d", tt.what, got, tt.key)
			}
		}
		must(t, b.Vault().NewDataKeys(t.Context(), midnight.Add(time.Minute)))
		if ids, current := dataKeys(t, a, "pin"); len(ids) != 3 || current != ids[2] {
			t.Errorf("after a fresh one: %v, %d is used", ids, current)
		}
	})
}

// TestKeysDestroyed: a data key exists while a stored value needs it. After its destruction no
// copy of its values can be opened.
func TestKeysDestroyed(t *testing.T) {
	engines(t, func(t *testing.T, database string) {
		db := node(t, database, key, t0)
		addAccount(t, db, "demo0001", 0)
		v := sent(t, db, request("demo0001", "447700900000"), t0)
		v = checked(t, db, v, pin(t, "12345"), "", t0)
		lost, lostCode := sealedPIN(t, database, v.ID), sealedCode(t, database, v.ID)
		next := t0.Truncate(day).Add(day)
		must(t, db.Vault().Refresh(t.Context(), next))
		destroy := func(now time.Time, codes time.Duration, want int) {
			t.Helper()
			if n, err := db.Vault().DestroyDataKeys(t.Context(), now, codes); n != want || err != nil {
				t.Errorf("%v after midnight %d were destroyed (%v), want %d", now.Sub(next), n, err, want)
			}
		}
		destroy(next.Add(30*day), day, 0) // the verification is in progress
		same(t, db, v)
		cancelled(t, db, v, t0.Add(time.Minute))
		if id := sealedCode(t, database, v.ID)[:8]; !bytes.Equal(id, lostCode[:8]) { // id of the data key
			t.Error("the code of yesterday was sealed again with the key of today")
		}
		destroy(next.Add(time.Hour-ms), day, 0)
		destroy(next.Add(time.Hour), day, 1) // the key of PINs
		destroy(next.Add(40*day), 0, 0)      // codes are kept forever
		destroy(next.Add(40*day), day, 0)    // the code has not moved yet
		if v := find(t, db, v.ID); v.Checks[0].Code != pin(t, "12345") {
			t.Errorf("the code is %q", v.Checks[0].Code.Reveal())
		}
		other := begin(t, db, request("demo0001", "447700900001"), next.Add(time.Hour))
		archive(t, db, store.Cutoffs{Codes: t0.Add(day)}, 10, 1)
		destroy(next.Add(31*time.Hour-ms), day, 0)
		destroy(next.Add(31*time.Hour), day, 1)
		destroy(next.Add(90*day), day, 0) // the newest stay
		if got := get(t, db, other.ID); got.PIN != other.PIN {
			t.Errorf("a PIN of the newest key is %q", got.PIN.Reveal())
		}

		// A copy of the old row, such as from a backup.
		tamper(t, database, other.ID, withField(document(t, database, other.ID), lost, pinPath...))
		if _, _, err := db.Verification(t.Context(), other.ID); err == nil || !strings.Contains(err.Error(), "destroyed") {
			t.Errorf("search: %v, want that its key was destroyed", err)
		}
		checked(t, db, other, pin(t, "54321"), "", next.Add(time.Hour))
		doc := withField(document(t, database, other.ID), nil, pinPath...)
		tamper(t, database, other.ID, withField(doc, lostCode, codePath...))
		if v := find(t, db, other.ID); !v.Checks[0].Code.IsZero() {
			t.Errorf("a code with a destroyed key is %q", v.Checks[0].Code.Reveal())
		}
	})
}

// signed adds an account with both kinds of secrets. secretsWork checks that both are still
// valid.
func signed(t *testing.T, db *store.DB) {
	t.Helper()
	must(t, db.CreateAccount(t.Context(), store.NewAccount{
		Account: verify.Account{Key: "sign0001"}, Secret: "secret", SignatureMethod: "sha256", SignatureSecret: "signature",
	}, t0))
}

func secretsWork(t *testing.T, db *store.DB) {
	t.Helper()
	c, err := db.Credentials(t.Context(), "sign0001")
	if err != nil || !c.HasSecret("secret", t0) || c.HasSecret("other", t0) || c.SignatureSecret != "signature" {
		t.Errorf("secret %v, other %v, signature secret %q (%v)", c.HasSecret("secret", t0), c.HasSecret("other", t0), c.SignatureSecret, err)
	}
}

// TestKeyFileReplaced: a key file is replaced while servers run. Until the end of the
// rotation both key files open the database, afterwards only the new one.
func TestKeyFileReplaced(t *testing.T) {
	engines(t, func(t *testing.T, database string) {
		next, onDisk := vault.NewKey(), key
		refuses := func(file vault.Key) {
			t.Helper()
			db, err := open(t, database, file, false)
			if err == nil {
				must(t, db.Close())
			}
			if !errors.Is(err, vault.ErrKey) {
				t.Errorf("open: %v, want ErrKey", err)
			}
		}
		server, err := store.Open(t.Context(), store.Config{
			Database: database, Key: key, Now: t0, Log: slog.New(slog.DiscardHandler),
			ReadKey: func() (vault.Key, error) { return onDisk, nil },
		})
		must(t, err)
		t.Cleanup(func() { must(t, server.Close()) })
		signed(t, server)
		addAccount(t, server, "demo0001", 0)
		v := begin(t, server, request("demo0001", "447700900000"), t0)
		works := func(db *store.DB) {
			t.Helper()
			secretsWork(t, db)
			if got := get(t, db, v.ID); got.PIN != v.PIN {
				t.Errorf("the PIN is %q, want %q", got.PIN.Reveal(), v.PIN.Reveal())
			}
		}
		refuses(next)

		tool := node(t, database, key, t0)
		for what, err := range map[string]error{
			"finish": tool.Vault().FinishKeyFile(t.Context(), t0, true), "abort": tool.Vault().AbortKeyFile(t.Context(), t0, true),
		} {
			if !errors.Is(err, vault.ErrNotRotating) {
				t.Errorf("%s without a rotation: %v, want ErrNotRotating", what, err)
			}
		}
		if err := tool.Vault().AddKeyFile(t.Context(), key, at(1)); !errors.Is(err, vault.ErrSameKey) {
			t.Errorf("the same key file again: %v, want ErrSameKey", err)
		}
		must(t, tool.Vault().AddKeyFile(t.Context(), next, at(1)))
		if err := tool.Vault().AddKeyFile(t.Context(), vault.NewKey(), at(1)); !errors.Is(err, vault.ErrRotating) {
			t.Errorf("a third key file: %v, want ErrRotating", err)
		}
		works(server)
		works(node(t, database, key, at(2)))
		newer := node(t, database, next, at(2))
		works(newer)
		must(t, newer.Vault().NewDataKeys(t.Context(), at(3))) // the old file opens the new keys as well
		v = begin(t, newer, request("demo0001", "447700900001"), at(3))
		works(server)

		if err := tool.Vault().FinishKeyFile(t.Context(), at(1e6), false); !errors.Is(err, vault.ErrOtherKey) {
			t.Errorf("finish with the old file: %v, want ErrOtherKey", err)
		}
		must(t, server.Vault().Refresh(t.Context(), at(61)))
		if err := newer.Vault().FinishKeyFile(t.Context(), at(61+179), false); !errors.Is(err, vault.ErrKeyInUse) {
			t.Errorf("finish while a server has the old file: %v, want ErrKeyInUse", err)
		}
		onDisk = next
		must(t, server.Vault().Refresh(t.Context(), at(121)))
		keys, err := server.Vault().Status()
		must(t, err)
		if len(keys.Files) != 2 || keys.Files[0].Ours || !keys.Files[1].Ours || !keys.Files[1].UsedAt.Equal(at(121).Truncate(ms)) ||
			keys.Files[0].Fingerprint != key.Fingerprint() || keys.Files[1].Fingerprint != next.Fingerprint() {
			t.Errorf("key files %+v, want the second used by the server", keys.Files)
		}
		must(t, newer.Vault().FinishKeyFile(t.Context(), at(61+181), false))
		refuses(key)
		works(server)
		works(node(t, database, next, at(300)))
		must(t, server.Vault().Refresh(t.Context(), at(0).Add(day)))
		v = begin(t, server, request("demo0001", "447700900002"), at(300))
		works(newer)

		// And back to the first key file.
		must(t, newer.Vault().AddKeyFile(t.Context(), key, at(400)))
		must(t, newer.Vault().AbortKeyFile(t.Context(), at(400), true))
		refuses(key)
		works(newer)
	})
}

// TestKeyFileParallel: of several processes that add a key file at the same time, one succeeds,
// and its key file opens the database.
func TestKeyFileParallel(t *testing.T) {
	engines(t, func(t *testing.T, database string) {
		var wg sync.WaitGroup
		var added atomic.Int32
		tools := make([]*store.DB, 8)
		for i := range tools {
			tools[i] = node(t, database, key, t0)
		}
		for _, tool := range tools {
			next := vault.NewKey()
			wg.Go(func() {
				switch err := tool.Vault().AddKeyFile(t.Context(), next, at(1)); {
				case err == nil:
					added.Add(1)
					opens(t, database, next)
				case !errors.Is(err, vault.ErrRotating):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if added.Load() != 1 {
			t.Errorf("%d key files were added, want 1", added.Load())
		}
		opens(t, database, key)
	})
}

// opens fails the test if a key file does not open a database.
func opens(t *testing.T, database string, file vault.Key) {
	t.Helper()
	db, err := open(t, database, file, false)
	if err != nil {
		t.Error(err)
		return
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// TestKeyFileForced: a server with a removed key file continues with its cached keys and logs
// the failure. It recovers after its key file is replaced by the new one.
func TestKeyFileForced(t *testing.T) {
	engines(t, func(t *testing.T, database string) {
		next, onDisk := vault.NewKey(), key
		server, err := store.Open(t.Context(), store.Config{
			Database: database, Key: key, Now: t0, Log: slog.New(slog.DiscardHandler),
			ReadKey: func() (vault.Key, error) { return onDisk, nil },
		})
		must(t, err)
		t.Cleanup(func() { must(t, server.Close()) })
		addAccount(t, server, "demo0001", 0)
		v := begin(t, server, request("demo0001", "447700900000"), t0)
		must(t, node(t, database, key, t0).Vault().AddKeyFile(t.Context(), next, at(1)))
		tool := node(t, database, next, at(2))
		must(t, tool.Vault().FinishKeyFile(t.Context(), at(2), true))
		if got := get(t, server, v.ID); got.PIN != v.PIN {
			t.Errorf("the PIN is %q, want %q", got.PIN.Reveal(), v.PIN.Reveal())
		}
		if err := server.Vault().Refresh(t.Context(), at(3)); !errors.Is(err, vault.ErrKey) {
			t.Errorf("refresh: %v, want ErrKey", err)
		}
		must(t, tool.Vault().NewDataKeys(t.Context(), at(4)))
		v = begin(t, tool, request("demo0001", "447700900001"), at(4))
		if err := server.Write(t.Context(), store.Scope{}, func(tx *store.Tx) error {
			return fails3(tx.Verification(v.ID))
		}); !errors.Is(err, vault.ErrKey) || errors.Is(err, store.ErrBroken) {
			t.Errorf("PIN sealed by another node: %v, want ErrKey, not ErrBroken", err)
		}
		onDisk = next
		if got := get(t, server, v.ID); got.PIN != v.PIN {
			t.Errorf("the PIN is %q, want %q", got.PIN.Reveal(), v.PIN.Reveal())
		}
	})
}

// TestKeysOfBackup: values of destroyed keys are unreadable in old backups as well, once the
// key file of that time is lost.
func TestKeysOfBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, old, during := filepath.Join(dir, "db"), filepath.Join(dir, "old"), filepath.Join(dir, "during")
	db, next := node(t, path, key, t0), vault.NewKey()
	backup(t, db, old)
	must(t, db.Vault().AddKeyFile(t.Context(), next, at(1)))
	backup(t, db, during)
	must(t, node(t, path, next, at(2)).Vault().FinishKeyFile(t.Context(), at(2), true))
	if _, err := open(t, old, next, false); !errors.Is(err, vault.ErrKey) {
		t.Errorf("a backup of before: %v, want ErrKey", err)
	}
	// No two keys have the same sealed form, which would link them.
	var seen [][]byte
	for _, file := range []string{path, old, during} {
		for _, value := range sealedKeys(t, file) {
			if slices.ContainsFunc(seen, func(b []byte) bool { return bytes.Equal(b, value) }) {
				t.Errorf("%s has a sealed key of another file", file)
			}
			seen = append(seen, value)
		}
	}
}

// sealedKeys returns all sealed keys of a file.
func sealedKeys(t *testing.T, file string) (values [][]byte) {
	t.Helper()
	rows, err := raw(t, file).QueryContext(t.Context(), `SELECT sealed FROM data_keys UNION ALL SELECT master FROM key_files`)
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var value []byte
		must(t, rows.Scan(&value))
		values = append(values, value)
	}
	must(t, rows.Err())
	return values
}
