package store_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/verify"
)

const ms = time.Millisecond

// finish adds a verification of a payment that ended at a time, with everything that a
// verification can have.
func finish(t *testing.T, db *store.DB, number string, ended time.Time) verify.Verification {
	t.Helper()
	before := func(s int) time.Time { return ended.Add(-time.Duration(s) * time.Second) }
	req := request("demo0001", number)
	req.Payment, req.Sender = &verify.Payment{Payee: "Jane Doe", Amount: "9.50"}, "ACME"
	v := begin(t, db, req, before(200))
	o := outcome(v, verify.EventUndeliverable)
	o.Error, o.Cost = `486 "Busy" <Here>`, 12
	o.Failures = o.Failures.Add(verify.Failure{Carrier: "c", Error: `503 "Service" <Unavailable>`})
	v = save(t, db, v.Outcome(o, onFailure(), before(199)))
	v = checked(t, db, v, pin(t, "nope1"), "192.0.2.1", before(100))
	c, err := v.Trigger("node-1", verify.Uncapped{}, before(75), rand.Reader)
	must(t, err)
	v = save(t, db, c)
	v = save(t, db, v.Outcome(accepted(v, refOf(number)), onFailure(), before(74)))
	return checked(t, db, v, v.PIN, "", ended)
}

// refOf returns the ref of the message to a number.
func refOf(number string) string { return fmt.Sprintf("%x", number) }

func pin(t *testing.T, code string) verify.PIN {
	t.Helper()
	p, ok := verify.ParsePIN(code)
	if !ok {
		t.Fatalf("%s is no PIN", code)
	}
	return p
}

// withoutCodes returns the archived form of a verification: no codes, lease or next step.
func withoutCodes(v verify.Verification) verify.Verification {
	v.PIN, v.ChosenPIN, v.Lease, v.NextAt = verify.PIN{}, verify.PIN{}, verify.Lease{}, time.Time{}
	v.Checks = slices.Clone(v.Checks)
	for i := range v.Checks {
		v.Checks[i].Code = verify.PIN{}
	}
	return v
}

