package store_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// What only the engine in a file can do.

// raw opens the file behind the store's back, as a thief or a tool would.
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

// open opens a file that is to be closed by the test.
func open(t *testing.T, path string, key store.Key, serve bool) (*store.DB, error) {
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
	row, e := insert(t, db, request("demo0001", "447700900000"), t0)
	must(t, db.Close())
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("the file lies elsewhere: %v", err)
	}

	db, err = open(t, path, key, true)
	must(t, err)
	defer db.Close()
	same(t, db, row)
	if got := record(t, db, "demo0001", row.ID).EventList; !slices.Equal(got, []verify.Event{e}) {
		t.Errorf("events %+v, want %+v", got, e)
	}
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
		if db, err := open(t, path, store.NewKey(), true); !errors.Is(err, store.ErrKey) {
			t.Errorf("with another key: %v, %v; want ErrKey", db, err)
		}
		db, err = open(t, path, key, true) // and the attempt has harmed nothing
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
			t.Fatalf("a tool beside the server: %v", err)
		}
		addAccount(t, tool, "demo0001", 7)
		must(t, tool.Close())
		wantBalance(t, db, "demo0001", 7, 0) // the server sees what the tool did
		must(t, db.Close())
		again, err := open(t, path, key, true)
		if err != nil {
			t.Fatalf("after the first has gone: %v", err)
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
			t.Error("a text was opened as a database")
		}
	})
}

// TestServeReleasesClaims: what a dead process held is due at once, what nobody
// held in its time, and what is over only if it was held: nobody told what became of
// its message.
func TestServeReleasesClaims(t *testing.T) {
	t.Parallel()
	path := sqlite(t)
	db, err := open(t, path, key, true)
	must(t, err)
	rows := plan(t, db, 125, 125, 125, 125)
	held, over, done := rows[0], rows[2], rows[3]
	held.Take("dead node", at(15))
	for _, r := range []*store.Row{over, done} {
		r.Verification, err = r.Cancel(at(30))
		must(t, err)
	}
	over.Take("dead node", at(15))
	write(t, db, func(tx *store.Tx) error { return errors.Join(tx.Save(held), tx.Save(over), tx.Save(done)) })
	must(t, db.Close())

	tool, err := open(t, path, key, false)
	must(t, err)
	if got := due(t, tool, t0, 10); len(got) != 0 {
		t.Errorf("a tool let %v fall due", got)
	}
	must(t, tool.Close())

	db, err = open(t, path, key, true)
	must(t, err)
	defer db.Close()
	if got := due(t, db, t0, 10); !slices.Equal(got, []verify.ID{held.ID, over.ID}) {
		t.Errorf("due at once: %v, want %v and %v", got, held.ID, over.ID)
	}
	if got := get(t, db, held.Account, held.ID); got.Node == "" || got.Fence != held.Fence {
		t.Errorf("the claim is %+v; whoever takes the row must see that it was held", got.Claim)
	}
	if got := due(t, db, at(1e6), 10); len(got) != 3 {
		t.Errorf("%d rows will ever be due, want 3", len(got))
	}
}

// TestSecretsAreSealed looks for secrets in everything that lies in the directory,
// while the database is open and after.
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
	drawn, _ := insert(t, db, req, t0)
	secrets["drawn PIN"] = drawn.PIN.Reveal()
	req.Number = "447700900002"
	req.ChosenPIN, _ = verify.ParsePIN(secrets["chosen PIN"])
	chosen, _ := insert(t, db, req, t0)
	typed, _ := verify.ParsePIN(secrets["typed code"])
	write(t, db, func(tx *store.Tx) error {
		return tx.AddCheck(verify.Check{Verification: chosen.ID, Generation: 1, Code: typed, ReceivedAt: t0})
	})

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
			t.Fatalf("%s: the search finds nothing at all", when)
		}
		for what, secret := range secrets {
			if bytes.Contains(all, []byte(secret)) {
				t.Errorf("%s: the %s can be read", when, what)
			}
		}
		if bytes.Contains(all, key[:]) {
			t.Errorf("%s: the key can be read", when)
		}
	}
	look("in use")
	for _, row := range []*store.Row{drawn, chosen} {
		done, _, err := row.Check(row.PIN, "", at(1))
		must(t, err)
		row.Verification = done
		write(t, db, func(tx *store.Tx) error { return tx.Save(row) })
	}
	var left int
	must(t, raw(t, path).QueryRowContext(t.Context(), `SELECT COUNT(pin) FROM verifications`).Scan(&left))
	if left != 0 {
		t.Errorf("%d sealed PINs outlived their verifications", left)
	}
	must(t, db.Close())
	look("closed")
}

