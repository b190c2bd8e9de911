package store_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/pressly/goose/v3"

	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// schema applies the migrations of an engine by hand.
func schema(t *testing.T, db *sql.DB) *goose.Provider {
	t.Helper()
	p, err := goose.NewProvider(goose.DialectSQLite3, db, os.DirFS("migrations/sqlite"))
	must(t, err)
	return p
}

// TestSQLiteMigratesReceipts: a database from before receipts keeps what is in it
// on the way to them, back, and there again.
func TestSQLiteMigratesReceipts(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "countersign.db")
	file := raw(t, path)
	_, err := schema(t, file).UpTo(t.Context(), 1)
	must(t, err)
	exec(t, file, `INSERT INTO accounts (key, name, custom_pin, rate, balance, created_at) VALUES ('demo0001', 'Demo', TRUE, 7, 42, 1000)`)
	exec(t, file, `INSERT INTO ledger (key, account, kind, amount, created_at) VALUES ('top-up/1', 'demo0001', 'top-up', 42, 1000)`)
	id, event := verify.ID{1}, verify.ID{2}
	exec(t, file, `INSERT INTO verifications (id, account, number, country, brand, sender, locale, code_length, chosen_pin, workflow,
			price, submitted_at, status, finalized_at, generation, pin_expires_at, tries, events, first_event_at, last_event_at, last_event_id, fence)
		VALUES ($1, 'demo0001', '447700900000', 'GB', 'Acme', '', 'en-gb', 4, FALSE, '{"steps":[{"channel":"sms","wait":125000}]}',
			5, 1000, 'SUCCESS', 2000, 1, 301000, 1, 1, 1000, 1000, $2, 3)`, id[:], event[:])
	exec(t, file, `INSERT INTO events (id, verification, seq, channel, generation, state, attempt, started_at, carrier, carrier_ref, cost)
		VALUES ($1, $2, 0, 'sms', 1, 'accepted', 2, 1000, 'phone', '17', 9)`, event[:], id[:])
	exec(t, file, `INSERT INTO checks (verification, seq, generation, valid, ip_address, received_at) VALUES ($1, 0, 1, TRUE, '192.0.2.1', 2000)`, id[:])

	for _, journey := range []string{"there", "there again"} {
		db, err := open(t, path, key, true)
		must(t, err)
		wantMigrated(t, db, id, event)
		// What is new works on what is old, and its use does not hinder the way back.
		part := verify.Part{Attempt: 1, Count: 1, Carrier: "phone", Ref: "17", State: verify.EventDelivered}
		key := verify.EventKey{Verification: id}
		savePart(t, db, key, part)
		wantParts(t, db, key, part)
		keep(t, db, "99", verify.EventDelivered, "", t0)
		must(t, db.SetOnUndeliverable(t.Context(), "demo0001", verify.UndeliverableNextEvent))
		must(t, db.Close())

		_, err = schema(t, file).DownTo(t.Context(), 1)
		must(t, err)
		for _, gone := range []string{`SELECT * FROM parts`, `SELECT * FROM receipts`, `SELECT error FROM events`, `SELECT on_undeliverable FROM accounts`} {
			if err := file.QueryRowContext(t.Context(), gone).Scan(); err == nil || errors.Is(err, sql.ErrNoRows) {
				t.Errorf("%s: after the way back %q is still there", journey, gone)
			}
		}
		var carrier, ref string
		must(t, file.QueryRowContext(t.Context(), `SELECT carrier, carrier_ref FROM events WHERE id = $1`, event[:]).Scan(&carrier, &ref))
		if carrier != "phone" || ref != "" { // the old ids are not kept: nothing used them
			t.Errorf("%s: after the way back the event is with %q under %q", journey, carrier, ref)
		}
	}
}

