package store_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/copy"
	"countersign/internal/deliver/virtual"
	"countersign/internal/fraud"
	"countersign/internal/inbox"
	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

// lived is an installation with rows in every table.
type lived struct {
	path          string
	verifications []verify.ID
	running, held verify.Verification
	refs          map[string]verify.ID // message ids of carrier a
}

// odd is a possible message id of a carrier, with an invalid UTF-8 byte and a zero.
const odd = "id-\xff\x00\\x41"

// live makes an installation in a file with the store, and closes it.
func live(t *testing.T) lived {
	t.Helper()
	in := lived{path: sqlite(t)}
	db, err := open(t, in.path, key, true)
	must(t, err)
	must(t, db.Ping(t.Context()))
	must(t, db.CreateAccount(t.Context(), store.NewAccount{
		Account: verify.Account{Key: "demo0001", Name: "Café 검증", CustomPIN: true, Rate: 7, Balance: 1000, OnUndeliverable: verify.UndeliverableNextEvent},
		Secret:  "secret", SignatureMethod: "sha256", SignatureSecret: "signature",
	}, t0))
	must(t, db.CreateAccount(t.Context(), store.NewAccount{
		Account: verify.Account{Key: "trial001", Trial: true, Barred: true, Parent: "demo0001", DailyCap: 9, Settings: fullSettings()}, Secret: "other", Approved: []string{"447700900000", "447700900009"},
	}, at(1)))
	must(t, db.ReplacePrices(t.Context(), "", []verify.Price{{Amount: 7}, {Country: "GB", Amount: 5, From: at(9), Until: at(99)}}))
	must(t, db.ReplacePrices(t.Context(), "a", []verify.Price{{Prefix: "4477", Channel: verify.SMS, Amount: 1}}))
	must(t, db.BlockNumber(t.Context(), store.BlockedNumber{Number: "447700900066", Reason: "abuse", CreatedAt: at(2)}))
	must(t, db.UseSignature(t.Context(), "demo0001", []byte("signature"), at(300)))

	must(t, db.TellFraud(t.Context(), store.FraudNews{
		Node: "node-1", Seq: 1, At: at(2), Entries: []fraud.Entry{counted(0, "4477009", fraud.Counts{Starts: 2})},
		Blocks: []fraud.Block{block("a", "demo0001", 1, at(500)), block("b", "", 1, time.Time{})},
	}))
	_, err = db.UnblockNetwork(t.Context(), fraud.Unblock{Account: "demo0001", Network: "23410", Until: at(99)}, "api", at(3))
	must(t, err)

	sendOne(t, db, store.Scope{}, "447700900000", "demo0001")
	must(t, db.AddAudit(t.Context(), entry("number.block", "4477••••66", at(2))))

	must(t, db.SaveRefusals(t.Context(), []verify.Refusal{refused(1, "demo0001", "447700900000", 1), refused(2, "", "", 2)}, nil))
	recording := store.Recording{ID: verify.ID{7}, Sound: []byte{0, 1, 0xff}}
	tmpl := newTemplate("Код: ${pin}")
	tmpl.Recordings = map[string]verify.ID{"digit_0": recording.ID}
	_, err = db.AddTemplate(t.Context(), tmpl, []store.Recording{recording}, false)
	must(t, err)

	running := in.start(t, db, 0, nil)
	running = save(t, db, running.Outcome(accepted(running, "ref-1", odd), onFailure(), at(1)))
	for _, r := range []verify.Receipt{
		{Ref: verify.Ref{Carrier: "a", ID: "ref-1"}, State: verify.EventDelivered},
		{Ref: verify.Ref{Carrier: "a", ID: odd}, State: verify.EventUndeliverable, Error: "err 12"},
	} {
		c, _, _ := running.Receipt(r, onFailure(), at(2))
		running = save(t, db, c)
	}
	in.running, in.refs = running, map[string]verify.ID{"ref-1": running.ID, odd: running.ID}
	in.held = in.start(t, db, 1, nil)
	for i, end := range []func(v verify.Verification) verify.Verification{
		func(v verify.Verification) verify.Verification { return v.Withdraw(at(31)).Verification },
		func(v verify.Verification) verify.Verification {
			c, _ := v.Check(v.PIN, "192.0.2.1", verify.Uncapped{}, at(20))
			return c.Verification
		},
		func(v verify.Verification) verify.Verification {
			for range verify.TriesPerPIN - 1 {
				c, _ := v.Check(pin(t, "0000000"), "192.0.2.1", verify.Uncapped{}, at(22))
				v = c.Verification
			}
			return v
		},
		func(v verify.Verification) verify.Verification { return v.At(at(1e6)) },
	} {
		in.start(t, db, 2+i, end)
	}
	keep(t, db, "early", verify.EventDelivered, "000", t0)
	for i := range 5 {
		must(t, inbox.New(db).AddMessage(t.Context(), note(in.running.LastEventID(), i)))
	}
	if settled, err := db.SettleLedger(t.Context(), at(50), 100); settled == 0 || err != nil {
		t.Fatalf("%d entries are settled (%v)", settled, err)
	}
	write(t, db, func(tx *store.Tx) error { return tx.TopUp("demo0001", 3, at(100)) })
	if moved, err := db.Archive(t.Context(), store.Cutoffs{Codes: at(25)}, 1); moved != 1 || err != nil {
		t.Fatalf("%d are in the archive (%v), want 1", moved, err)
	}
	must(t, db.Close())
	return in
}

