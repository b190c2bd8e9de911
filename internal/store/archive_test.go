package store_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/verify"
)

const ms = time.Millisecond

// finish adds a verification of a payment that ended at a time, with all that a
// verification can have.
func finish(t *testing.T, db *store.DB, number string, ended time.Time) *store.Row {
	t.Helper()
	req := request("demo0001", number)
	req.Payment, req.Sender = &verify.Payment{Payee: "Jane Doe", Amount: "9.50"}, "ACME"
	row, first := insert(t, db, req, ended.Add(-200*time.Second))
	write(t, db, func(tx *store.Tx) error {
		v := row.Verification
		first.State, first.Carrier, first.Error, first.Cost = verify.EventUndeliverable, "a", `486 "Busy" <Here>`, 12
		first.Failures = first.Failures.Add(verify.Failure{Carrier: "c", Error: `503 "Service" <Unavailable>`})
		errs := []error{tx.SaveEvent(first)}
		var check verify.Check
		v, check, _ = v.Check(pin(t, "nope1"), "192.0.2.1", ended.Add(-100*time.Second))
		errs = append(errs, tx.AddCheck(check))
		v, second, err := v.Trigger(ended.Add(-75*time.Second), rand.Reader)
		errs = append(errs, err, tx.AddEvent(second))
		second.State, second.Carrier = verify.EventAccepted, "b"
		part := verify.Part{Attempt: 1, Count: 1, Carrier: "b", Ref: number, State: verify.EventAccepted}
		errs = append(errs, tx.SaveEvent(second), tx.SavePart(second.Key(), part))
		v, check, err = v.Check(v.PIN, "", ended)
		row.Verification = v
		row.Drop()
		return errors.Join(append(errs, err, tx.AddCheck(check), tx.Save(row))...)
	})
	return row
}

func pin(t *testing.T, code string) verify.PIN {
	t.Helper()
	p, ok := verify.ParsePIN(code)
	if !ok {
		t.Fatalf("%s is no PIN", code)
	}
	return p
}

// withoutCodes is what search shows of a verification after it has moved.
func withoutCodes(rec store.Record) store.Record {
	rec.CheckList = append([]verify.Check(nil), rec.CheckList...)
	for i := range rec.CheckList {
		rec.CheckList[i].Code = verify.PIN{}
	}
	return rec
}

func wantRecord(t *testing.T, db *store.DB, want store.Record) {
	t.Helper()
	if got := record(t, db, want.Account, want.ID); !reflect.DeepEqual(got, want) {
		t.Errorf("the record is\n%+v\nwant\n%+v", got, want)
	}
}

func archive(t *testing.T, db *store.DB, c store.Cutoffs, limit, want int) {
	t.Helper()
	moved, err := db.Archive(t.Context(), c, limit)
	must(t, err)
	if moved != want {
		t.Errorf("%d have moved, want %d", moved, want)
	}
}

func testArchive(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	row := finish(t, db, "447700900000", at(0))
	other := finish(t, db, "447700900001", at(0).Add(ms))
	before, beforeOther := record(t, db, "demo0001", row.ID), record(t, db, "demo0001", other.ID)

	archive(t, db, store.Cutoffs{}, 10, 0)
	archive(t, db, store.Cutoffs{Codes: at(0).Add(-ms)}, 10, 0)
	wantRecord(t, db, before)
	if oldest, ok, err := db.OldestEnded(t.Context()); !oldest.Equal(at(0)) || !ok || err != nil {
		t.Errorf("OldestEnded = %v, %v, %v", oldest, ok, err)
	}
	archive(t, db, store.Cutoffs{Codes: at(0)}, 10, 1)
	if before.CheckList[0].Code.IsZero() || before.Payment.Payee == "" {
		t.Fatalf("nothing would be lost: %+v", before)
	}
	wantRecord(t, db, withoutCodes(before))
	wantRecord(t, db, beforeOther)

	if _, ok, err := db.Record(t.Context(), "else0001", row.ID); ok || err != nil {
		t.Errorf("another account finds it: %v, %v", ok, err)
	}
	write(t, db, func(tx *store.Tx) error {
		_, found, err := tx.Get("demo0001", row.ID)
		_, event, eventErr := tx.Event(verify.EventKey{Verification: row.ID})
		_, _, part, partErr := tx.Part("b", row.Number)
		if found || event || part {
			t.Errorf("verification %v, event %v, part %v are still where requests look", found, event, part)
		}
		return errors.Join(err, eventErr, partErr)
	})
	archive(t, db, store.Cutoffs{Codes: at(1)}, 10, 1)
	wantRecord(t, db, withoutCodes(beforeOther))
	if _, ok, err := db.OldestEnded(t.Context()); ok || err != nil {
		t.Errorf("OldestEnded = %v, %v; want none", ok, err)
	}
}