func wantMigrated(t *testing.T, db *store.DB, id, event verify.ID) {
	t.Helper()
	c, err := db.Credentials(t.Context(), "demo0001")
	want := verify.Account{Key: "demo0001", Name: "Demo", CustomPIN: true, Rate: 7, Balance: 42, OnUndeliverable: verify.UndeliverableWait}
	if err != nil || !reflect.DeepEqual(c.Account, want) {
		t.Errorf("the account is %+v (%v), want %+v", c.Account, err, want)
	}
	sum, _, err := db.LedgerSum(t.Context(), "demo0001")
	if err != nil || sum != 42 {
		t.Errorf("the ledger comes to %s (%v)", sum, err)
	}
	rec := record(t, db, "demo0001", id)
	if rec.Status != verify.Success || rec.Number != "447700900000" || rec.Price != 5 || len(rec.CheckList) != 1 || len(rec.EventList) != 1 {
		t.Fatalf("the verification is %+v", rec)
	}
	first := verify.Event{
		ID: event, Verification: id, Channel: verify.SMS, Generation: 1, State: verify.EventAccepted, Attempt: 2,
		StartedAt: rec.SubmittedAt, Carrier: "phone", Cost: 9,
	}
	if rec.EventList[0] != first {
		t.Errorf("the event is %+v, want %+v", rec.EventList[0], first)
	}
	wantParts(t, db, verify.EventKey{Verification: id})
	wantReceipt(t, db, "99", t0, "", "")
}

// TestMigratesOrder: events, and what carriers took of them, are what they were after
// the way back to the schema in which an event was found by its id, and there again.
func TestMigratesOrder(t *testing.T) {
	t.Parallel()
	for name, engine := range map[string]struct {
		dialect  goose.Dialect
		database func(*testing.T) string
	}{
		"sqlite":   {goose.DialectSQLite3, func(t *testing.T) string { return filepath.Join(t.TempDir(), "countersign.db") }},
		"postgres": {goose.DialectPostgres, postgres},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := engine.database(t)
			db, err := open(t, database, key, false)
			must(t, err)
			addAccount(t, db, "demo0001", 0)
			row, first := insert(t, db, request("demo0001", "447700900000"), t0)
			_, other := insert(t, db, request("demo0001", "447700900001"), t0)
			second := first
			second.ID, second.Seq = verify.ID{1}, 1
			write(t, db, func(tx *store.Tx) error { return tx.AddEvent(second) })
			part := verify.Part{Attempt: 1, Count: 1, State: verify.EventDelivered, Error: "000"}
			events := map[[2]string]verify.Event{{"a", "0"}: first, {"a", "1"}: second, {"b", "0"}: other}
			for at, e := range events {
				part.Carrier, part.Ref = at[0], at[1]
				savePart(t, db, e.Key(), part)
			}
			before := record(t, db, "demo0001", row.ID)
			must(t, db.Close())

			file, err := pgtest.Open(database)
			must(t, err)
			defer file.Close()
			p, err := goose.NewProvider(engine.dialect, file, os.DirFS("migrations/"+name))
			must(t, err)
			_, err = p.DownTo(t.Context(), 11)
			must(t, err)
			for at, e := range events {
				var id []byte
				must(t, file.QueryRowContext(t.Context(), `SELECT event FROM parts WHERE carrier = $1 AND ref = $2`, at[0], at[1]).Scan(&id))
				if verify.ID(id) != e.ID {
					t.Errorf("back, part %v is of event %x, want %s", at, id, e.ID)
				}
			}

			db, err = open(t, database, key, false)
			must(t, err)
			defer db.Close()
			for at, e := range events {
				part.Carrier, part.Ref = at[0], at[1]
				if got, p, ok := loadPart(t, db, at[0], at[1]); !ok || got != e.Key() || p != part {
					t.Errorf("part %v is %+v of event %v (%v), want %+v of %v", at, p, got, ok, part, e.Key())
				}
				wantParts(t, db, e.Key(), part)
				wantEvent(t, db, e.Key(), e)
			}
			if after := record(t, db, "demo0001", row.ID); !reflect.DeepEqual(after, before) {
				t.Errorf("the verification is %+v, want %+v", after, before)
			}
		})
	}
}
