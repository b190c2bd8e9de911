package store_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/verify"
)

const day = 24 * time.Hour

// node opens a database as a server does that was started at now.
func node(t *testing.T, database string, file store.Key, now time.Time) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{Database: database, Key: file, Now: now, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

// dataKeys lists the data keys of a purpose, and which of them is sealed with.
func dataKeys(t *testing.T, db *store.DB, purpose string) (ids []int64, current int64) {
	t.Helper()
	keys, err := db.Keys(t.Context())
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

// sealed reads what is stored of the PIN of a verification, or of its first check.
func sealed(t *testing.T, database, query string, id verify.ID) (value []byte) {
	t.Helper()
	db, err := pgtest.Open(database)
	must(t, err)
	defer db.Close()
	must(t, db.QueryRowContext(t.Context(), query, id[:]).Scan(&value))
	return value
}

const (
	pinOf  = `SELECT pin FROM verifications WHERE id = $1`
	codeOf = `SELECT code FROM checks WHERE verification = $1 AND seq = 0`
)

// typed adds a check to a verification.
func typed(t *testing.T, db *store.DB, id verify.ID, code string, at time.Time) {
	t.Helper()
	write(t, db, func(tx *store.Tx) error {
		return tx.AddCheck(verify.Check{Verification: id, Generation: 1, Code: pin(t, code), ReceivedAt: at})
	})
}

// TestKeysOfTheDay: of all nodes one makes the keys of a day, and what is sealed with
// them opens on a node that has not heard of them.
func TestKeysOfTheDay(t *testing.T) {
	engines(t, func(t *testing.T, database string) {
		a, b := node(t, database, key, t0), node(t, database, key, t0)
		addAccount(t, a, "demo0001", 0)
		first, _ := insert(t, a, request("demo0001", "447700900000"), t0)
		midnight := t0.Truncate(day).Add(day)
		must(t, a.RefreshKeys(t.Context(), midnight.Add(-ms)))
		if ids, _ := dataKeys(t, b, "pin"); len(ids) != 1 {
			t.Fatalf("keys for PINs: %v, want one on the first day", ids)
		}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { must(t, a.RefreshKeys(t.Context(), midnight)) })
		}
		wg.Wait()
		second, _ := insert(t, a, request("demo0001", "447700900001"), midnight)
		typed(t, a, second.ID, "12345", midnight)
		if got := get(t, b, "demo0001", second.ID); got.PIN != second.PIN {
			t.Errorf("another node opens %q, want %q", got.PIN.Reveal(), second.PIN.Reveal())
		}
		must(t, b.RefreshKeys(t.Context(), midnight.Add(time.Minute)))
		ids, current := dataKeys(t, b, "pin")
		codes, currentCode := dataKeys(t, b, "code")
		if len(ids) != 2 || current != ids[1] || len(codes) != 2 || currentCode != codes[1] {
			t.Errorf("keys %v and %v, of which %d and %d are used; want two, and the newest used", ids, codes, current, currentCode)
		}
		if got := get(t, b, "demo0001", first.ID); got.PIN != first.PIN {
			t.Errorf("the PIN of yesterday is %q, want %q", got.PIN.Reveal(), first.PIN.Reveal())
		}
		for _, want := range []struct {
			query string
			id    verify.ID
			key   int64
		}{{pinOf, first.ID, ids[0]}, {pinOf, second.ID, ids[1]}, {codeOf, second.ID, codes[1]}} {
			if got := int64(binary.BigEndian.Uint64(sealed(t, database, want.query, want.id))); got != want.key {
				t.Errorf("%s: sealed with key %d, want %d", want.query, got, want.key)
			}
		}
		must(t, b.NewDataKeys(t.Context(), midnight.Add(time.Minute)))
		if ids, current := dataKeys(t, a, "pin"); len(ids) != 3 || current != ids[2] {
			t.Errorf("after a fresh one: %v, %d is used", ids, current)
		}
	})
}

