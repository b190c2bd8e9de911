package store_test

import (
	"crypto/rand"
	"errors"
	"reflect"
	"testing"
	"time"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// loadPart finds a part that may be there.
func loadPart(t *testing.T, db *store.DB, carrier, ref string) (event verify.EventKey, p verify.Part, ok bool) {
	t.Helper()
	write(t, db, func(tx *store.Tx) (err error) {
		event, p, ok, err = tx.Part(carrier, ref)
		return err
	})
	return event, p, ok
}

func wantParts(t *testing.T, db *store.DB, event verify.EventKey, want ...verify.Part) {
	t.Helper()
	write(t, db, func(tx *store.Tx) error {
		got, err := tx.Parts(event)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("Parts = %+v, want %+v", got, want)
		}
		return err
	})
}

func savePart(t *testing.T, db *store.DB, event verify.EventKey, p verify.Part) {
	t.Helper()
	write(t, db, func(tx *store.Tx) error { return tx.SavePart(event, p) })
}

func testParts(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	row, first := insert(t, db, request("demo0001", "447700900000"), t0)
	_, second := insert(t, db, request("demo0001", "447700900001"), t0)
	wantParts(t, db, first.Key())

	part := func(attempt, seq int, carrier, ref string) verify.Part {
		return verify.Part{Attempt: attempt, Seq: seq, Count: 2, Carrier: carrier, Ref: ref, State: verify.EventAccepted}
	}
	a1, a2, b := part(1, 0, "a", "17"), part(1, 1, "a", "18"), part(2, 0, "b", "17")
	b.State, b.Error = verify.EventUndeliverable, "err 12"
	for _, p := range []verify.Part{b, a2, a1} {
		savePart(t, db, first.Key(), p)
	}
	other := part(1, 0, "a", "19")
	savePart(t, db, second.Key(), other)
	wantParts(t, db, first.Key(), a1, a2, b)
	wantParts(t, db, second.Key(), other)

	// An id is its carrier's own.
	if id, got, ok := loadPart(t, db, "b", "17"); !ok || id != first.Key() || got != b {
		t.Errorf("Part(b, 17) = %s, %+v, %v", id, got, ok)
	}
	for _, unknown := range [][2]string{{"b", "18"}, {"c", "17"}, {"a", "017"}, {"A", "17"}, {"a", ""}} {
		if id, got, ok := loadPart(t, db, unknown[0], unknown[1]); ok {
			t.Errorf("Part(%s, %s) = %s, %+v", unknown[0], unknown[1], id, got)
		}
	}

	a1.State = verify.EventDelivered
	savePart(t, db, first.Key(), a1)
	wantParts(t, db, first.Key(), a1, a2, b)
	if err := db.Write(t.Context(), func(tx *store.Tx) error {
		return tx.SavePart(verify.EventKey{Verification: row.ID, Seq: 1}, part(1, 0, "a", "20"))
	}); err == nil {
		t.Error("a part of no event was accepted")
	}
}

// testPartBytes: an id that is not text is an id, too.
func testPartBytes(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	_, event := insert(t, db, request("demo0001", "447700900000"), t0)
	refs := []string{"\xff\xfe", "a\x00b", "é\xe9", "\xff", "1\tsmsc1.example:2775", "1\tsmsc2.example:2775", "1"}
	for i, ref := range refs {
		savePart(t, db, event.Key(), verify.Part{Attempt: 1, Seq: i, Count: len(refs), Carrier: "a", Ref: ref, State: verify.EventUndeliverable, Error: ref})
	}
	for i, ref := range refs {
		if id, p, ok := loadPart(t, db, "a", ref); !ok || id != event.Key() || p.Seq != i {
			t.Errorf("Part(%q) = %s, %+v, %v", ref, id, p, ok)
		}
	}
}

// testPartTaken: that a carrier took a part is no news of one that was delivered.
func testPartTaken(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	_, event := insert(t, db, request("demo0001", "447700900000"), t0)
	p := verify.Part{Attempt: 1, Count: 1, Carrier: "a", Ref: "1", State: verify.EventAccepted}
	savePart(t, db, event.Key(), p)
	reported := p.Report(verify.EventUndeliverable, "err 12")
	savePart(t, db, event.Key(), reported)
	savePart(t, db, event.Key(), p)
	wantParts(t, db, event.Key(), reported)
	p.Attempt = 2 // but of another attempt it is
	savePart(t, db, event.Key(), p)
	wantParts(t, db, event.Key(), p)
}