// twin copies the installation for a test that changes it.
func (in *lived) twin(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "countersign.db")
	file, err := os.ReadFile(in.path)
	must(t, err)
	must(t, os.WriteFile(path, file, 0o600))
	return path
}

// start adds a verification of a number that ends in n, in progress or changed by end.
func (in *lived) start(t *testing.T, db *store.DB, n int, end func(verify.Verification) verify.Verification) verify.Verification {
	t.Helper()
	req := request("demo0001", fmt.Sprintf("44770090000%d", n))
	if n == 3 {
		req.Payment = &verify.Payment{Payee: "Shop", Amount: "€5"}
	}
	v, err := start(t.Context(), db, verify.Beginning{Request: req, Price: verify.Unit}, true, t0)
	must(t, err)
	v = checked(t, db, v, pin(t, "0000000"), "192.0.2.1", at(9))
	if end != nil {
		v = save(t, db, v.Outcome(accepted(v, fmt.Sprint("ended-", n)), onFailure(), at(9)))
		v = put(t, db, end(v))
	}
	in.verifications = append(in.verifications, v.ID)
	return v
}

func note(event verify.ID, n int) virtual.Message {
	return virtual.Message{EventID: event, RequestID: verify.NewID(rand.Reader), Number: "447700900000", Channel: verify.SMS, Text: fmt.Sprint("text ", n), SentAt: at(2)}
}

func copyTo(t *testing.T, from, to string) ([]copy.Table, error) {
	t.Helper()
	return copy.Run(t.Context(), copy.Config{From: from, To: to, Key: key, Batch: 2})
}

