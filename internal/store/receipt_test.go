package store_test

import (
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// wantOf checks the verification of a message id; the zero id means unknown.
func wantOf(t *testing.T, db *store.DB, carrier, ref string, want verify.ID) {
	t.Helper()
	write(t, db, func(tx *store.Tx) error {
		got, ok, err := tx.VerificationOf(verify.Ref{Carrier: carrier, ID: ref})
		if got != want || ok != (want != verify.ID{}) {
			t.Errorf("VerificationOf(%s, %q) = %s, %v; want %s", carrier, ref, got, ok, want)
		}
		return err
	})
}

// testMessageIDs: a verification is found by the message ids of all parts of all events. An
// id belongs to its carrier.
func testMessageIDs(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	first := sent(t, db, request("demo0001", "447700900000"), t0, "17", "18")
	second := sent(t, db, request("demo0001", "447700900001"), t0, "", "19")
	c, err := first.Trigger("node-1", verify.Uncapped{}, at(1), rand.Reader)
	must(t, err)
	o := accepted(save(t, db, c), "17")
	o.Carrier = "b"
	first = save(t, db, c.Verification.Outcome(o, onFailure(), at(2)))
	for ref, want := range map[verify.Ref]verify.ID{
		{Carrier: "a", ID: "17"}: first.ID, {Carrier: "a", ID: "18"}: first.ID, {Carrier: "b", ID: "17"}: first.ID, {Carrier: "a", ID: "19"}: second.ID,
		{Carrier: "b", ID: "18"}: {}, {Carrier: "c", ID: "17"}: {}, {Carrier: "a", ID: "017"}: {}, {Carrier: "A", ID: "17"}: {}, {Carrier: "a"}: {},
	} {
		wantOf(t, db, ref.Carrier, ref.ID, want)
	}
	same(t, db, first)
}

// testMessageIDBytes: message ids may have any octets. Octets of an error that are not
// UTF-8 are escaped.
func testMessageIDBytes(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	refs := []string{"\xff\xfe", "a\x00b", "é\xe9", "\xff", "1\tsmsc1.example:2775", "1\tsmsc2.example:2775", "1"}
	errs := []string{`\xff\xfe`, `a\x00b`, `é\xe9`, `\xff`, refs[4], refs[5], refs[6]} // stored forms
	v := sent(t, db, request("demo0001", "447700900000"), t0, refs...)
	for _, ref := range refs {
		wantOf(t, db, "a", ref, v.ID)
		c, known, ok := get(t, db, v.ID).Receipt(verify.Receipt{Ref: verify.Ref{Carrier: "a", ID: ref}, State: verify.EventUndeliverable, Error: ref}, onFailure(), at(1))
		if !known || !ok {
			t.Errorf("the receipt of %q: known %v, changed %v", ref, known, ok)
			continue
		}
		save(t, db, c)
	}
	e := find(t, db, v.ID).Events[0]
	for i, p := range e.Parts {
		if p.Ref != refs[i] || p.State != verify.EventUndeliverable || p.Error != errs[i] {
			t.Errorf("part %d is %+v, want that %q is undeliverable for %q", i, p, refs[i], errs[i])
		}
	}
	if e.Error != errs[0] {
		t.Errorf("the error of the event is %q, want %q", e.Error, errs[0])
	}
}

// testMessageIDReused: an id that a carrier uses again refers to the newest message.
func testMessageIDReused(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	old := sent(t, db, request("demo0001", "447700900000"), t0, "1", "2")
	wantOf(t, db, "a", "1", old.ID)
	next := sent(t, db, request("demo0001", "447700900001"), at(1), "1")
	wantOf(t, db, "a", "1", next.ID)
	wantOf(t, db, "a", "2", old.ID)
	same(t, db, old)
	// The end of the older verification does not delete the id of the newer one.
	save(t, db, released(old.Withdraw(at(2)).Verification).Withdraw(at(2)))
	archive(t, db, store.Cutoffs{Codes: at(2)}, 10, 1)
	wantOf(t, db, "a", "1", next.ID)
	wantOf(t, db, "a", "2", verify.ID{})
}

func keep(t *testing.T, db *store.DB, ref string, state verify.EventState, carrierError string, now time.Time) {
	t.Helper()
	write(t, db, func(tx *store.Tx) error {
		return tx.KeepReceipt(verify.Receipt{Ref: verify.Ref{Carrier: "a", ID: ref}, State: state, Error: carrierError}, now)
	})
}

// wantReceipt takes and deletes a receipt; "" means no receipt.
func wantReceipt(t *testing.T, db *store.DB, ref string, now time.Time, state verify.EventState, carrierError string) {
	t.Helper()
	for _, want := range []verify.EventState{state, ""} {
		write(t, db, func(tx *store.Tx) error {
			got, ok, err := tx.TakeReceipt(verify.Ref{Carrier: "a", ID: ref}, now)
			arrived := got.ReportedAt
			got.ReportedAt = time.Time{}
			if ok != (want != "") || ok && (got != (verify.Part{State: want, Error: carrierError}) || arrived.IsZero() || arrived.After(now)) {
				t.Errorf("TakeReceipt(%s) = %+v, %v; want %q", ref, got, ok, want)
			}
			return err
		})
	}
}

// testReceipts: several receipts for one unknown message are merged, and taken once.
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
		if got, ok, err := tx.TakeReceipt(verify.Ref{Carrier: "b", ID: "17"}, at(5)); ok || err != nil {
			t.Errorf("another carrier's receipt was taken: %+v, %v", got, err)
		}
		return nil
	})
	wantReceipt(t, db, "17", at(5), verify.EventUndeliverable, "err 12")
	wantReceipt(t, db, "18", at(5), verify.EventAccepted, "")
	wantReceipt(t, db, "19", at(5), verify.EventDelivered, "")

	keep(t, db, "17", verify.EventDelivered, "", at(6)) // the id may be used again
	wantReceipt(t, db, "17", at(6), verify.EventDelivered, "")
}