// testPartReused: a carrier that begins to count anew means its newest message.
func testPartReused(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	_, old := insert(t, db, request("demo0001", "447700900000"), t0)
	_, now := insert(t, db, request("demo0001", "447700900001"), t0)
	before := verify.Part{Attempt: 2, Seq: 1, Count: 2, Carrier: "a", Ref: "1", State: verify.EventRejected, Error: "err 8"}
	after := verify.Part{Attempt: 1, Seq: 0, Count: 1, Carrier: "a", Ref: "1", State: verify.EventAccepted}
	savePart(t, db, old.Key(), before)
	savePart(t, db, now.Key(), after)
	if id, got, ok := loadPart(t, db, "a", "1"); !ok || id != now.Key() || got != after {
		t.Errorf("Part = %s, %+v, %v; want that of the newer event", id, got, ok)
	}
	wantParts(t, db, old.Key())
	wantParts(t, db, now.Key(), after)
}

func keep(t *testing.T, db *store.DB, ref string, state verify.EventState, carrierError string, now time.Time) {
	t.Helper()
	write(t, db, func(tx *store.Tx) error {
		return tx.KeepReceipt(verify.Part{Carrier: "a", Ref: ref, State: state, Error: carrierError}, now)
	})
}

// wantReceipt takes a receipt, which then is gone; "" is none.
func wantReceipt(t *testing.T, db *store.DB, ref string, now time.Time, state verify.EventState, carrierError string) {
	t.Helper()
	for _, want := range []verify.EventState{state, ""} {
		write(t, db, func(tx *store.Tx) error {
			got, ok, err := tx.TakeReceipt("a", ref, now)
			arrived := got.ReportedAt
			got.ReportedAt = time.Time{}
			if ok != (want != "") || ok && (got != (verify.Part{Carrier: "a", Ref: ref, State: want, Error: carrierError}) || arrived.IsZero() || arrived.After(now)) {
				t.Errorf("TakeReceipt(%s) = %+v, %v; want %q", ref, got, ok, want)
			}
			return err
		})
	}
}

// testReceipts: of several receipts for one message that nobody knows, what they
// say together is kept, and taken once.
func testReceipts(t *testing.T, db *store.DB) {
	wantReceipt(t, db, "17", t0, "", "")
	keep(t, db, "17", verify.EventAccepted, "", t0)
	keep(t, db, "18", verify.EventAccepted, "", t0)
	keep(t, db, "17", verify.EventUndeliverable, "err 12", at(1))
	keep(t, db, "17", verify.EventAccepted, "", at(2))
	keep(t, db, "19", verify.EventRejected, "err 8", at(2))
	keep(t, db, "19", verify.EventDelivered, "", at(3))
	keep(t, db, "19", verify.EventExpired, "err 3", at(4))
	write(t, db, func(tx *store.Tx) error {
		if got, ok, err := tx.TakeReceipt("b", "17", at(5)); ok || err != nil {
			t.Errorf("another carrier's receipt was taken: %+v, %v", got, err)
		}
		return nil
	})
	wantReceipt(t, db, "17", at(5), verify.EventUndeliverable, "err 12")
	wantReceipt(t, db, "18", at(5), verify.EventAccepted, "")
	wantReceipt(t, db, "19", at(5), verify.EventDelivered, "")

	keep(t, db, "17", verify.EventDelivered, "", at(6)) // its id may come again
	wantReceipt(t, db, "17", at(6), verify.EventDelivered, "")
}

// testReceiptForgotten: after an hour a receipt is not taken for another message's,
// and what it said is not mixed with what comes then.
func testReceiptForgotten(t *testing.T, db *store.DB) {
	keep(t, db, "17", verify.EventDelivered, "", t0)
	wantReceipt(t, db, "17", at(3600), verify.EventDelivered, "")
	keep(t, db, "17", verify.EventDelivered, "", t0)
	wantReceipt(t, db, "17", at(3600.001), "", "")
	keep(t, db, "18", verify.EventDelivered, "", t0)
	keep(t, db, "18", verify.EventRejected, "err 8", at(3600.001))
	wantReceipt(t, db, "18", at(3601), verify.EventRejected, "err 8")

	// What comes later does not prolong what came first.
	keep(t, db, "19", verify.EventAccepted, "", t0)
	keep(t, db, "19", verify.EventDelivered, "", at(3000))
	wantReceipt(t, db, "19", at(3600.001), "", "")
}

// testEventLate: a late answer tells only what nobody knew.
func testEventLate(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	row, _ := insert(t, db, request("demo0001", "447700900000"), t0)
	seq := 0
	for _, stored := range []verify.EventState{
		verify.EventSubmitting, verify.EventAccepted, verify.EventRefused, verify.EventUnknown,
		verify.EventDelivered, verify.EventUndeliverable, verify.EventExpired, verify.EventRejected,
		verify.EventAnswered, verify.EventHeld,
	} {
		for _, late := range []verify.EventState{verify.EventAccepted, verify.EventRefused} {
			seq++
			before := verify.Event{
				ID: verify.NewID(rand.Reader), Verification: row.ID, Seq: seq, Channel: verify.SMS, Generation: 1,
				State: stored, Attempt: 2, StartedAt: at(1), Carrier: "before", Error: "err before", Cost: 3,
			}
			answer := before
			answer.State, answer.Carrier, answer.Error, answer.Attempt, answer.Cost = late, "after", "err after", 1, 9
			want := before
			if stored == verify.EventUnknown || stored == verify.EventRefused && late == verify.EventAccepted {
				want.State, want.Carrier, want.Error = late, "after", "err after"
			}
			write(t, db, func(tx *store.Tx) error { return tx.AddEvent(before) })
			write(t, db, func(tx *store.Tx) error { return tx.SaveLate(answer) })
			wantEvent(t, db, before.Key(), want)
		}
	}
}