func wantFound(t *testing.T, db *store.DB, want verify.Verification) {
	t.Helper()
	if got := find(t, db, want.ID); !reflect.DeepEqual(got, want) {
		t.Errorf("the verification is\n%+v\nwant\n%+v", got, want)
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
	first := finish(t, db, "447700900000", at(0))
	other := finish(t, db, "447700900001", at(0).Add(ms))

	archive(t, db, store.Cutoffs{}, 10, 0)
	archive(t, db, store.Cutoffs{Codes: at(0).Add(-ms)}, 10, 0)
	same(t, db, first)
	if oldest, ok, err := db.OldestEnded(t.Context()); !oldest.Equal(at(0)) || !ok || err != nil {
		t.Errorf("OldestEnded = %v, %v, %v", oldest, ok, err)
	}
	archive(t, db, store.Cutoffs{Codes: at(0)}, 10, 1)
	if first.Checks[0].Code.IsZero() || first.Payment.Payee == "" {
		t.Fatalf("the verification has no codes to lose: %+v", first)
	}
	wantFound(t, db, withoutCodes(first))
	same(t, db, other)

	write(t, db, func(tx *store.Tx) error {
		_, found, err := tx.Verification(first.ID)
		_, ref, refErr := tx.VerificationOf(verify.Ref{Carrier: "a", ID: refOf(first.To.Given)})
		if found || ref {
			t.Errorf("verification %v, message id %v are still in the tables of requests", found, ref)
		}
		return errors.Join(err, refErr)
	})
	archive(t, db, store.Cutoffs{Codes: at(1)}, 10, 1)
	wantFound(t, db, withoutCodes(other))
	if _, ok, err := db.OldestEnded(t.Context()); ok || err != nil {
		t.Errorf("OldestEnded = %v, %v; want ok = false", ok, err)
	}
}

// testArchiveEveryField: the archive keeps every field of a verification except its codes,
// and after the erasure of personal data all other fields.
func testArchiveEveryField(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	for i, paid := range []bool{true, false} {
		v := filled(t, fmt.Sprint("44770090000", i))
		// An end that is refunded, or that needs no refund.
		v.Status, v.Paid, v.Unsent, v.Lease, v.NextAt = verify.Expired, paid, !paid, verify.Lease{}, time.Time{}
		save(t, db, verify.Change{Verification: v, New: true})
		archive(t, db, store.Cutoffs{Codes: v.FinalizedAt}, 10, 1)
		wantFound(t, db, withoutCodes(v))
		redact(t, db, v.FinalizedAt, 10, 1)
		wantFound(t, db, anonymous(v))
	}
}

// testArchivePersonal: payee and IP addresses are kept until the erasure, each also without
// the other.
func testArchivePersonal(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	for i, tt := range []struct {
		payment *verify.Payment
		ips     []string // IP addresses of the checks
	}{
		{nil, nil},
		{nil, []string{""}},
		{nil, []string{"", "192.0.2.1"}},
		{&verify.Payment{Amount: "5"}, []string{"192.0.2.1", ""}},
		{&verify.Payment{Amount: "5", Payee: "Shop"}, []string{""}},
		{&verify.Payment{Amount: "5", Payee: "Shop"}, nil},
	} {
		req := request("demo0001", fmt.Sprint("44770090000", i))
		req.Payment = tt.payment
		v := sent(t, db, req, t0)
		for _, ip := range tt.ips {
			v = checked(t, db, v, pin(t, "0000000"), ip, at(1))
		}
		v = save(t, db, v.Withdraw(at(2)))
		archive(t, db, store.Cutoffs{Codes: at(2)}, 10, 1)
		wantFound(t, db, withoutCodes(v))
		redact(t, db, at(2), 10, 1)
		wantFound(t, db, anonymous(v))
	}
}

// testArchiveMessageIDs: the move of a verification deletes its message ids, also if the
// verification is too old for the archive.
func testArchiveMessageIDs(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	finish(t, db, "447700900000", at(0))
	finish(t, db, "447700900001", at(1))
	running := sent(t, db, request("demo0001", "447700900002"), t0, "3")
	archive(t, db, store.Cutoffs{Codes: at(2), History: at(0)}, 10, 2)
	for _, ref := range []string{"447700900000", "447700900001"} {
		wantOf(t, db, "a", ref, verify.ID{})
	}
	wantOf(t, db, "a", "3", running.ID)
}

// testArchiveStays: a verification in progress, or with a lease, is not moved.
func testArchiveStays(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	running := begin(t, db, request("demo0001", "447700900000"), t0)
	held := put(t, db, lease(finish(t, db, "447700900001", at(0)), "node", at(15)))
	archive(t, db, store.Cutoffs{Codes: at(1e6)}, 10, 0)
	put(t, db, released(held))
	archive(t, db, store.Cutoffs{Codes: at(1e6)}, 10, 1)
	if get(t, db, running.ID).Status != verify.InProgress {
		t.Error("the verification in progress has ended")
	}
}

// testArchiveOrder: the oldest are moved first, so that the age of the rest is bounded.
func testArchiveOrder(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	for _, i := range []int{3, 0, 4, 1, 2} {
		finish(t, db, fmt.Sprint("44770090000", i), at(float64(i)))
	}
	for i := 0; i < 5; i += 2 {
		archive(t, db, store.Cutoffs{Codes: at(100)}, 2, min(2, 5-i))
		if oldest, ok, err := db.OldestEnded(t.Context()); ok && !oldest.Equal(at(float64(i+2))) || err != nil {
			t.Errorf("after %d the oldest ended at %v (%v)", i+2, oldest, err)
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

// anonymous returns the archived form of a verification after the erasure of personal data.
func anonymous(v verify.Verification) verify.Verification {
	v = withoutCodes(v)
	v.To.Given, v.To.Canonical = "", ""
	v.Workflow.Steps = slices.Clone(v.Workflow.Steps)
	for i := range v.Workflow.Steps {
		to := &v.Workflow.Steps[i].To
		to.Given, to.Canonical = "", ""
	}
	if v.Payment != nil {
		v.Payment = &verify.Payment{Amount: v.Payment.Amount}
	}
	for i := range v.Checks {
		v.Checks[i].IPAddress = ""
	}
	return v
}

func testRedact(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	month := 31 * 24 * time.Hour
	var before []verify.Verification
	for i := range 3 {
		before = append(before, finish(t, db, fmt.Sprint("44770090000", i), at(0).Add(time.Duration(i)*month))) // for several partitions
	}
	redact(t, db, at(1e9), 10, 0) // none is archived
	archive(t, db, store.Cutoffs{Codes: at(1e9)}, 10, 3)
	redact(t, db, at(0).Add(-ms), 10, 0)
	wantFound(t, db, withoutCodes(before[0]))
	redact(t, db, at(0), 10, 1)
	wantFound(t, db, anonymous(before[0]))
	wantFound(t, db, withoutCodes(before[1]))
	redact(t, db, at(1e9), 1, 1)
	wantFound(t, db, withoutCodes(before[2]))
	redact(t, db, at(1e9), 10, 1)
	redact(t, db, at(1e9), 10, 0)
	wantFound(t, db, anonymous(before[1]))
	wantFound(t, db, anonymous(before[2]))
}

// testArchiveLate: a verification that is archived late loses its number, or is deleted, in
// the same step.
func testArchiveLate(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	gone, named := finish(t, db, "447700900000", at(0)), finish(t, db, "447700900001", at(0).Add(2*ms))
	bare := finish(t, db, "447700900002", at(0).Add(ms))
	archive(t, db, store.Cutoffs{Codes: at(1), Numbers: at(0).Add(ms), History: at(0)}, 10, 3)
	wantGone(t, db, gone.ID)
	wantFound(t, db, anonymous(bare))
	wantFound(t, db, withoutCodes(named))
	redact(t, db, at(0).Add(ms), 10, 0)
}

func wantGone(t *testing.T, db *store.DB, id verify.ID) {
	t.Helper()
	if v, ok, err := db.Verification(t.Context(), id); ok || err != nil {
		t.Errorf("the verification remains: %+v (%v)", v, err)
	}
}

func drop(t *testing.T, db *store.DB, ended time.Time, want bool) {
	t.Helper()
	more, err := db.PurgeArchive(t.Context(), ended, 1)
	must(t, err)
	if more != want {
		t.Errorf("PurgeArchive until %v = %v, want %v", ended, more, want)
	}
}

// testPurgeArchive: a verification is deleted at the end of its retention; on PostgreSQL,
// at the end of its month's retention.
func testPurgeArchive(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	december := time.Date(2025, 12, 31, 23, 59, 59, 999e6, time.UTC)
	first, last := finish(t, db, "447700900000", december), finish(t, db, "447700900001", t0)
	archive(t, db, store.Cutoffs{Codes: at(0)}, 10, 2)
	after := december // the first is deleted
	if db.Shared() {
		after = december.Add(ms) // the month has ended
	}
	drop(t, db, after.Add(-ms), false)
	find(t, db, first.ID)
	drop(t, db, after, true)
	drop(t, db, after, false)
	wantGone(t, db, first.ID)
	find(t, db, last.ID)
	drop(t, db, t0.Add(31*24*time.Hour), true)
	wantGone(t, db, last.ID)
}

// engines runs a test on both engines, with the path or URL of a database.
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

// TestArchiveTellsNothing: the archive has no codes. Personal data is only in the columns
// address and personal, and is erased there.
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
				t.Errorf("the document contains %s: %s", secret, doc)
			}
		}
		if !strings.Contains(personal, "192.0.2.1") || strings.Contains(personal, "nope1") {
			t.Errorf("personal is %s", personal)
		}
		redact(t, db, at(0), 10, 1)
		var left int
		must(t, side.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM archive WHERE address IS NOT NULL OR personal IS NOT NULL`).Scan(&left))
		if left != 0 {
			t.Errorf("%d rows still have personal data", left)
		}
		for _, table := range []string{"verifications", "message_ids"} {
			must(t, side.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM `+table).Scan(&left))
			if left != 0 {
				t.Errorf("%d rows are left in %s", left, table)
			}
		}
	})
}