// TestKeysDestroyed: a data key is there while anything needs it, and then what it
// sealed does not open any more, wherever a copy of it comes from.
func TestKeysDestroyed(t *testing.T) {
	engines(t, func(t *testing.T, database string) {
		db := node(t, database, key, t0)
		addAccount(t, db, "demo0001", 0)
		row, _ := insert(t, db, request("demo0001", "447700900000"), t0)
		typed(t, db, row.ID, "12345", t0)
		lost := sealed(t, database, pinOf, row.ID)
		next := t0.Truncate(day).Add(day)
		must(t, db.RefreshKeys(t.Context(), next))
		destroy := func(now time.Time, codes time.Duration, want int) {
			t.Helper()
			if n, err := db.DestroyDataKeys(t.Context(), now, codes); n != want || err != nil {
				t.Errorf("%v after midnight %d were destroyed (%v), want %d", now.Sub(next), n, err, want)
			}
		}
		destroy(next.Add(30*day), day, 0) // the verification is in progress
		if got := get(t, db, "demo0001", row.ID); got.PIN != row.PIN {
			t.Fatalf("the PIN is %q, want %q", got.PIN.Reveal(), row.PIN.Reveal())
		}
		write(t, db, func(tx *store.Tx) error {
			row.Verification, _ = row.Cancel(t0.Add(time.Minute))
			return tx.Save(row)
		})
		destroy(next.Add(time.Hour-ms), day, 0)
		destroy(next.Add(time.Hour), day, 1) // that of PINs
		destroy(next.Add(40*day), 0, 0)      // codes are kept for ever
		destroy(next.Add(40*day), day, 0)    // the code has not moved yet
		if rec := record(t, db, "demo0001", row.ID); rec.CheckList[0].Code != pin(t, "12345") {
			t.Errorf("the code is %q", rec.CheckList[0].Code.Reveal())
		}
		other, _ := insert(t, db, request("demo0001", "447700900001"), next.Add(time.Hour))
		archive(t, db, store.Cutoffs{Codes: t0.Add(day)}, 10, 1)
		destroy(next.Add(31*time.Hour-ms), day, 0)
		destroy(next.Add(31*time.Hour), day, 1)
		destroy(next.Add(90*day), day, 0) // the newest stay
		if got := get(t, db, "demo0001", other.ID); got.PIN != other.PIN {
			t.Errorf("a PIN of the newest key is %q", got.PIN.Reveal())
		}

		// A copy of the old row, from a backup, say.
		raw, err := pgtest.Open(database)
		must(t, err)
		defer raw.Close()
		_, err = raw.ExecContext(t.Context(), `UPDATE verifications SET pin = $1 WHERE id = $2`, lost, other.ID[:])
		must(t, err)
		if _, _, err := db.Record(t.Context(), "demo0001", other.ID); err == nil || !strings.Contains(err.Error(), "destroyed") {
			t.Errorf("search: %v, want that its key was destroyed", err)
		}
		typed(t, db, other.ID, "54321", next)
		_, err = raw.ExecContext(t.Context(), `UPDATE checks SET code = $1`, lost)
		must(t, err)
		_, err = raw.ExecContext(t.Context(), `UPDATE verifications SET pin = NULL`)
		must(t, err)
		if rec := record(t, db, "demo0001", other.ID); !rec.CheckList[0].Code.IsZero() {
			t.Errorf("a code of a key that is gone is %q", rec.CheckList[0].Code.Reveal())
		}
	})
}

// signed adds an account with both kinds of secrets, and secretsWork sees that they
// still work.
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

