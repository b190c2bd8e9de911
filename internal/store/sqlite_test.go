package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"countersign/internal/store"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

// Tests of the SQLite engine only.

// raw opens the file without the store, as a thief or a tool would.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func exec(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), query, args...)
	must(t, err)
}

// open opens a file that the test closes.
func open(t *testing.T, path string, key vault.Key, serve bool) (*store.DB, error) {
	t.Helper()
	return store.Open(t.Context(), store.Config{Database: path, Key: key, Serve: serve, Log: slog.New(slog.DiscardHandler)})
}

func TestSQLiteKeepsEverything(t *testing.T) {
	t.Parallel()
	// A path is not a URL.
	path := filepath.Join(t.TempDir(), "ä b?mode=memory#c%20&d.db")
	db, err := open(t, path, key, true)
	must(t, err)
	addAccount(t, db, "demo0001", 100)
	v := sent(t, db, request("demo0001", "447700900000"), t0, "1")
	must(t, db.Close())
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("the file is not at its path: %v", err)
	}

	db, err = open(t, path, key, true)
	must(t, err)
	defer db.Close()
	same(t, db, v)
	wantBalance(t, db, "demo0001", 100, 0)
	must(t, db.Ping(t.Context()))
}

func TestSQLiteRefusesToOpen(t *testing.T) {
	t.Parallel()
	t.Run("ErrKey", func(t *testing.T) {
		t.Parallel()
		path := sqlite(t)
		db, err := open(t, path, key, true)
		must(t, err)
		addAccount(t, db, "demo0001", 0)
		must(t, db.Close())
		if db, err := open(t, path, vault.NewKey(), true); !errors.Is(err, vault.ErrKey) {
			t.Errorf("with another key: %v, %v; want ErrKey", db, err)
		}
		db, err = open(t, path, key, true) // the failed attempt has no effect
		must(t, err)
		must(t, db.Close())
	})
	t.Run("ErrNewerSchema", func(t *testing.T) {
		t.Parallel()
		path := sqlite(t)
		db, err := open(t, path, key, true)
		must(t, err)
		must(t, db.Close())
		exec(t, raw(t, path), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`)
		_, err = open(t, path, key, true)
		if err == nil || !strings.Contains(err.Error(), "999") || !strings.Contains(err.Error(), "newer") {
			t.Errorf("got %v, want it to name the newer version", err)
		}
	})
	t.Run("ErrInUse", func(t *testing.T) {
		t.Parallel()
		path := sqlite(t)
		db, err := open(t, path, key, true)
		must(t, err)
		if _, err := open(t, path, key, true); !errors.Is(err, store.ErrInUse) {
			t.Errorf("a second server: %v, want ErrInUse", err)
		}
		tool, err := open(t, path, key, false)
		if err != nil {
			t.Fatalf("a tool and the server: %v", err)
		}
		addAccount(t, tool, "demo0001", 7)
		must(t, tool.Close())
		wantBalance(t, db, "demo0001", 7, 0) // the server reads the change of the tool
		must(t, db.Close())
		again, err := open(t, path, key, true)
		if err != nil {
			t.Fatalf("after the first has closed: %v", err)
		}
		must(t, again.Close())
	})
	t.Run("ErrNoDirectory", func(t *testing.T) {
		t.Parallel()
		for _, serve := range []bool{true, false} {
			if _, err := open(t, filepath.Join(t.TempDir(), "no", "such.db"), key, serve); err == nil {
				t.Error("a database in a directory that does not exist was opened")
			}
		}
	})
	t.Run("ErrNotADatabase", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "countersign.db")
		must(t, os.WriteFile(path, bytes.Repeat([]byte("text "), 1000), 0o600))
		if _, err := open(t, path, key, true); err == nil {
			t.Error("a text file was opened as a database")
		}
	})
}

// TestServeEndsLeases: the next server ends the leases of a dead process, also of a
// verification that has ended with an open event. A tool ends no lease.
func TestServeEndsLeases(t *testing.T) {
	t.Parallel()
	path := sqlite(t)
	db, err := open(t, path, key, true)
	must(t, err)
	list := plan(t, db, 125, 125, 125, 125)
	held := put(t, db, lease(list[0], "dead node", at(15)))
	over := cancelled(t, db, put(t, db, lease(list[2], "dead node", at(15))), at(30))
	cancelled(t, db, list[3], at(30))
	must(t, db.Close())

	tool, err := open(t, path, key, false)
	must(t, err)
	if got := due(t, tool, t0, 10); len(got) != 0 {
		t.Errorf("a tool made %v due", got)
	}
	must(t, tool.Close())

	db, err = open(t, path, key, true)
	must(t, err)
	defer db.Close()
	if got := due(t, db, t0, 10); !slices.Equal(got, []verify.ID{held.ID, over.ID}) {
		t.Errorf("due immediately: %v, want %v and %v", got, held.ID, over.ID)
	}
	if got := get(t, db, held.ID).Lease; got.Node != held.Lease.Node || got.Token != held.Lease.Token {
		t.Errorf("the lease is %+v, want the last holder", got)
	}
	if got := due(t, db, at(1e6), 10); len(got) != 3 {
		t.Errorf("%d rows are due at any time, want 3", len(got))
	}
}

// TestSecretsAreSealed searches for secrets in all files of the directory, while the
// database is open and afterwards.
func TestSecretsAreSealed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "countersign.db")
	db, err := open(t, path, key, true)
	must(t, err)
	const canary = "canary: this is in clear"
	secrets := map[string]string{
		"API secret": "apisecret-Qx7Lm2Wp9", "rotated secret": "rotated-Kz4Rv8Tn1", "signature secret": "signature-Jb6Yh3Ds5",
		"chosen PIN": "Zq7Xw9Kp2M", "typed code": "Yv3Tn8Rj5L",
	}
	must(t, db.CreateAccount(t.Context(), store.NewAccount{
		Account: verify.Account{Key: "demo0001", Name: canary}, Secret: secrets["API secret"],
		SignatureMethod: "sha256", SignatureSecret: secrets["signature secret"],
	}, t0))
	must(t, db.RotateSecret(t.Context(), "demo0001", secrets["rotated secret"], time.Time{}, t0))
	req := request("demo0001", "447700900001")
	req.CodeLength = verify.MaxPINLength
	drawn := begin(t, db, req, t0)
	secrets["drawn PIN"] = drawn.PIN.Reveal()
	req.To = verify.PhoneAddress("447700900002", req.To.Country)
	req.ChosenPIN = pin(t, secrets["chosen PIN"])
	chosen := checked(t, db, begin(t, db, req, t0), pin(t, secrets["typed code"]), "", t0)

	look := func(when string) {
		var all []byte
		must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			all = append(all, b...)
			return err
		}))
		if !bytes.Contains(all, []byte(canary)) {
			t.Fatalf("%s: the search does not work", when)
		}
		for what, secret := range secrets {
			if bytes.Contains(all, []byte(secret)) {
				t.Errorf("%s: the %s is in clear text", when, what)
			}
		}
		if bytes.Contains(all, key[:]) {
			t.Errorf("%s: the key is in clear text", when)
		}
	}
	look("in use")
	for _, v := range []verify.Verification{drawn, chosen} {
		v = checked(t, db, v, v.PIN, "", at(1))
		if sealed := sealedPIN(t, path, v.ID); v.Status != verify.Success || sealed != nil {
			t.Errorf("%s: the sealed PIN outlived the verification: %x", v.Status, sealed)
		}
	}
	must(t, db.Close())
	look("closed")
}

// TestBrokenRows: reading a damaged document returns ErrBroken and delays no other row. The
// row can be postponed, ended and archived.
func TestBrokenRows(t *testing.T) {
	const code = "54321"
	tests := map[string]func(doc, other []byte) []byte{
		"PINOfAnotherRow":        func(doc, other []byte) []byte { return withField(doc, field(other, pinPath...), pinPath...) },
		"PINOfAnotherGeneration": func(doc, _ []byte) []byte { return withField(doc, varint(7), generationPath...) },
		"PINChanged":             func(doc, _ []byte) []byte { return withField(doc, make([]byte, 40), pinPath...) },
		"PINShort":               func(doc, _ []byte) []byte { return withField(doc, []byte{1}, pinPath...) },
		"CodeOfAnotherRow":       func(doc, other []byte) []byte { return withField(doc, field(other, codePath...), codePath...) },
		"MoreEventsThanSteps": func(doc, _ []byte) []byte {
			event := field(doc, eventPath...)
			event = protowire.AppendBytes(protowire.AppendTag(nil, eventPath[0], protowire.BytesType), event)
			return bytes.Replace(doc, event, bytes.Repeat(event, 10), 1)
		},
		"EventID":    func(doc, _ []byte) []byte { return withField(doc, []byte{1}, eventPath[0], 1) },
		"Version":    func(doc, _ []byte) []byte { return withField(doc, varint(2), versionPath...) },
		"Truncated":  func(doc, _ []byte) []byte { return doc[:len(doc)-1] },
		"Empty":      func(_, _ []byte) []byte { return nil },
		"Type":       func(doc, _ []byte) []byte { return append(doc[:2:2], 2<<3, 1) }, // a number as the status
		"JSON":       func(_, _ []byte) []byte { return []byte(`{"version":1}`) },
		"OtherBytes": func(_, _ []byte) []byte { return []byte("null") },
	}
	engines(t, func(t *testing.T, database string) {
		db := openFile(t, database, key)
		addAccount(t, db, "demo0001", 0)
		for i, name := range slices.Sorted(maps.Keys(tests)) {
			var list []verify.Verification
			for n := range 3 {
				v := sent(t, db, request("demo0001", fmt.Sprintf("4477009%04d%d", i, n)), t0)
				v = checked(t, db, v, pin(t, code), "192.0.2.1", at(0.1))
				v.NextAt = at(float64(n + 1))
				list = append(list, put(t, db, v))
			}
			broken := list[1]
			tamper(t, database, broken.ID, tests[name](document(t, database, broken.ID), document(t, database, list[0].ID)))
			wantBroken(t, db, name, list)
		}
	})
}

// wantBroken checks that the second of three verifications is broken, and ends all of them.
func wantBroken(t *testing.T, db *store.DB, name string, list []verify.Verification) {
	t.Helper()
	id := list[1].ID
	write(t, db, func(tx *store.Tx) error {
		due, broken, err := tx.Due(at(10), 10)
		if len(due) != 2 || due[0].ID != list[0].ID || due[1].ID != list[2].ID {
			t.Errorf("%s: %d rows are due, want the two undamaged ones", name, len(due))
		}
		if len(broken) != 1 || !errors.Is(broken[id], store.ErrBroken) || !strings.Contains(broken[id].Error(), id.String()) {
			t.Errorf("%s: broken are %v, want %s", name, broken, id)
		}
		return errors.Join(err, tx.Postpone(id, at(60)))
	})
	if got := due(t, db, at(10), 10); slices.Contains(got, id) {
		t.Errorf("%s: it is due before the postponed time", name)
	}
	for how, load := range map[string]func(tx *store.Tx) (verify.Verification, bool, error){
		"tx.Verification":     func(tx *store.Tx) (verify.Verification, bool, error) { return tx.Verification(id) },
		"tx.FreeVerification": func(tx *store.Tx) (verify.Verification, bool, error) { return tx.FreeVerification(id) },
		"tx.Running":          func(tx *store.Tx) (verify.Verification, bool, error) { return tx.Running("demo0001", list[1].To) },
		"db.Verification":     func(*store.Tx) (verify.Verification, bool, error) { return db.Verification(t.Context(), id) },
	} {
		for _, scope := range []store.Scope{{}, {Verification: id}} {
			err := db.Write(t.Context(), scope, func(tx *store.Tx) error { return fails3(load(tx)) })
			if !errors.Is(err, store.ErrBroken) {
				t.Errorf("%s: %s: %v, want ErrBroken", name, how, err)
			}
		}
	}
	if _, err := db.FindVerifications(t.Context(), store.VerificationFilter{Number: list[1].To.Given, Until: at(10), Limit: 1}); !errors.Is(err, store.ErrBroken) {
		t.Errorf("%s: FindVerifications: %v, want ErrBroken", name, err)
	}
	write(t, db, func(tx *store.Tx) error {
		all, err := tx.RunningOf(list[1].To.Given)
		if len(all) != 1 || all[0].ID != id {
			return errors.Join(err, fmt.Errorf("RunningOf is %+v", all))
		}
		return errors.Join(err, tx.Save(released(all[0].Withdraw(at(11)).Verification).Withdraw(at(11))))
	})
	for _, v := range []verify.Verification{list[0], list[2]} {
		save(t, db, v.Withdraw(at(11)))
	}
	archive(t, db, store.Cutoffs{Codes: at(11)}, 10, 3)
	if v := find(t, db, id); !v.Ended() || v.Account != "demo0001" || v.To.Given != list[1].To.Given {
		t.Errorf("%s: the archive has %s of %s for %s", name, v.Status, v.To.Given, v.Account)
	}
}

// TestBrokenEnded: a verification that has ended does not block its number, even if its
// document cannot be decoded.
func TestBrokenEnded(t *testing.T) {
	engines(t, func(t *testing.T, database string) {
		db := openFile(t, database, key)
		addAccount(t, db, "demo0001", 0)
		v := sent(t, db, request("demo0001", "447700900000"), t0)
		save(t, db, released(v).Withdraw(at(1)))
		tamper(t, database, v.ID, []byte("broken"))
		next := sent(t, db, request("demo0001", "447700900000"), at(2))
		write(t, db, func(tx *store.Tx) error {
			if got, ok, err := tx.Running("demo0001", v.To); got.ID != next.ID || !ok || err != nil {
				t.Errorf("in progress is %s, %v (%v), want %s", got.ID, ok, err, next.ID)
			}
			return nil
		})
	})
}

// TestBrokenOfAnother: a verification in progress that cannot be decoded does not block its
// number for other accounts.
func TestBrokenOfAnother(t *testing.T) {
	engines(t, func(t *testing.T, database string) {
		db := openFile(t, database, key)
		addAccount(t, db, "demo0001", 0)
		addAccount(t, db, "demo0002", 0)
		v := sent(t, db, request("demo0001", "447700900000"), t0)
		tamper(t, database, v.ID, []byte("broken"))
		sent(t, db, request("demo0002", "447700900000"), at(1))
		write(t, db, func(tx *store.Tx) error {
			if _, _, err := tx.Running("demo0001", v.To); !errors.Is(err, store.ErrBroken) {
				t.Errorf("the account of the broken row gets %v, want ErrBroken", err)
			}
			return nil
		})
	})
}

// TestBrokenSecrets: secrets of another account do not open.
func TestBrokenSecrets(t *testing.T) {
	t.Parallel()
	t.Run("SignatureSecretOfAnotherAccount", func(t *testing.T) {
		t.Parallel()
		path := sqlite(t)
		db := openFile(t, path, key)
		for _, account := range []string{"demo0001", "other001"} {
			must(t, db.CreateAccount(t.Context(), store.NewAccount{
				Account: verify.Account{Key: account}, Secret: "same", SignatureMethod: "sha256", SignatureSecret: "same",
			}, t0))
		}
		file := raw(t, path)
		exec(t, file, `UPDATE accounts SET signature_secret = (SELECT signature_secret FROM accounts WHERE key = 'demo0001') WHERE key = 'other001'`)
		exec(t, file, `UPDATE account_secrets SET hash = (SELECT hash FROM account_secrets WHERE account = 'other001') WHERE account = 'demo0001'`)
		if c, err := db.Credentials(t.Context(), "other001"); err == nil {
			t.Errorf("signature secret %q of another account was read", c.SignatureSecret)
		}
		if c, err := db.Credentials(t.Context(), "demo0001"); err != nil || c.HasSecret("same", t0) {
			t.Errorf("the hash of another account's secret is accepted (%v)", err)
		}
	})
}

// TestBackup copies the database during writes.
func TestBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := openFile(t, filepath.Join(dir, "countersign.db"), key)
	addAccount(t, db, "demo0001", 100)
	before := sent(t, db, request("demo0001", "447700900000"), t0)

	ctx, stop := context.WithCancel(t.Context())
	written := make(chan int, 1)
	wrote := make(chan struct{}, 1)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			b := verify.Beginning{Request: request("demo0001", fmt.Sprintf("4477100%05d", n)), Price: 1}
			_, err := start(context.WithoutCancel(ctx), db, b, true, t0)
			if err != nil {
				t.Error(err)
				break
			}
			select {
			case wrote <- struct{}{}:
			default:
			}
		}
		written <- n
	}()
	var copies []string
	for i := range 3 {
		<-wrote // a write during the backup
		to := filepath.Join(dir, fmt.Sprintf("copy %d.db", i))
		tables, err := db.Backup(t.Context(), to)
		must(t, err)
		if i := slices.IndexFunc(tables, func(r store.TableRows) bool { return r.Name == "accounts" }); i < 0 || tables[i].Rows != 1 {
			t.Errorf("tables %v, want one account", tables)
		}
		copies = append(copies, to)
	}
	stop()
	if n := <-written; n < len(copies) {
		t.Fatalf("only %d writes while the copies were made", n)
	}

	for _, to := range copies {
		info, err := os.Stat(to)
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("the copy has mode %v, want 0600", info.Mode())
		}
		file := raw(t, to)
		var verdict string
		must(t, file.QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&verdict))
		if verdict != "ok" {
			t.Errorf("integrity check: %s", verdict)
		}
		must(t, file.Close())
		dup, err := open(t, to, key, true)
		must(t, err)
		same(t, dup, before)
		c, err := dup.Credentials(t.Context(), "demo0001")
		must(t, err)
		sum, charges, err := dup.LedgerSum(t.Context(), "demo0001")
		if err != nil || sum != c.Balance || charges != 100-int(sum) || charges == 0 {
			t.Errorf("balance %s, ledger %s after %d charges (%v): not one snapshot", c.Balance, sum, charges, err)
		}
		must(t, dup.Close())
	}

	for name, to := range map[string]string{"there already": copies[0], "no directory": filepath.Join(dir, "no", "such.db")} {
		var was []byte
		if name == "there already" {
			was, _ = os.ReadFile(to)
		}
		if _, err := db.Backup(t.Context(), to); err == nil {
			t.Errorf("%s: backed up", name)
		}
		if is, _ := os.ReadFile(to); !bytes.Equal(was, is) {
			t.Errorf("%s: the file was changed", name)
		}
	}
}
