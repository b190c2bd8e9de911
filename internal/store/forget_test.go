package store_test

import (
	"bytes"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"countersign/internal/deliver/virtual"
	"countersign/internal/inbox"
	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/verify"
)

const (
	forgotten = "447700900042"
	kept      = "447700900043"
)

// withdraw ends the verifications in progress of a number, as the engine does before the
// erasure. It reports whether there were any.
func withdraw(t *testing.T, db *store.DB, number string, now time.Time) (found bool) {
	t.Helper()
	must(t, db.Write(t.Context(), store.Scope{Number: number}, func(tx *store.Tx) error {
		running, err := tx.RunningOf(number)
		for _, v := range running {
			found = true
			err = errors.Join(err, tx.Save(v.Withdraw(now)))
		}
		return err
	}))
	return found
}

// testForgetForms: a number is erased in both of its forms, for either given form.
func testForgetForms(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	const mobile, landline = "5491123456789", "541123456789"
	now := at(1)
	ids := []verify.ID{finish(t, db, mobile, at(0)).ID, finish(t, db, landline, at(0)).ID}
	must(t, db.BlockNumber(t.Context(), store.BlockedNumber{Number: mobile, CreatedAt: t0}))
	for _, number := range []string{mobile, landline} {
		must(t, inbox.New(db).AddMessage(t.Context(), virtual.Message{
			EventID: verify.NewID(rand.Reader), RequestID: verify.NewID(rand.Reader), Number: number, SentAt: now,
		}))
	}
	running := sent(t, db, request("demo0001", mobile), now)
	f := store.Forget{Number: landline, Unblock: true}
	if got, err := db.ForgetNumber(t.Context(), f, now); !errors.Is(err, store.ErrRunning) {
		t.Errorf("while the other form is in progress: %+v, %v", got, err)
	}
	if !withdraw(t, db, landline, now) {
		t.Error("the other form is not found in progress")
	}
	ids = append(ids, running.ID)
	want := store.Forgotten{Verifications: 3, Messages: 2, Unblocked: true}
	if got, err := db.ForgetNumber(t.Context(), f, now); got != want || err != nil {
		t.Errorf("forgot %+v (%v), want %+v", got, err, want)
	}
	for _, id := range ids {
		if v := find(t, db, id); v.To.Given != "" {
			t.Errorf("%s remains", v.To.Given)
		}
	}
}