// wantCopy compares the target with the source by all reads of the store.
func wantCopy(t *testing.T, in lived, to string) {
	t.Helper()
	source, target := openFile(t, in.path, key), openFile(t, to, key)
	for name, ask := range map[string]func(db *store.DB) (any, error){
		"accounts": func(db *store.DB) (any, error) { return db.Accounts(t.Context()) },
		"prices":   func(db *store.DB) (any, error) { return db.Prices(t.Context()) },
		"blocked":  func(db *store.DB) (any, error) { return db.BlockedNumbers(t.Context()) },
		"approved": func(db *store.DB) (any, error) { return db.Approved(t.Context(), "trial001", "447700900009") },
		"guards":   func(db *store.DB) (any, error) { return db.NumberHistory(t.Context(), "447700900000") },
		"messages": func(db *store.DB) (any, error) { return inbox.New(db).Messages(t.Context(), "", 100) },
		"secrets": func(db *store.DB) (any, error) {
			c, err := db.Credentials(t.Context(), "demo0001")
			return []any{c.HasSecret("secret", t0), c.HasSecret("other", t0), c.SignatureSecret}, err
		},
		"ledger": func(db *store.DB) (any, error) {
			sum, charges, err := db.LedgerSum(t.Context(), "demo0001")
			return []any{sum, charges}, err
		},
		"verifications": func(db *store.DB) (any, error) {
			var all []verify.Verification
			for _, id := range in.verifications {
				v := find(t, db, id)
				v.Lease.Until = time.Time{} // the copy ends leases
				all = append(all, v)
			}
			return all, nil
		},
	} {
		want, err := ask(source)
		must(t, err)
		if got, err := ask(target); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the target has %+v (%v), the source %+v", name, got, err, want)
		}
	}
	wantReceipt(t, target, "early", t0, verify.EventDelivered, "000")
	for ref, id := range in.refs {
		wantOf(t, target, "a", ref, id)
	}
	if got := get(t, target, in.running.ID); !reflect.DeepEqual(got, in.running) {
		t.Errorf("in progress is %+v, want %+v", got, in.running)
	}
	if got := due(t, target, t0, 10); !slices.Equal(got, []verify.ID{in.held.ID}) {
		t.Errorf("due immediately: %v, want the lease of the stopped server, %v", got, in.held.ID)
	}
	// New rows do not conflict with copied ones.
	must(t, inbox.New(target).AddMessage(t.Context(), note(in.running.LastEventID(), 99)))
	if list, err := inbox.New(target).Messages(t.Context(), "", 1); err != nil || len(list) != 1 || list[0].Text != "text 99" {
		t.Errorf("the newest message is %+v (%v), want the new one", list, err)
	}
}

// TestCopy: every table is copied completely.
func TestCopy(t *testing.T) {
	t.Parallel()
	in, to := live(t), pgtest.URL(t)
	done, err := copyTo(t, in.path, to)
	must(t, err)
	got := map[string]copy.Table{}
	for _, d := range done {
		if d.Compared == 0 {
			t.Errorf("table %s is empty, so the test does not cover it: add a row in live", d.Name)
		}
		if d.Copied != d.Compared && d.Name != "settings" { // claim has inserted one of its rows before
			t.Errorf("%+v: not all was copied, or not all compared", d)
		}
		got[d.Name] = d
	}
	if got["accounts"].Copied != 2 || got["phone_messages"].Compared != 5 {
		t.Errorf("copied %+v and compared %+v, want 2 and 5", got["accounts"], got["phone_messages"])
	}
	// Add a table that must not be copied here.
	var names string
	pgtest.Scan(t, to, `SELECT string_agg(relname, ' ') FROM pg_class
		WHERE relkind IN ('r', 'p') AND relpersistence = 'p' AND NOT relispartition AND relnamespace = 'public'::regnamespace`, &names)
	for _, name := range strings.Fields(names) {
		if _, ok := got[name]; !ok && name != "goose_db_version" {
			t.Errorf("table %s is not copied", name)
		}
	}
	wantCopy(t, in, to)
}

// TestCopyAgain: a complete copy is not changed by another call, also after changes in the
// target.
func TestCopyAgain(t *testing.T) {
	t.Parallel()
	in, to := live(t), postgres(t)
	db, err := open(t, to, key, true) // a server may open the target before the copy
	must(t, err)
	must(t, db.Close())
	_, err = copyTo(t, in.path, to)
	must(t, err)
	db, err = open(t, to, key, true)
	must(t, err)
	must(t, db.Credit(t.Context(), "demo0001", 5, t0))
	must(t, db.Close())
	pgtest.Exec(t, to, `DELETE FROM phone_messages`)
	if _, err := copyTo(t, in.path, to); !errors.Is(err, copy.ErrCopied) {
		t.Errorf("got %v, want ErrCopied", err)
	}
	var left int
	if pgtest.Scan(t, to, `SELECT COUNT(*) FROM phone_messages`, &left); left != 0 {
		t.Errorf("%d messages were copied again", left)
	}
	// A trial copy of an older state of the source is refused.
	exec(t, raw(t, in.path), `UPDATE phone_messages SET text = 'new' WHERE seq = 5`)
	if _, err := copyTo(t, in.path, to); !errors.Is(err, copy.ErrOutdated) {
		t.Errorf("got %v, want ErrOutdated", err)
	}
}