// testArchiveStays: what runs, and what a node still holds, stays where it is.
func testArchiveStays(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	running, _ := insert(t, db, request("demo0001", "447700900000"), t0)
	held := finish(t, db, "447700900001", at(0))
	held.Take("node", at(15))
	write(t, db, func(tx *store.Tx) error { return tx.Save(held) })
	archive(t, db, store.Cutoffs{Codes: at(1e6)}, 10, 0)
	held.Drop()
	write(t, db, func(tx *store.Tx) error { return tx.Save(held) })
	archive(t, db, store.Cutoffs{Codes: at(1e6)}, 10, 1)
	if get(t, db, "demo0001", running.ID).Status != verify.InProgress {
		t.Error("what ran has ended")
	}
}

// testArchiveOrder: the oldest move first, so that a batch is a deadline.
func testArchiveOrder(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	for _, i := range []int{3, 0, 4, 1, 2} {
		finish(t, db, fmt.Sprint("44770090000", i), at(float64(i)))
	}
	for i := 0; i < 5; i += 2 {
		archive(t, db, store.Cutoffs{Codes: at(100)}, 2, min(2, 5-i))
		if oldest, ok, err := db.OldestEnded(t.Context()); ok && !oldest.Equal(at(float64(i+2))) || err != nil {
			t.Errorf("after %d the oldest is of %v (%v)", i+2, oldest, err)
		}
	}
}

func redact(t *testing.T, db *store.DB, ended time.Time, limit, want int) {
	t.Helper()
	n, err := db.Redact(t.Context(), ended, limit)
	must(t, err)
	if n != want {
		t.Errorf("%d were redacted, want %d", n, want)
	}
}

func anonymous(rec store.Record) store.Record {
	rec = withoutCodes(rec)
	rec.Number, rec.Payment = "", &verify.Payment{Amount: rec.Payment.Amount}
	for i := range rec.CheckList {
		rec.CheckList[i].IPAddress = ""
	}
	return rec
}

func testRedact(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	month := 31 * 24 * time.Hour
	var before []store.Record
	for i := range 3 {
		row := finish(t, db, fmt.Sprint("44770090000", i), at(0).Add(time.Duration(i)*month)) // of several partitions
		before = append(before, record(t, db, "demo0001", row.ID))
	}
	redact(t, db, at(1e9), 10, 0) // nothing has moved
	archive(t, db, store.Cutoffs{Codes: at(1e9)}, 10, 3)
	redact(t, db, at(0).Add(-ms), 10, 0)
	wantRecord(t, db, withoutCodes(before[0]))
	redact(t, db, at(0), 10, 1)
	wantRecord(t, db, anonymous(before[0]))
	wantRecord(t, db, withoutCodes(before[1]))
	redact(t, db, at(1e9), 1, 1)
	wantRecord(t, db, withoutCodes(before[2]))
	redact(t, db, at(1e9), 10, 1)
	redact(t, db, at(1e9), 10, 0)
	wantRecord(t, db, anonymous(before[1]))
	wantRecord(t, db, anonymous(before[2]))
}

