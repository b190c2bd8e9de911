package store_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"countersign/internal/deliver/virtual"
	"countersign/internal/store"
	"countersign/internal/verify"
)

const (
	forgotten = "447700900042"
	kept      = "447700900043"
)

// testForgetForms: a number is erased in both of its forms, whichever is given.
func testForgetForms(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	const mobile, landline = "5491123456789", "541123456789"
	now := at(1)
	ids := []verify.ID{finish(t, db, mobile, at(0)).ID, finish(t, db, landline, at(0)).ID}
	must(t, db.BlockNumber(t.Context(), store.BlockedNumber{Number: mobile, CreatedAt: t0}))
	for _, number := range []string{mobile, landline} {
		must(t, db.AddMessage(t.Context(), virtual.Message{
			EventID: verify.NewID(rand.Reader), RequestID: verify.NewID(rand.Reader), Number: number, SentAt: now,
		}))
	}
	insert(t, db, request("demo0001", mobile), now)
	f := store.Forget{Number: landline, Unblock: true}
	if got, err := db.ForgetNumber(t.Context(), f, now); !errors.Is(err, store.ErrRunning) {
		t.Errorf("while the other form is in progress: %+v, %v", got, err)
	}
	f.Cancel = true
	want := store.Forgotten{Cancelled: 1, Verifications: 3, Messages: 2, Unblocked: true}
	if got, err := db.ForgetNumber(t.Context(), f, now); got != want || err != nil {
		t.Errorf("forgot %+v (%v), want %+v", got, err, want)
	}
	for _, id := range ids {
		if rec := record(t, db, "demo0001", id); rec.Number != "" {
			t.Errorf("%s remains", rec.Number)
		}
	}
}

// testForget: nothing that tells of a number is left, and nothing of another is
// touched.
func testForget(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	must(t, db.CreateAccount(t.Context(), store.NewAccount{
		Account: verify.Account{Key: "trial001", Trial: true}, Secret: "other", Approved: []string{forgotten, kept},
	}, t0))
	must(t, db.BlockNumber(t.Context(), store.BlockedNumber{Number: forgotten, CreatedAt: t0}))
	month := 31 * day
	var gone, stay []store.Record
	for i := range 3 { // in the archive, of several months; 60 are more than a batch
		gone = append(gone, record(t, db, "demo0001", finish(t, db, forgotten, at(float64(i)).Add(time.Duration(i)*month)).ID))
		stay = append(stay, record(t, db, "demo0001", finish(t, db, kept, at(float64(i)).Add(time.Duration(i)*month)).ID))
	}
	archive(t, db, store.Cutoffs{Codes: at(0).Add(4 * month)}, 10, 6)
	now := at(0).Add(4 * month)
	for i := range 60 {
		gone = append(gone, record(t, db, "demo0001", finish(t, db, forgotten, now.Add(-time.Duration(i)*time.Minute)).ID))
	}
	over := finish(t, db, kept, now)
	for i, number := range []string{forgotten, kept, forgotten} {
		must(t, db.AddMessage(t.Context(), virtual.Message{
			EventID: verify.NewID(rand.Reader), RequestID: verify.NewID(rand.Reader), Number: number, Text: fmt.Sprint(i), SentAt: now,
		}))
	}
	running, _ := insert(t, db, request("demo0001", forgotten), now)
	for _, number := range []string{forgotten, kept} {
		sendOne(t, db, store.Scope{Number: number}, number, "demo0001")
	}
	before := record(t, db, "demo0001", gone[5].ID)

	got, err := db.ForgetNumber(t.Context(), store.Forget{Number: forgotten, Unblock: true}, now.Add(time.Second))
	if !errors.Is(err, store.ErrRunning) || got != (store.Forgotten{}) {
		t.Errorf("while one is in progress: %+v, %v; want ErrRunning and nothing done", got, err)
	}
	wantRecord(t, db, before)
	if blocked, err := db.Blocked(t.Context(), forgotten); !blocked || err != nil {
		t.Errorf("a refusal has lifted the block (%v)", err)
	}

	want := store.Forgotten{Cancelled: 1, Verifications: 61, Archived: 3, Messages: 2, Approved: 1, Guarded: true, Blocked: true}
	if got, err = db.ForgetNumber(t.Context(), store.Forget{Number: forgotten, Cancel: true}, now.Add(time.Second)); got != want || err != nil {
		t.Errorf("forgot %+v (%v), want %+v", got, err, want)
	}
	for _, rec := range gone {
		rec = anonymous(rec)
		wantRecord(t, db, rec)
	}
	for _, rec := range stay {
		wantRecord(t, db, withoutCodes(rec))
	}
	if rec := record(t, db, "demo0001", over.ID); rec.Number != kept || rec.CheckList[0].Code.IsZero() {
		t.Errorf("one of another number: %+v", rec)
	}
	if rec := record(t, db, "demo0001", running.ID); rec.Status != verify.Cancelled || rec.Number != "" {
		t.Errorf("what was in progress is %s of %q, want that it was cancelled", rec.Status, rec.Number)
	}
	if list, err := db.Messages(t.Context(), "", 10); len(list) != 1 || list[0].Number != kept || err != nil {
		t.Errorf("messages %+v (%v)", list, err)
	}
	for number, want := range map[string]bool{forgotten: false, kept: true} {
		if got, err := db.Approved(t.Context(), "trial001", number); got != want || err != nil {
			t.Errorf("%s is approved: %v (%v), want %v", number, got, err, want)
		}
	}
	if len(guardOf(t, db, forgotten).Uses) != 0 || len(guardOf(t, db, kept).Uses) != 1 {
		t.Error("what the caps know of the number stays, or that of another is gone")
	}
	want = store.Forgotten{Unblocked: true}
	if got, err := db.ForgetNumber(t.Context(), store.Forget{Number: forgotten, Unblock: true}, now); got != want || err != nil {
		t.Errorf("again: %+v (%v), want %+v", got, err, want)
	}
}