// TestCopyInterrupted: an interrupted copy cannot be opened, and the next call continues
// it.
func TestCopyInterrupted(t *testing.T) {
	t.Parallel()
	lived := live(t)
	for _, batches := range []int{1, 3, 6, 11, 17} {
		t.Run(fmt.Sprint(batches), func(t *testing.T) {
			t.Parallel()
			in, to := lived, postgres(t)
			in.path = lived.twin(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			left, before := batches, map[string]int{}
			_, err := copy.Run(ctx, copy.Config{From: in.path, To: to, Key: key, Batch: 2, Progress: func(table string, rows int) {
				before[table] += rows
				if left--; left > 0 {
					return
				}
				if _, err := open(t, to, key, true); !errors.Is(err, store.ErrHalfCopied) {
					t.Errorf("opening the target during the copy: %v, want ErrHalfCopied", err)
				}
				if _, err := raw(t, in.path).ExecContext(t.Context(), `UPDATE accounts SET balance = 0`); err == nil {
					t.Error("the source was written during the copy")
				}
				cancel()
			}})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v, want context.Canceled", err)
			}
			if _, err := open(t, to, key, true); !errors.Is(err, store.ErrHalfCopied) {
				t.Errorf("opening an incomplete copy: %v, want ErrHalfCopied", err)
			}
			done, err := copy.Run(t.Context(), copy.Config{From: in.path, To: to, Key: key, Batch: 2, Progress: func(table string, rows int) {
				if rows == 0 && table != "settings" {
					t.Errorf("rows of %s were sent again", table)
				}
			}})
			must(t, err)
			for _, d := range done {
				if d.Copied+before[d.Name] != d.Compared && d.Name != "settings" {
					t.Errorf("%s: copied %d, then %d, of %d", d.Name, before[d.Name], d.Copied, d.Compared)
				}
			}
			wantCopy(t, in, to)
		})
	}
}

// TestCopyDiffers: every difference between source and target is reported without a phone
// number.
func TestCopyDiffers(t *testing.T) {
	t.Parallel()
	in := live(t)
	for _, tt := range []struct{ name, change, want string }{
		{"changed", `UPDATE ledger SET amount = amount + 1 WHERE kind = 'top-up'`, "column amount"},
		{"flag", `UPDATE accounts SET barred = FALSE`, "table accounts: source and target differ: row key trial001, column barred"},
		{"NULL", `UPDATE verifications SET node = NULL`, "column node"},
		{"bytes", `UPDATE account_secrets SET hash = hash || '\x00'`, "table account_secrets"},
		{"gone", `DELETE FROM blocked_numbers`, "row number …66 is not in the target"},
		{"more", `INSERT INTO blocked_numbers VALUES ('447700900077', '', 1)`, "row number …77 is in the target only"},
		{"other", `UPDATE blocked_numbers SET number = '447700900077'`, "row number …66 is not in the target"},
		{"setting", `INSERT INTO settings VALUES ('other', '')`, "row name other is in the target only"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			to := postgres(t)
			_, err := copy.Run(t.Context(), copy.Config{From: in.twin(t), To: to, Key: key, Progress: func(table string, _ int) {
				if table == "account_secrets" { // the last
					pgtest.Exec(t, to, tt.change)
				}
			}})
			if !errors.Is(err, copy.ErrDiffers) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "4477009000") {
				t.Errorf("got %v, want ErrDiffers with %q", err, tt.want)
			}
			if _, err := open(t, to, key, true); !errors.Is(err, store.ErrHalfCopied) {
				t.Errorf("opening the target: %v, want ErrHalfCopied", err)
			}
		})
	}
}