// testArchiveLate: what is found only when it should have lost its number, or gone
// altogether, does so on the way.
func testArchiveLate(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	gone, named := finish(t, db, "447700900000", at(0)), finish(t, db, "447700900001", at(0).Add(2*ms))
	bare := finish(t, db, "447700900002", at(0).Add(ms))
	before, beforeBare := record(t, db, "demo0001", named.ID), record(t, db, "demo0001", bare.ID)
	archive(t, db, store.Cutoffs{Codes: at(1), Numbers: at(0).Add(ms), History: at(0)}, 10, 3)
	wantGone(t, db, gone.ID)
	wantRecord(t, db, anonymous(beforeBare))
	wantRecord(t, db, withoutCodes(before))
	redact(t, db, at(0).Add(ms), 10, 0)
}

func wantGone(t *testing.T, db *store.DB, id verify.ID) {
	t.Helper()
	if rec, ok, err := db.Record(t.Context(), "demo0001", id); ok || err != nil {
		t.Errorf("it is still there: %+v (%v)", rec, err)
	}
}

func drop(t *testing.T, db *store.DB, ended time.Time, want bool) {
	t.Helper()
	more, err := db.Drop(t.Context(), ended, 1)
	must(t, err)
	if more != want {
		t.Errorf("Drop until %v = %v, want %v", ended, more, want)
	}
}

// testDrop: a verification goes when its time is over; on PostgreSQL, when that of
// its month is.
func testDrop(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	december := time.Date(2025, 12, 31, 23, 59, 59, 999e6, time.UTC)
	first, last := finish(t, db, "447700900000", december), finish(t, db, "447700900001", t0)
	archive(t, db, store.Cutoffs{Codes: at(0)}, 10, 2)
	after := december // when the first goes
	if db.Shared() {
		after = december.Add(ms) // the month is over then
	}
	drop(t, db, after.Add(-ms), false)
	record(t, db, "demo0001", first.ID)
	drop(t, db, after, true)
	drop(t, db, after, false)
	wantGone(t, db, first.ID)
	record(t, db, "demo0001", last.ID)
	drop(t, db, t0.Add(31*24*time.Hour), true)
	wantGone(t, db, last.ID)
}

// engines runs a test that needs the place of its database on both engines.
func engines(t *testing.T, test func(t *testing.T, database string)) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, pgtest.File(t, filepath.Join(t.TempDir(), "countersign.db"), "migrated", store.Migrate))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, postgres(t))
	})
}

// TestArchiveTellsNothing: nothing that tells of a person, and no code, is where it
// could stay behind.
func TestArchiveTellsNothing(t *testing.T) {
	engines(t, func(t *testing.T, database string) {
		db := openFile(t, database, key)
		addAccount(t, db, "demo0001", 0)
		finish(t, db, "447700900000", at(0))
		archive(t, db, store.Cutoffs{Codes: at(0)}, 10, 1)
		side, err := pgtest.Open(database)
		must(t, err)
		t.Cleanup(func() { _ = side.Close() })
		var doc, personal string
		must(t, side.QueryRowContext(t.Context(), `SELECT document, personal FROM archive`).Scan(&doc, &personal))
		for _, secret := range []string{"447700900000", "Jane", "192.0.2.1", "nope1"} {
			if strings.Contains(doc, secret) {
				t.Errorf("the document tells %s: %s", secret, doc)
			}
		}
		if !strings.Contains(personal, "192.0.2.1") || strings.Contains(personal, "nope1") {
			t.Errorf("personal is %s", personal)
		}
		redact(t, db, at(0), 10, 1)
		var left int
		must(t, side.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM archive WHERE number IS NOT NULL OR personal IS NOT NULL`).Scan(&left))
		if left != 0 {
			t.Errorf("%d rows still tell of a person", left)
		}
		for _, table := range []string{"verifications", "events", "checks", "parts"} {
			must(t, side.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM `+table).Scan(&left))
			if left != 0 {
				t.Errorf("%d rows are left in %s", left, table)
			}
		}
	})
}