// testForget: all data of the number is erased, and all data of other numbers remains.
func testForget(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	must(t, db.CreateAccount(t.Context(), store.NewAccount{
		Account: verify.Account{Key: "trial001", Trial: true}, Secret: "other", Approved: []string{forgotten, kept},
	}, t0))
	must(t, db.BlockNumber(t.Context(), store.BlockedNumber{Number: forgotten, CreatedAt: t0}))
	month := 31 * day
	var gone, stay []verify.Verification
	for i := range 3 { // archived in several months; 60 are more than a batch
		gone = append(gone, finish(t, db, forgotten, at(float64(i)).Add(time.Duration(i)*month)))
		stay = append(stay, finish(t, db, kept, at(float64(i)).Add(time.Duration(i)*month)))
	}
	archive(t, db, store.Cutoffs{Codes: at(0).Add(4 * month)}, 10, 6)
	now := at(0).Add(4 * month)
	for i := range 60 {
		gone = append(gone, finish(t, db, forgotten, now.Add(-time.Duration(i)*time.Minute)))
	}
	over := finish(t, db, kept, now)
	for i, number := range []string{forgotten, kept, forgotten} {
		must(t, inbox.New(db).AddMessage(t.Context(), virtual.Message{
			EventID: verify.NewID(rand.Reader), RequestID: verify.NewID(rand.Reader), Number: number, Text: fmt.Sprint(i), SentAt: now,
		}))
	}
	running := sent(t, db, request("demo0001", forgotten), now)
	for _, number := range []string{forgotten, kept} {
		sendOne(t, db, store.Scope{Number: number}, number, "demo0001")
	}
	before := gone[5]

	got, err := db.ForgetNumber(t.Context(), store.Forget{Number: forgotten, Unblock: true}, now.Add(time.Second))
	if !errors.Is(err, store.ErrRunning) || got != (store.Forgotten{}) {
		t.Errorf("while one is in progress: %+v, %v; want ErrRunning and no change", got, err)
	}
	wantFound(t, db, before)
	if blocked, err := db.Blocked(t.Context(), forgotten); !blocked || err != nil {
		t.Errorf("a refusal has lifted the block (%v)", err)
	}

	withdraw(t, db, forgotten, now.Add(time.Second))
	want := store.Forgotten{Verifications: 61, Archived: 3, Messages: 2, Approved: 1, Guarded: true, Blocked: true}
	if got, err = db.ForgetNumber(t.Context(), store.Forget{Number: forgotten}, now.Add(time.Second)); got != want || err != nil {
		t.Errorf("forgot %+v (%v), want %+v", got, err, want)
	}
	for _, v := range gone {
		wantFound(t, db, anonymous(v))
	}
	for _, v := range stay {
		wantFound(t, db, withoutCodes(v))
	}
	same(t, db, over)
	if v := find(t, db, running.ID); v.Status != verify.Cancelled || v.To.Given != "" {
		t.Errorf("the verification that was in progress is %s of %q, want it cancelled", v.Status, v.To.Given)
	}
	if list, err := inbox.New(db).Messages(t.Context(), "", 10); len(list) != 1 || list[0].Number != kept || err != nil {
		t.Errorf("messages %+v (%v)", list, err)
	}
	for number, want := range map[string]bool{forgotten: false, kept: true} {
		if got, err := db.Approved(t.Context(), "trial001", number); got != want || err != nil {
			t.Errorf("%s is approved: %v (%v), want %v", number, got, err, want)
		}
	}
	if len(historyOf(t, db, forgotten).Uses) != 0 || len(historyOf(t, db, kept).Uses) != 1 {
		t.Error("the history of the number remains, or the history of another is deleted")
	}
	want = store.Forgotten{Unblocked: true}
	if got, err := db.ForgetNumber(t.Context(), store.Forget{Number: forgotten, Unblock: true}, now); got != want || err != nil {
		t.Errorf("again: %+v (%v), want %+v", got, err, want)
	}
}

// testForgetHeld: verifications with a lease are counted and not erased.
func testForgetHeld(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	v := begin(t, db, request("demo0001", forgotten), t0)
	sendOne(t, db, store.Scope{}, forgotten, "demo0001")
	sendOne(t, db, store.Scope{}, kept, "demo0001")
	withdraw(t, db, forgotten, at(1))
	want := store.Forgotten{Guarded: true, Held: 1}
	if got, err := db.ForgetNumber(t.Context(), store.Forget{Number: forgotten}, at(1)); got != want || err != nil {
		t.Errorf("forgot %+v (%v), want %+v", got, err, want)
	}
	if len(historyOf(t, db, forgotten).Uses) != 0 || len(historyOf(t, db, kept).Uses) != 1 {
		t.Error("want the history of the number deleted, and the history of the other kept")
	}
	save(t, db, get(t, db, v.ID).Outcome(accepted(v), onFailure(), at(2)))
	// A verification past its end is over before a node has expired it.
	late := sent(t, db, request("demo0001", forgotten), t0)
	withdraw(t, db, forgotten, at(1e6))
	want = store.Forgotten{Verifications: 2}
	if got, err := db.ForgetNumber(t.Context(), store.Forget{Number: forgotten}, at(1e6)); got != want || err != nil {
		t.Errorf("forgot %+v (%v), want %+v", got, err, want)
	}
	if v := find(t, db, late.ID); v.Status != verify.Expired || v.To.Given != "" {
		t.Errorf("the overdue verification is %s of %q", v.Status, v.To.Given)
	}
}