// TestCopyRefuses: a copy that would lose data, or mix two installations, is refused
// without a change.
func TestCopyRefuses(t *testing.T) {
	t.Parallel()
	in := live(t)
	for name, tt := range map[string]struct {
		prepare func(t *testing.T, cfg *copy.Config)
		want    error
		text    string
	}{
		"direction": {func(_ *testing.T, cfg *copy.Config) { cfg.From, cfg.To = cfg.To, cfg.From }, copy.ErrDirection, "SQLite to PostgreSQL"},
		"two files": {func(_ *testing.T, cfg *copy.Config) { cfg.To = cfg.From }, copy.ErrDirection, ""},
		"no source": {func(_ *testing.T, cfg *copy.Config) { cfg.From += ".gone" }, os.ErrNotExist, "no database"},
		"key":       {func(_ *testing.T, cfg *copy.Config) { cfg.Key = vault.NewKey() }, vault.ErrKey, "countersign.db"},
		"key of the target": {func(t *testing.T, cfg *copy.Config) {
			db, err := open(t, cfg.To, vault.NewKey(), true)
			must(t, err)
			must(t, db.Close())
		}, vault.ErrKey, "the target"},
		"accounts": {func(t *testing.T, cfg *copy.Config) {
			db, err := open(t, cfg.To, key, true)
			must(t, err)
			addAccount(t, db, "mine0001", 0)
			must(t, db.Close())
		}, copy.ErrForeign, "table accounts"},
		"prices": {func(t *testing.T, cfg *copy.Config) {
			pgtest.Exec(t, cfg.To, `UPDATE price_list SET amount = 1`)
		}, copy.ErrForeign, "table price_list"},
		"another source": {func(t *testing.T, cfg *copy.Config) {
			_, err := copyTo(t, live(t).path, cfg.To)
			must(t, err)
		}, copy.ErrForeign, ""},
		"server at the source": {func(t *testing.T, cfg *copy.Config) {
			db, err := open(t, cfg.From, key, true)
			must(t, err)
			t.Cleanup(func() { _ = db.Close() })
		}, store.ErrInUse, "copy from"},
		"server at the target": {func(t *testing.T, cfg *copy.Config) {
			openFile(t, cfg.To, key)
		}, store.ErrInUse, "copy to"},
		"schema": {func(t *testing.T, cfg *copy.Config) {
			exec(t, raw(t, cfg.From), `CREATE TABLE extra (id INTEGER PRIMARY KEY)`)
		}, nil, "table extra is in the source only"},
		"newer schema": {func(t *testing.T, cfg *copy.Config) {
			exec(t, raw(t, cfg.From), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, TRUE)`)
		}, store.ErrNewerSchema, "copy from"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := in.twin(t)
			cfg := copy.Config{From: path, To: postgres(t), Key: key}
			tt.prepare(t, &cfg)
			_, err := copy.Run(t.Context(), cfg)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, want %v with %q", err, tt.want, tt.text)
			}
			if _, err := os.Stat(path + ".gone"); err == nil {
				t.Error("a source was made")
			}
		})
	}
}

// TestCopyLaterTable: a table of a later migration is copied, also with partitions.
func TestCopyLaterTable(t *testing.T) {
	t.Parallel()
	in, to := live(t), postgres(t)
	exec(t, raw(t, in.path), `CREATE TABLE later (id BLOB PRIMARY KEY, ended_at BIGINT NOT NULL, document TEXT NOT NULL)`)
	pgtest.Exec(t, to, `CREATE TABLE later (id BYTEA, ended_at BIGINT NOT NULL, document TEXT NOT NULL, PRIMARY KEY (ended_at, id)) PARTITION BY RANGE (ended_at)`)
	pgtest.Exec(t, to, fmt.Sprintf(`CREATE TABLE later_2026_02 PARTITION OF later FOR VALUES FROM (%d) TO (%d)`,
		time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC).UnixMilli(), time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixMilli()))
	for i := range 7 {
		exec(t, raw(t, in.path), `INSERT INTO later VALUES ($1, $2, '{}')`, []byte{byte(9 - i)}, t0.AddDate(0, i, 0).UnixMilli())
	}
	_, err := copyTo(t, in.path, to)
	must(t, err)
	var rows, partitions int
	pgtest.Scan(t, to, `SELECT COUNT(*), COUNT(DISTINCT tableoid) FROM later`, &rows, &partitions)
	if rows != 7 || partitions != 7 {
		t.Errorf("%d rows in %d partitions, want one in each of 7 months", rows, partitions)
	}
}