// TestKeyFileReplaced: a key file takes the place of another while servers run. Both
// open the database until it is finished, and then the old one does not.
func TestKeyFileReplaced(t *testing.T) {
	engines(t, func(t *testing.T, database string) {
		next, onDisk := store.NewKey(), key
		refuses := func(file store.Key) {
			t.Helper()
			db, err := open(t, database, file, false)
			if err == nil {
				must(t, db.Close())
			}
			if !errors.Is(err, store.ErrKey) {
				t.Errorf("open: %v, want ErrKey", err)
			}
		}
		server, err := store.Open(t.Context(), store.Config{
			Database: database, Key: key, Now: t0, Log: slog.New(slog.DiscardHandler),
			ReadKey: func() (store.Key, error) { return onDisk, nil },
		})
		must(t, err)
		t.Cleanup(func() { must(t, server.Close()) })
		signed(t, server)
		addAccount(t, server, "demo0001", 0)
		row, _ := insert(t, server, request("demo0001", "447700900000"), t0)
		works := func(db *store.DB) {
			t.Helper()
			secretsWork(t, db)
			if got := get(t, db, "demo0001", row.ID); got.PIN != row.PIN {
				t.Errorf("the PIN is %q, want %q", got.PIN.Reveal(), row.PIN.Reveal())
			}
		}
		refuses(next)

		tool := node(t, database, key, t0)
		for what, err := range map[string]error{
			"finish": tool.FinishKeyFile(t.Context(), t0, true), "abort": tool.AbortKeyFile(t.Context(), t0, true),
		} {
			if !errors.Is(err, store.ErrNotRotating) {
				t.Errorf("%s what was not begun: %v, want ErrNotRotating", what, err)
			}
		}
		if err := tool.AddKeyFile(t.Context(), key, at(1)); !errors.Is(err, store.ErrSameKey) {
			t.Errorf("the same again: %v, want ErrSameKey", err)
		}
		must(t, tool.AddKeyFile(t.Context(), next, at(1)))
		if err := tool.AddKeyFile(t.Context(), store.NewKey(), at(1)); !errors.Is(err, store.ErrRotating) {
			t.Errorf("a third: %v, want ErrRotating", err)
		}
		works(server)
		works(node(t, database, key, at(2)))
		newer := node(t, database, next, at(2))
		works(newer)
		must(t, newer.NewDataKeys(t.Context(), at(3))) // which the old file opens, too
		row, _ = insert(t, newer, request("demo0001", "447700900001"), at(3))
		works(server)

		if err := tool.FinishKeyFile(t.Context(), at(1e6), false); !errors.Is(err, store.ErrOtherKey) {
			t.Errorf("finish with the old file: %v, want ErrOtherKey", err)
		}
		must(t, server.RefreshKeys(t.Context(), at(61)))
		if err := newer.FinishKeyFile(t.Context(), at(61+179), false); !errors.Is(err, store.ErrKeyInUse) {
			t.Errorf("finish while a server has the old file: %v, want ErrKeyInUse", err)
		}
		onDisk = next
		must(t, server.RefreshKeys(t.Context(), at(121)))
		keys, err := server.Keys(t.Context())
		must(t, err)
		if len(keys.Files) != 2 || keys.Files[0].Ours || !keys.Files[1].Ours || !keys.Files[1].UsedAt.Equal(at(121).Truncate(ms)) ||
			keys.Files[0].Fingerprint != key.Fingerprint() || keys.Files[1].Fingerprint != next.Fingerprint() {
			t.Errorf("key files %+v, want that the server has taken up the second", keys.Files)
		}
		must(t, newer.FinishKeyFile(t.Context(), at(61+181), false))
		refuses(key)
		works(server)
		works(node(t, database, next, at(300)))
		must(t, server.RefreshKeys(t.Context(), at(0).Add(day)))
		row, _ = insert(t, server, request("demo0001", "447700900002"), at(300))
		works(newer)

		// And back again.
		must(t, newer.AddKeyFile(t.Context(), key, at(400)))
		must(t, newer.AbortKeyFile(t.Context(), at(400), true))
		refuses(key)
		works(newer)
	})
}