// testForgetHeld: what a node still holds is told of, and left for later.
func testForgetHeld(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	row, _ := insert(t, db, request("demo0001", forgotten), t0)
	write(t, db, func(tx *store.Tx) error {
		row.Take("node-1", at(10))
		return tx.Save(row)
	})
	sendOne(t, db, store.Scope{}, forgotten, "demo0001")
	sendOne(t, db, store.Scope{}, kept, "demo0001")
	want := store.Forgotten{Cancelled: 1, Guarded: true, Held: 1}
	if got, err := db.ForgetNumber(t.Context(), store.Forget{Number: forgotten, Cancel: true}, at(1)); got != want || err != nil {
		t.Errorf("forgot %+v (%v), want %+v", got, err, want)
	}
	if len(guardOf(t, db, forgotten).Uses) != 0 || len(guardOf(t, db, kept).Uses) != 1 {
		t.Error("want what is counted of the number forgotten, and of the other not")
	}
	write(t, db, func(tx *store.Tx) error {
		row, _, err := tx.Find(row.ID)
		row.Drop()
		return errors.Join(err, tx.Save(row))
	})
	// One whose end has come is over, whoever has not seen to it.
	late, _ := insert(t, db, request("demo0001", forgotten), t0)
	want = store.Forgotten{Verifications: 2}
	if got, err := db.ForgetNumber(t.Context(), store.Forget{Number: forgotten}, at(1e6)); got != want || err != nil {
		t.Errorf("forgot %+v (%v), want %+v", got, err, want)
	}
	if rec := record(t, db, "demo0001", late.ID); rec.Status != verify.Expired || rec.Number != "" {
		t.Errorf("what nobody had seen to is %s of %q", rec.Status, rec.Number)
	}
}

// TestSQLiteForgets: no trace of the number is left in the file, or beside it.
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
	must(t, db.AddMessage(t.Context(), virtual.Message{EventID: verify.ID{1}, Number: forgotten, Text: "to " + forgotten, SentAt: t0}))
	if moved, err := db.Archive(t.Context(), store.Cutoffs{Codes: at(100)}, 200); moved == 0 || err != nil {
		t.Fatalf("%d have moved (%v)", moved, err)
	}
	if !has(forgotten) {
		t.Fatal("the number is nowhere before it is forgotten: the search is no good")
	}
	_, err := db.ForgetNumber(t.Context(), store.Forget{Number: forgotten}, at(1e4))
	must(t, err)
	if has(forgotten) || !has(kept) {
		t.Errorf("the files hold the number: %v, another: %v; want false and true", has(forgotten), has(kept))
	}
}