// testEventReported: a report changes the state, and who it is from.
func testEventReported(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	row, other := insert(t, db, request("demo0001", "447700900000"), t0)
	want := verify.Event{
		ID: verify.NewID(rand.Reader), Verification: row.ID, Seq: 1, Channel: verify.TTS, Generation: 2,
		State: verify.EventAccepted, Attempt: 2, StartedAt: at(1), Cost: 3,
	}
	write(t, db, func(tx *store.Tx) error { return tx.AddEvent(want) })
	for _, state := range []verify.EventState{verify.EventUndeliverable, verify.EventDelivered} {
		want.State, want.Carrier, want.Error = state, "a", "err "+string(state)
		said := want
		said.Attempt, said.Generation, said.Cost, said.StartedAt = 1, 7, 7, t0 // are not its matter
		write(t, db, func(tx *store.Tx) error { return tx.SaveReported(said) })
		wantEvent(t, db, want.Key(), want)
	}
	wantEvent(t, db, other.Key(), other)
	write(t, db, func(tx *store.Tx) error {
		if e, ok, err := tx.Event(verify.EventKey{Verification: row.ID, Seq: 2}); ok || err != nil {
			t.Errorf("an event that there is not: %+v, %v", e, err)
		}
		return nil
	})
}

func wantEvent(t *testing.T, db *store.DB, key verify.EventKey, want verify.Event) {
	t.Helper()
	write(t, db, func(tx *store.Tx) error {
		got, ok, err := tx.Event(key)
		if !ok || got != want {
			t.Errorf("Event = %+v, %v; want %+v", got, ok, want)
		}
		return err
	})
}

// testFind: whoever asks by the id alone finds it, and nobody finds another.
func testFind(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	addAccount(t, db, "other001", 0)
	for _, account := range []string{"demo0001", "other001"} {
		row, _ := insert(t, db, request(account, "447700900000"), t0)
		row.Take("node-1", at(15))
		write(t, db, func(tx *store.Tx) error { return tx.Save(row) })
		write(t, db, func(tx *store.Tx) error {
			got, ok, err := tx.Find(row.ID)
			if !ok || !reflect.DeepEqual(got, row) {
				t.Errorf("Find: %v\n got %+v\nwant %+v", ok, got, row)
			}
			return err
		})
		if got, ok, err := db.Verification(t.Context(), row.ID); err != nil || !ok || !reflect.DeepEqual(got, row.Verification) {
			t.Errorf("Verification: %v, %v\n got %+v\nwant %+v", ok, err, got, row.Verification)
		}
	}
	nobody := verify.NewID(rand.Reader)
	if v, ok, err := db.Verification(t.Context(), nobody); ok || err != nil {
		t.Errorf("Verification = %+v, %v for an id that there is not", v, err)
	}
	write(t, db, func(tx *store.Tx) error {
		if row, ok, err := tx.Find(nobody); ok || err != nil {
			t.Errorf("Find = %+v, %v for an id that there is not", row, err)
		}
		return nil
	})
}

func testOnUndeliverable(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	addAccount(t, db, "other001", 0)
	want := func(account string, want verify.OnUndeliverable) {
		t.Helper()
		c, err := db.Credentials(t.Context(), account)
		if err != nil && !errors.Is(err, store.ErrNoAccount) || c.OnUndeliverable != want {
			t.Errorf("%s: the account says %q, want %q (%v)", account, c.OnUndeliverable, want, err)
		}
		write(t, db, func(tx *store.Tx) error {
			got, err := tx.OnUndeliverable(account)
			if got != want {
				t.Errorf("%s: OnUndeliverable = %q, want %q", account, got, want)
			}
			return err
		})
	}
	want("demo0001", verify.UndeliverableWait)
	for _, then := range []verify.OnUndeliverable{verify.UndeliverableNextEvent, verify.UndeliverableNextEvent, verify.UndeliverableWait} {
		must(t, db.SetOnUndeliverable(t.Context(), "demo0001", then))
		want("demo0001", then)
		want("other001", verify.UndeliverableWait)
	}
	want("nobody00", "")
	if err := db.SetOnUndeliverable(t.Context(), "nobody00", verify.UndeliverableWait); !errors.Is(err, store.ErrNoAccount) {
		t.Errorf("of an unknown account: %v, want ErrNoAccount", err)
	}
}