// TestKeyFileForced: a server whose key file was taken away goes on with what it
// knows, says so, and goes on altogether when it is given the new one.
func TestKeyFileForced(t *testing.T) {
	engines(t, func(t *testing.T, database string) {
		next, onDisk := store.NewKey(), key
		server, err := store.Open(t.Context(), store.Config{
			Database: database, Key: key, Now: t0, Log: slog.New(slog.DiscardHandler),
			ReadKey: func() (store.Key, error) { return onDisk, nil },
		})
		must(t, err)
		t.Cleanup(func() { must(t, server.Close()) })
		addAccount(t, server, "demo0001", 0)
		row, _ := insert(t, server, request("demo0001", "447700900000"), t0)
		must(t, node(t, database, key, t0).AddKeyFile(t.Context(), next, at(1)))
		tool := node(t, database, next, at(2))
		must(t, tool.FinishKeyFile(t.Context(), at(2), true))
		if got := get(t, server, "demo0001", row.ID); got.PIN != row.PIN {
			t.Errorf("the PIN is %q, want %q", got.PIN.Reveal(), row.PIN.Reveal())
		}
		if err := server.RefreshKeys(t.Context(), at(3)); !errors.Is(err, store.ErrKey) {
			t.Errorf("refresh: %v, want ErrKey", err)
		}
		must(t, tool.NewDataKeys(t.Context(), at(4)))
		row, _ = insert(t, tool, request("demo0001", "447700900001"), at(4))
		if err := server.Write(t.Context(), func(tx *store.Tx) error {
			_, _, err := tx.Get("demo0001", row.ID)
			return err
		}); !errors.Is(err, store.ErrKey) {
			t.Errorf("what others sealed: %v, want ErrKey", err)
		}
		onDisk = next
		if got := get(t, server, "demo0001", row.ID); got.PIN != row.PIN {
			t.Errorf("the PIN is %q, want %q", got.PIN.Reveal(), row.PIN.Reveal())
		}
	})
}

// TestKeysOfBackup: what was destroyed is lost in old backups, too, when the key file
// of their time is.
func TestKeysOfBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, old, during := filepath.Join(dir, "db"), filepath.Join(dir, "old"), filepath.Join(dir, "during")
	db, next := node(t, path, key, t0), store.NewKey()
	backup(t, db, old)
	must(t, db.AddKeyFile(t.Context(), next, at(1)))
	backup(t, db, during)
	must(t, node(t, path, next, at(2)).FinishKeyFile(t.Context(), at(2), true))
	if _, err := open(t, old, next, false); !errors.Is(err, store.ErrKey) {
		t.Errorf("a backup of before: %v, want ErrKey", err)
	}
	// Nor has any two the same sealed key, from which one could go to the other.
	var seen [][]byte
	for _, file := range []string{path, old, during} {
		for _, value := range sealedKeys(t, file) {
			if slices.ContainsFunc(seen, func(b []byte) bool { return bytes.Equal(b, value) }) {
				t.Errorf("%s has a sealed key that another has", file)
			}
			seen = append(seen, value)
		}
	}
}

// sealedKeys lists all keys of a file as they lie there.
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

// oldSeal seals as it was done before there were data keys.
func oldSeal(t *testing.T, purpose string, plain, context []byte) []byte {
	t.Helper()
	return oldAEAD(t, purpose).Seal(nil, nil, plain, context)
}

func oldAEAD(t *testing.T, purpose string) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher(oldKey(t, purpose))
	must(t, err)
	aead, err := cipher.NewGCMWithRandomNonce(block)
	must(t, err)
	return aead
}

func oldKey(t *testing.T, purpose string) []byte {
	t.Helper()
	sub, err := hkdf.Key(sha256.New, key[:], nil, "countersign "+purpose, 32)
	must(t, err)
	return sub
}