// TestSQLiteForgets: neither the file nor its auxiliary files contain the number.
func TestSQLiteForgets(t *testing.T) {
	t.Parallel()
	path := sqlite(t)
	db := openFile(t, path, key)
	addAccount(t, db, "demo0001", 0)
	has := func(number string) (found bool) {
		t.Helper()
		for _, suffix := range []string{"", "-wal", "-shm"} {
			text, err := os.ReadFile(path + suffix)
			must(t, err)
			found = found || bytes.Contains(text, []byte(number))
		}
		return found
	}
	for i := range 200 {
		finish(t, db, fmt.Sprintf("4477009001%02d", i), at(float64(i)))
	}
	for i := range 20 {
		finish(t, db, forgotten, at(float64(10*i)))
		finish(t, db, kept, at(float64(10*i)))
	}
	must(t, inbox.New(db).AddMessage(t.Context(), virtual.Message{EventID: verify.ID{1}, Number: forgotten, Text: "to " + forgotten, SentAt: t0}))
	if moved, err := db.Archive(t.Context(), store.Cutoffs{Codes: at(100)}, 200); moved == 0 || err != nil {
		t.Fatalf("%d were archived (%v)", moved, err)
	}
	if !has(forgotten) {
		t.Fatal("the number is not found before its erasure: the search does not work")
	}
	_, err := db.ForgetNumber(t.Context(), store.Forget{Number: forgotten}, at(1e4))
	must(t, err)
	if has(forgotten) || !has(kept) {
		t.Errorf("the files contain the number: %v, another: %v; want false and true", has(forgotten), has(kept))
	}
}

// TestForgetSteps: with the address of a verification, the addresses of its steps leave the
// database. An e-mail address is given in its canonical form.
func TestForgetSteps(t *testing.T) {
	engines(t, func(t *testing.T, database string) {
		db := openFile(t, database, key)
		addAccount(t, db, "demo0001", 0)
		mail := verify.Address{Kind: verify.Email, Given: "Jane@Example.com", Canonical: "jane@example.com"}
		bySMS := request("demo0001", forgotten)
		bySMS.Workflow.Steps[1] = verify.Step{Channel: verify.Mail, Wait: time.Minute, To: mail}
		byMail := request("demo0001", kept)
		byMail.To, byMail.Workflow.Steps = mail, []verify.Step{{Channel: verify.Mail, Wait: time.Minute}}
		byOther := request("demo0001", kept)
		for _, archived := range []bool{true, false} {
			var list []verify.Verification
			for _, req := range []verify.Request{bySMS, byMail, byOther} {
				v := sent(t, db, req, t0)
				list = append(list, save(t, db, v.Withdraw(at(1))))
			}
			if archived {
				archive(t, db, store.Cutoffs{Codes: at(1)}, 10, 3)
				wantFound(t, db, withoutCodes(list[0]))
				wantFound(t, db, withoutCodes(list[1]))
			}
			want := store.Forgotten{Verifications: 1}
			if archived {
				want = store.Forgotten{Archived: 1}
			}
			if n := traces(t, database, "jane"); n != 2 {
				t.Errorf("archived %t: %d rows contain the e-mail address, want 2", archived, n)
			}
			for _, number := range []string{forgotten, mail.Canonical} {
				got, err := db.ForgetNumber(t.Context(), store.Forget{Number: number}, at(100))
				if err != nil || got != want {
					t.Errorf("archived %t: forgot %+v (%v), want %+v", archived, got, err, want)
				}
			}
			wantFound(t, db, anonymous(list[0]))
			wantFound(t, db, anonymous(list[1]))
			if v := find(t, db, list[2].ID); v.To.Given != kept {
				t.Errorf("of another address: %q, want it kept", v.To.Given)
			}
			if n := traces(t, database, "jane") + traces(t, database, forgotten); n != 0 {
				t.Errorf("archived %t: %d rows contain an erased address", archived, n)
			}
		}
	})
}

// traces counts the rows of verifications that contain a text, in any letter case.
func traces(t *testing.T, database, text string) (n int) {
	t.Helper()
	side, err := pgtest.Open(database)
	must(t, err)
	defer side.Close()
	rows, err := side.QueryContext(t.Context(), `SELECT address, document, NULL FROM verifications
		UNION ALL SELECT address, document, personal FROM archive`)
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var address sql.NullString
		var document, personal []byte
		must(t, rows.Scan(&address, &document, &personal))
		if row := address.String + string(document) + string(personal); strings.Contains(strings.ToLower(row), text) {
			n++
		}
	}
	must(t, rows.Err())
	return n
}