// TestBrokenRows: what was tampered with does not open, and holds nobody else up.
func TestBrokenRows(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, tamper string // $1 is the row, $2 another one
	}{
		{"PINOfAnotherRow", `UPDATE verifications SET pin = (SELECT pin FROM verifications WHERE id = $2) WHERE id = $1`},
		{"PINOfAnotherGeneration", `UPDATE verifications SET generation = generation + 1 WHERE id = $1 AND $2 = $2`},
		{"PINChanged", `UPDATE verifications SET pin = zeroblob(32) WHERE id = $1 AND $2 = $2`},
		{"Workflow", `UPDATE verifications SET workflow = '{' WHERE id = $1 AND $2 = $2`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := sqlite(t)
			db := openFile(t, path, key)
			rows := plan(t, db, 1, 2, 3)
			exec(t, raw(t, path), tt.tamper, rows[1].ID[:], rows[0].ID[:])
			write(t, db, func(tx *store.Tx) error {
				due, broken, err := tx.Due(at(10), 10)
				if len(due) != 2 || due[0].ID != rows[0].ID || due[1].ID != rows[2].ID {
					t.Errorf("due: %d rows, want the two that are whole", len(due))
				}
				if len(broken) != 1 || broken[rows[1].ID] == nil {
					t.Errorf("broken: %v, want %s", broken, rows[1].ID)
				}
				return err
			})
			if err := db.Write(t.Context(), func(tx *store.Tx) error {
				_, _, err := tx.Get("demo0001", rows[1].ID)
				return err
			}); err == nil {
				t.Error("Get read a broken row")
			}
			if _, _, err := db.Record(t.Context(), "demo0001", rows[1].ID); err == nil {
				t.Error("Record read a broken row")
			}
		})
	}
	t.Run("CodeOfAnotherRow", func(t *testing.T) {
		t.Parallel()
		path := sqlite(t)
		db := openFile(t, path, key)
		rows := plan(t, db, 1, 2)
		for _, row := range rows {
			write(t, db, func(tx *store.Tx) error {
				return tx.AddCheck(verify.Check{Verification: row.ID, Generation: 1, Code: row.PIN, ReceivedAt: t0})
			})
		}
		exec(t, raw(t, path), `UPDATE checks SET code = (SELECT code FROM checks WHERE verification = $2) WHERE verification = $1`,
			rows[0].ID[:], rows[1].ID[:])
		if _, _, err := db.Record(t.Context(), "demo0001", rows[0].ID); err == nil {
			t.Error("a code was read that belongs to another verification")
		}
	})
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

// TestBackup copies the database while it is written to.
func TestBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := openFile(t, filepath.Join(dir, "countersign.db"), key)
	addAccount(t, db, "demo0001", 100)
	before, _ := insert(t, db, request("demo0001", "447700900000"), t0)

	ctx, stop := context.WithCancel(t.Context())
	written := make(chan int, 1)
	wrote := make(chan struct{}, 1)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			v, e := verify.Start(request("demo0001", fmt.Sprintf("4477100%05d", n)), 1, t0, rand.Reader)
			err := db.Write(context.WithoutCancel(ctx), func(tx *store.Tx) error {
				_, err := tx.Charge(v, store.Payer{OnCredit: true}, t0)
				return errors.Join(err, tx.Insert(&store.Row{Verification: v}, e))
			})
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
		<-wrote // a write has come in between
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
			t.Errorf("balance %s, ledger %s after %d charges (%v): not one moment in time", c.Balance, sum, charges, err)
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