// TestKeysUpgrade: what was sealed before there were data keys opens after the
// upgrade. For a day the nodes of the old release can open what the new one seals.
func TestKeysUpgrade(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "countersign.db")
	file := raw(t, path)
	_, err := schema(t, file).UpTo(t.Context(), 3)
	must(t, err)
	mac := hmac.New(sha256.New, oldKey(t, "api secret"))
	fmt.Fprint(mac, "sign0001\x00secret")
	exec(t, file, `INSERT INTO settings (name, value) VALUES ('key_check', $1)`, oldSeal(t, "account", []byte("key_check"), []byte("key_check")))
	exec(t, file, `INSERT INTO accounts (key, name, signature_method, signature_secret, created_at) VALUES ('sign0001', '', 'sha256', $1, 1)`,
		oldSeal(t, "account", []byte("signature"), []byte("sign0001")))
	exec(t, file, `INSERT INTO account_secrets (account, hash, created_at) VALUES ('sign0001', $1, 1)`, mac.Sum(nil))
	id := verify.NewID(rand.Reader)
	context := func(id verify.ID) []byte { return append(slices.Clone(id[:]), 0, 0, 0, 1) }
	exec(t, file, `INSERT INTO verifications (id, account, number, country, brand, sender, locale, code_length, chosen_pin, workflow,
			price, submitted_at, status, pin, generation, pin_expires_at, tries, events, first_event_at, last_event_at, last_event_id, fence)
		VALUES ($1, 'sign0001', '447700900000', 'GB', 'Acme', '', 'en-gb', 4, FALSE, '{"steps":[{"channel":"sms","wait":125000}]}',
			5, $2, 'IN PROGRESS', $3, 1, 301000, 1, 0, 1000, 1000, $1, 3)`, id[:], t0.UnixMilli(), oldSeal(t, "pin", []byte("0123456789"), context(id)))
	exec(t, file, `INSERT INTO checks (verification, seq, generation, code, valid, ip_address, received_at) VALUES ($1, 0, 1, $2, FALSE, '', 1)`,
		id[:], oldSeal(t, "pin", []byte("4321"), context(id)))
	if _, err := open(t, path, store.NewKey(), false); !errors.Is(err, store.ErrKey) {
		t.Errorf("with another key: %v, want ErrKey", err)
	}

	db := node(t, path, key, t0)
	secretsWork(t, db)
	works := func() {
		t.Helper()
		if got := record(t, db, "sign0001", id); got.PIN.Reveal() != "0123456789" || got.CheckList[0].Code.Reveal() != "4321" {
			t.Errorf("PIN %q, code %q", got.PIN.Reveal(), got.CheckList[0].Code.Reveal())
		}
	}
	works()
	must(t, db.RefreshKeys(t.Context(), t0.Add(day-ms)))
	row, _ := insert(t, db, request("sign0001", "447700900001"), t0)
	plain, err := oldAEAD(t, "pin").Open(nil, nil, sealed(t, path, pinOf, row.ID), context(row.ID))
	if err != nil || string(plain) != row.PIN.Reveal() {
		t.Errorf("the old release opens %q (%v), want %q", plain, err, row.PIN.Reveal())
	}
	must(t, db.RefreshKeys(t.Context(), t0.Add(day)))
	row, _ = insert(t, db, request("sign0001", "447700900002"), t0.Add(day))
	if value := sealed(t, path, pinOf, row.ID); binary.BigEndian.Uint64(value) == 0 || binary.BigEndian.Uint64(value) > 100 {
		t.Errorf("after a day it is still sealed as before: %x", value)
	}
	works()
	must(t, db.AddKeyFile(t.Context(), store.NewKey(), t0.Add(day)))
	works()
	secretsWork(t, db)
	// The old key goes as others do, with the codes.
	write(t, db, func(tx *store.Tx) error { return errors.Join(end(tx, id, t0.Add(day)), end(tx, row.ID, t0.Add(day))) })
	if moved, err := db.Archive(t.Context(), store.Cutoffs{Codes: t0.Add(2 * day)}, 10); moved != 2 || err != nil {
		t.Errorf("%d have moved (%v)", moved, err)
	}
	exec(t, file, `UPDATE verifications SET status = 'EXPIRED', finalized_at = submitted_at, pin = NULL, due_at = NULL`)
	archive(t, db, store.Cutoffs{Codes: t0.Add(2 * day)}, 10, 1)
	if n, err := db.DestroyDataKeys(t.Context(), t0.Add(4*day), day); n != 1 || err != nil {
		t.Errorf("%d were destroyed (%v), want the old one", n, err)
	}
}

func end(tx *store.Tx, id verify.ID, now time.Time) error {
	row, ok, err := tx.Find(id)
	if err != nil || !ok {
		return errors.Join(err, errors.New("there is none"))
	}
	row.Status, row.PIN, row.FinalizedAt, row.DueAt = verify.Failed, verify.PIN{}, now, time.Time{}
	row.Drop()
	return tx.Save(row)
}