// testReceiptForgotten: after an hour a receipt is neither taken for another message nor
// merged with a new receipt.
func testReceiptForgotten(t *testing.T, db *store.DB) {
	keep(t, db, "17", verify.EventDelivered, "", t0)
	wantReceipt(t, db, "17", at(3600), verify.EventDelivered, "")
	keep(t, db, "17", verify.EventDelivered, "", t0)
	wantReceipt(t, db, "17", at(3600.001), "", "")
	keep(t, db, "18", verify.EventDelivered, "", t0)
	keep(t, db, "18", verify.EventRejected, "err 8", at(3600.001))
	wantReceipt(t, db, "18", at(3601), verify.EventRejected, "err 8")

	// A later receipt does not extend the time of the first.
	keep(t, db, "19", verify.EventAccepted, "", t0)
	keep(t, db, "19", verify.EventDelivered, "", at(3000))
	wantReceipt(t, db, "19", at(3600.001), "", "")
}

// testReceiptEarly: a receipt that arrived before the response of its carrier sets
// the state of the part and the time of the receipt.
func testReceiptEarly(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	v := begin(t, db, request("demo0001", "447700900000"), t0)
	keep(t, db, "17", verify.EventDelivered, "000", at(1))
	write(t, db, func(tx *store.Tx) error {
		early, ok, err := tx.TakeReceipt(verify.Ref{Carrier: "a", ID: "17"}, at(2))
		if !ok {
			t.Error("the receipt was not found")
		}
		o := accepted(v, "17")
		o.Early = map[string]verify.Part{"17": early}
		v = v.Outcome(o, onFailure(), at(2)).Verification
		return errors.Join(err, tx.Save(verify.Change{Verification: v}))
	})
	same(t, db, v)
	if p := v.Events[0].Parts[0]; v.Events[0].State != verify.EventDelivered || p.Error != "000" || !p.ReportedAt.Equal(at(1)) {
		t.Errorf("the event is %+v", v.Events[0])
	}
	wantReceipt(t, db, "17", at(2), "", "")
}

func testOnUndeliverable(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	addAccount(t, db, "other001", 0)
	want := func(account string, want verify.OnUndeliverable) {
		t.Helper()
		c, err := db.Credentials(t.Context(), account)
		if err != nil && !errors.Is(err, store.ErrNoAccount) || c.OnUndeliverable != want {
			t.Errorf("%s: the account has %q, want %q (%v)", account, c.OnUndeliverable, want, err)
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
		must(t, db.UpdateAccount(t.Context(), "demo0001", func(a *verify.Account) error { a.OnUndeliverable = then; return nil }))
		want("demo0001", then)
		want("other001", verify.UndeliverableWait)
	}
	want("nobody00", "")
}
