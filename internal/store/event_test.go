package store_test

import (
	"crypto/rand"
	"fmt"
	"reflect"
	"testing"

	"countersign/internal/store"
	"countersign/internal/verify"
)

func record(t *testing.T, db *store.DB, account string, id verify.ID) store.Record {
	t.Helper()
	rec, ok, err := db.Record(t.Context(), account, id)
	if err != nil || !ok {
		t.Fatalf("Record(%s, %s): %v, %v", account, id, ok, err)
	}
	return rec
}

func testEvents(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	row, first := insert(t, db, request("demo0001", "447700900000"), t0)
	second := verify.Event{
		ID: verify.NewID(rand.Reader), Verification: row.ID, Seq: 1, Channel: verify.TTS, Generation: 2,
		State: verify.EventAccepted, Attempt: 2, StartedAt: at(125), Carrier: "phone", Error: "err 12", Failures: "a: ESME_RSYSERR (0x08)", Cost: 42,
	}
	third := second
	third.ID, third.Seq, third.State = verify.NewID(rand.Reader), 2, verify.EventSubmitting
	write(t, db, func(tx *store.Tx) error { return tx.AddEvent(third) })
	write(t, db, func(tx *store.Tx) error { return tx.AddEvent(second) })
	if got, want := record(t, db, "demo0001", row.ID).EventList, []verify.Event{first, second, third}; !reflect.DeepEqual(got, want) {
		t.Errorf("events %+v, want %+v", got, want)
	}
	write(t, db, func(tx *store.Tx) error {
		got, err := tx.Submitting(row.ID)
		if want := []verify.Event{first, third}; !reflect.DeepEqual(got, want) {
			t.Errorf("Submitting = %+v, want %+v", got, want)
		}
		return err
	})

	again := third // one step makes one event
	again.ID = verify.NewID(rand.Reader)
	if err := db.Write(t.Context(), func(tx *store.Tx) error { return tx.AddEvent(again) }); err == nil {
		t.Error("a second event for the same step was accepted")
	}
	orphan := third
	orphan.ID, orphan.Verification = verify.NewID(rand.Reader), verify.NewID(rand.Reader)
	if err := db.Write(t.Context(), func(tx *store.Tx) error { return tx.AddEvent(orphan) }); err == nil {
		t.Error("an event without a verification was accepted")
	}
}

// testEventOutcome: what is known of an event stays; only what is open or unknown
// can be settled, and not by somebody who knows of fewer attempts.
func testEventOutcome(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	row, _ := insert(t, db, request("demo0001", "447700900000"), t0)
	states := []verify.EventState{verify.EventSubmitting, verify.EventAccepted, verify.EventRefused, verify.EventUnknown}
	seq := 1
	for _, stored := range states {
		for _, saved := range states {
			for _, attempt := range []int{1, 2, 3} { // 2 is stored
				before := verify.Event{
					ID: verify.NewID(rand.Reader), Verification: row.ID, Seq: seq, Channel: verify.SMS, Generation: 1,
					State: stored, Attempt: 2, StartedAt: t0, Carrier: "before",
				}
				seq++
				after := before
				after.State, after.Attempt, after.Carrier, after.Error = saved, attempt, "after", "ref"
				want := before
				open := stored == verify.EventSubmitting || stored == verify.EventUnknown && saved != verify.EventSubmitting
				if open && attempt >= 2 {
					want = after
				}
				write(t, db, func(tx *store.Tx) error { return tx.AddEvent(before) })
				write(t, db, func(tx *store.Tx) error { return tx.SaveEvent(after) })
				list := record(t, db, "demo0001", row.ID).EventList
				if got := list[len(list)-1]; got != want {
					t.Errorf("%s, saved as %s at attempt %d: %s", stored, saved, attempt, fmt.Sprintf("%+v, want %+v", got, want))
				}
			}
		}
	}
}
