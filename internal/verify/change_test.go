package verify_test

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"

	"countersign/internal/verify"
)

// factLine is a fact with the fields that its kind names.
func factLine(f verify.Fact) string {
	switch f.Kind {
	case verify.Started:
		return string(f.Kind)
	case verify.EventSent, verify.EventReported:
		return strings.TrimSpace(fmt.Sprintf("%s %d %s %s", f.Kind, f.Event, f.State, f.Carrier))
	case verify.PINRenewed, verify.EventResent:
		return fmt.Sprintf("%s %d", f.Kind, f.Event)
	case verify.CodeChecked:
		return fmt.Sprintf("%s %v", f.Kind, f.Valid)
	case verify.Finished:
		return fmt.Sprintf("%s %s", f.Kind, f.Status)
	case verify.Charged, verify.Refunded:
		return fmt.Sprintf("%s %d", f.Kind, f.Amount)
	case verify.Capped:
		return fmt.Sprintf("%s %s %v", f.Kind, f.Cap, f.Until.Sub(t0))
	}
	return "unknown fact " + string(f.Kind)
}

// entryLine is an entry: its kind, its key with names instead of ids, its amount, and the
// amount that counts for daily caps with its time.
func entryLine(v verify.Verification, e verify.Entry) string {
	key := strings.ReplaceAll(e.Key, v.ID.Hex(), "ID")
	for _, event := range v.Events {
		key = strings.ReplaceAll(key, event.ID.Hex(), fmt.Sprintf("EVENT%d", event.Seq))
	}
	line := fmt.Sprintf("%s %s %d", e.Kind, key, e.Amount)
	if !e.SpentAt.IsZero() {
		line += fmt.Sprintf(", spent %d at %v", e.Spent, e.SpentAt.Sub(t0))
	}
	return line
}

// hold accepts a request with a price that is charged with the success.
func hold(req verify.Request, price verify.Money) verify.Change {
	b := beginning(req, price)
	b.OnSuccess = true
	return mustBegin(b)
}

// accepted is the outcome of an event that a carrier accepted in parts with these refs.
func accepted(v verify.Verification, seq int, cost verify.Money, refs ...string) verify.Outcome {
	o := outcome(v, seq, verify.EventAccepted)
	o.Carrier, o.Cost, o.Refs = "smsc", cost, refs
	return o
}

func receipt(ref string, state verify.EventState) verify.Receipt {
	r := verify.Receipt{Ref: verify.Ref{Carrier: "smsc", ID: ref}, State: state}
	if failed(state) {
		r.Error = "err " + string(state)
	}
	return r
}

// must returns the change of a rule that must not refuse.
func must(c verify.Change, err error) verify.Change {
	if err != nil {
		panic(err)
	}
	return c
}

// did returns the change of a rule that must change something.
func did(c verify.Change, ok bool) verify.Change {
	if !ok {
		panic("no change")
	}
	return c
}

// TestChanges: facts and entries of each rule, in order.
func TestChanges(t *testing.T) {
	t.Parallel()
	req := request(300, 125, 180, 300)
	short := request(100, 125, 180)
	v := start(t, req) // costs a unit
	held := hold(req, 5).Verification
	sent := v.Outcome(accepted(v, 0, 7, "r0", "r1"), onFailure, at(1)).Verification
	lost := after(v, 0, verify.EventUnknown, onFailure, at(1))
	unsent := after(v, 0, verify.EventRefused, onFailure, at(1)).Withdraw(at(2)).Verification
	twice := v
	for range 2 {
		twice, _, _ = check(twice, wrong(twice), "", at(1))
	}
	late := verify.LateResponse{Cost: 7, Part: verify.Part{Attempt: 1, Seq: 1, Count: 2, Carrier: "smsc", Ref: "r1", State: verify.EventAccepted}}
	refused := late
	refused.Part.State, refused.Part.Error = verify.EventRefused, "err 8"
	early := accepted(v, 0, 7, "r0")
	early.Early = map[string]verify.Part{"r0": {State: verify.EventDelivered, ReportedAt: at(0.5)}, "other": {State: verify.EventRejected}}
	second := did(v.Retry(0, nil, at(2))).Verification
	secondSent := second.Outcome(accepted(second, 0, 9, "s0"), onFailure, at(3)).Verification
	one := v.Price
	capped := history{noSend: full("messages", 600)}

	for _, tt := range []struct {
		name    string
		change  verify.Change
		facts   string
		entries string
	}{
		{"begin", mustBegin(beginning(req, 5)), "started; charged 5", "charge charge/ID -5, spent 5 at 0s"},
		{"begin with a hold", hold(req, 5), "started", "hold  0, spent 5 at 0s"},
		{"begin free", mustBegin(beginning(req, 0)), "started", ""},
		{"begin free with a hold", hold(req, 0), "started", ""},

		{"accepted", v.Outcome(accepted(v, 0, 7, "r0", "r1"), onFailure, at(1)), "event_sent 0 accepted smsc", "carrier-cost cost/EVENT0/1 -7"},
		{"accepted, without a cost", v.Outcome(accepted(v, 0, 0, "r0"), onFailure, at(1)), "event_sent 0 accepted smsc", ""},
		{"accepted, recorded twice", sent.Outcome(accepted(sent, 0, 7, "r0", "r1"), onFailure, at(2)), "", ""},
		{"accepted, with an early receipt", v.Outcome(early, onFailure, at(1)), "event_sent 0 accepted smsc; event_reported 0 delivered smsc", "carrier-cost cost/EVENT0/1 -7"},
		{"refused", v.Outcome(outcome(v, 0, verify.EventRefused), hasten, at(1)), "event_sent 0 refused", ""},
		{"unknown", v.Outcome(outcome(v, 0, verify.EventUnknown), hasten, at(1)), "event_sent 0 unknown", ""},
		{"unknown, recorded twice", lost.Outcome(outcome(lost, 0, verify.EventUnknown), hasten, at(1)), "", ""},
		{"accepted after all", lost.Outcome(accepted(lost, 0, 7, "r0"), onFailure, at(5)), "event_sent 0 accepted smsc", "carrier-cost cost/EVENT0/1 -7"},
		{"of no event", v.Outcome(verify.Outcome{Event: 1, State: verify.EventAccepted, Cost: 7, Attempt: 1}, onFailure, at(1)), "", ""},
		{"second attempt", did(v.Retry(0, nil, at(2))), "event_resent 0", ""},
		{"accepted at the second attempt", second.Outcome(accepted(second, 0, 9, "s0"), onFailure, at(3)), "event_sent 0 accepted smsc", "carrier-cost cost/EVENT0/2 -9"},
		{"first attempt accepted too late", secondSent.Outcome(accepted(v, 0, 7, "r0"), onFailure, at(4)), "", "carrier-cost cost/EVENT0/1 -7"},

		{"undeliverable", did(first(sent.Receipt(receipt("r1", verify.EventUndeliverable), hasten, at(9)))), "event_reported 0 undeliverable smsc", ""},
		{"a part delivered", did(first(sent.Receipt(receipt("r1", verify.EventDelivered), hasten, at(9)))), "", ""},
		{"late acceptance", did(lost.LateResponse(late, onFailure, at(9))), "event_reported 0 accepted smsc", "carrier-cost cost/EVENT0/1/1 -7"},
		{"late acceptance, recorded twice", did(did(lost.LateResponse(late, onFailure, at(9))).Verification.LateResponse(late, onFailure, at(9))), "", ""},
		{"late acceptance of a part", did(sent.LateResponse(late, onFailure, at(9))), "", "carrier-cost cost/EVENT0/1/1 -7"},
		{"late refusal", did(lost.LateResponse(refused, onFailure, at(9))), "event_reported 0 refused smsc", ""},

		{"step", sent.Step(runner(), verify.Uncapped{}, at(125), rand.Reader), "", ""},
		{"step with a new PIN", after(start(t, short), 0, verify.EventAccepted, onFailure, at(1)).Step(runner(), verify.Uncapped{}, at(125), rand.Reader), "pin_renewed 1", ""},
		{"step after a lost outcome", v.Recover(runner(), verify.Uncapped{}, at(125), rand.Reader), "event_reported 0 unknown", ""},
		{"step at a cap", sent.Step(runner(), capped, at(125), rand.Reader), "capped messages 10m0s; event_reported 1 refused", ""},
		{"step not due", sent.Step(runner(), verify.Uncapped{}, at(124), rand.Reader), "", ""},
		{"end", sent.Step(runner(), verify.Uncapped{}, at(605), rand.Reader), "ended EXPIRED", ""},
		{"trigger", must(sent.Trigger(node, verify.Uncapped{}, at(20), rand.Reader)), "", ""},
		{"trigger with a new PIN", must(start(t, short).Trigger(node, verify.Uncapped{}, at(90), rand.Reader)), "pin_renewed 1", ""},
		{"recover", v.Recover(runner(), verify.Uncapped{}, at(10), rand.Reader), "event_resent 0", ""},
		{"recover without a resend", secondOpen(second).Recover(runner(), verify.Uncapped{}, at(12), rand.Reader), "event_reported 0 unknown", ""},
		{"hand-off", did(v.HandOff(v.Lease.Token, at(2))), "", ""},

		{"wrong code", must(v.Check(wrong(v), "", verify.Uncapped{}, at(2))), "code_checked false", ""},
		{"third wrong code", must(twice.Check(wrong(v), "", verify.Uncapped{}, at(2))), "code_checked false; ended FAILED", ""},
		{"wrong code that fills a cap", must(v.Check(wrong(v), "", history{filled: full("codes", 60)}, at(2))), "code_checked false; capped codes 1m0s; ended FAILED", ""},
		{"code at a cap", must(v.Check(v.PIN, "", history{noCheck: full("codes", 60)}, at(2))), "code_checked false; capped codes 1m0s; ended FAILED", ""},
		{"right code", must(v.Check(v.PIN, "", verify.Uncapped{}, at(2))), "code_checked true; ended SUCCESS", ""},
		{"right code with a hold", must(held.Check(held.PIN, "", verify.Uncapped{}, at(2))), "code_checked true; ended SUCCESS; charged 5", "charge charge/ID -5"},
		{"right code, free with a hold", must(free(held).Check(held.PIN, "", verify.Uncapped{}, at(2))), "code_checked true; ended SUCCESS", ""},
		{"wrong code with a hold", must(held.Check(wrong(held), "", verify.Uncapped{}, at(2))), "code_checked false", ""},

		{"cancel", must(v.Cancel(at(30))), "ended CANCELLED", ""},
		{"withdraw", v.Withdraw(at(3)), "ended CANCELLED", ""},
		{"withdraw after the end", v.Withdraw(at(999)), "ended EXPIRED", ""},
		{"withdraw twice", v.Withdraw(at(3)).Verification.Withdraw(at(4)), "", ""},
		{"lease for a refund", unsent.LeaseForRefund(node, at(3)), "", ""},
		{"refund", unsent.Refund(at(3)), fmt.Sprintf("refunded %d", one), fmt.Sprintf("refund refund/ID %d, spent %d at 0s", one, -one)},
		{"refund twice", unsent.Refund(at(3)).Verification.Refund(at(4)), "", ""},
		{"no refund of an event that left", sent.Withdraw(at(3)).Verification.Refund(at(4)), "", ""},
		{"no refund with a hold", after(held, 0, verify.EventRefused, onFailure, at(1)).Withdraw(at(2)).Verification.Refund(at(4)), "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var facts, entries []string
			for _, f := range tt.change.Facts {
				facts = append(facts, factLine(f))
			}
			for _, e := range tt.change.Entries {
				entries = append(entries, entryLine(tt.change.Verification, e))
			}
			if got := strings.Join(facts, "; "); got != tt.facts {
				t.Errorf("facts %q, want %q", got, tt.facts)
			}
			if got := strings.Join(entries, "; "); got != tt.entries {
				t.Errorf("entries %q, want %q", got, tt.entries)
			}
			agree(t, tt.change)
		})
	}
}

func first(c verify.Change, _, ok bool) (verify.Change, bool) { return c, ok }

func free(v verify.Verification) verify.Verification {
	v.Price = 0
	return v
}

// secondOpen is a verification with an open second attempt and a lease that has ended.
func secondOpen(v verify.Verification) verify.Verification {
	v.Lease.Until = at(12)
	return v
}

type failing interface {
	Helper()
	Errorf(format string, args ...any)
}

// agree asserts that the value keeps the facts of the change, that they have one time, and
// that they agree with the state of the value.
func agree(t failing, c verify.Change) {
	t.Helper()
	v := c.Verification
	if n := min(len(c.Facts), len(v.Facts)); !slices.Equal(c.Facts[len(c.Facts)-n:], v.Facts[len(v.Facts)-n:]) {
		t.Errorf("facts %+v are not kept: %+v", c.Facts, v.Facts)
	}
	for i, f := range c.Facts {
		later := func(kinds ...verify.FactKind) bool {
			return slices.ContainsFunc(c.Facts[i+1:], func(l verify.Fact) bool { return slices.Contains(kinds, l.Kind) && l.Event == f.Event })
		}
		ok := f.At.Equal(c.Facts[0].At)
		switch f.Kind {
		case verify.EventSent, verify.EventReported:
			e := v.Events[f.Event]
			ok = ok && (later(verify.EventReported) || e.State == f.State && e.Carrier == f.Carrier)
		case verify.EventResent:
			ok = ok && v.Events[f.Event].Attempt > 1
		case verify.CodeChecked:
			last := v.Checks[len(v.Checks)-1]
			ok = ok && last.Valid == f.Valid && last.ReceivedAt.Equal(f.At)
		case verify.PINRenewed:
			ok = ok && v.Generation > 1 && v.Events[f.Event].Generation == v.Generation
		case verify.Finished:
			ok = ok && v.Status == f.Status && !v.FinalizedAt.After(f.At)
		case verify.Charged:
			ok = ok && v.Paid && v.Charged() == f.Amount
		case verify.Refunded:
			ok = ok && v.Charged() == 0 && v.Price == f.Amount
		case verify.Started:
			ok = ok && v.SubmittedAt.Equal(f.At)
		case verify.Capped:
			ok = ok && f.Cap != "" && f.Until.After(f.At)
		default:
			ok = false
		}
		if !ok {
			t.Errorf("fact %s at %v does not agree with the change %+v", factLine(f), f.At, c)
		}
	}
}

// TestAnswers: a wrong code is recorded and refused, a right one is only recorded.
func TestAnswers(t *testing.T) {
	t.Parallel()
	v := start(t, request(300, 125))
	for code, want := range map[verify.PIN]verify.Kind{v.PIN: -1, wrong(v): verify.KindWrongCode} {
		c := must(v.Check(code, "", verify.Uncapped{}, at(2)))
		if c.Answer == nil && want >= 0 || c.Answer != nil && (c.Answer.Kind != want || c.Answer.Request != v.ID) {
			t.Errorf("answered %+v, want kind %d", c.Answer, want)
		}
	}
}

// TestMaxFacts: the first fact and the newest 63 stay.
func TestMaxFacts(t *testing.T) {
	t.Parallel()
	v := start(t, request(3600, 125))
	facts := slices.Clone(v.Facts)
	for i := range 200 {
		before := slices.Clone(v.Facts)
		o := outcome(v, 0, verify.EventUnknown)
		if i%2 == 1 {
			v.Events[0].State = verify.EventSubmitting
		}
		next := v.Outcome(o, onFailure, at(float64(i)))
		if !slices.Equal(v.Facts, before) {
			t.Fatalf("fact %d changed the facts of the value before", i)
		}
		facts = append(facts, next.Facts...)
		v = next.Verification
		want := facts
		if len(facts) > 64 {
			want = append(slices.Clone(facts[:1]), facts[len(facts)-63:]...)
		}
		if !slices.Equal(v.Facts, want) {
			t.Fatalf("after %d facts %d are kept: %+v", len(facts), len(v.Facts), v.Facts)
		}
	}
	if len(facts) < 100 || v.Facts[0].Kind != verify.Started {
		t.Errorf("%d facts, the first is %+v", len(facts), v.Facts[0])
	}
}

// TestOutcomeParts: parts and refs of an outcome, also if it is recorded again.
func TestOutcomeParts(t *testing.T) {
	t.Parallel()
	v := start(t, request(300, 125, 180))
	o := accepted(v, 0, 7, "r0", "", "r2")
	o.Early = map[string]verify.Part{"r2": {State: verify.EventDelivered, Error: "remark", ReportedAt: at(0.5)}}
	part := func(seq int, ref string, state verify.EventState) verify.Part {
		return verify.Part{Attempt: 1, Seq: seq, Count: 3, Carrier: "smsc", Ref: ref, State: state}
	}
	reported := part(2, "r2", verify.EventDelivered)
	reported.Error, reported.ReportedAt = "remark", at(0.5)
	c := v.Outcome(o, onFailure, at(1))
	wantParts, wantRefs := []verify.Part{part(0, "r0", verify.EventAccepted), reported}, []verify.Ref{{Carrier: "smsc", ID: "r0"}, {Carrier: "smsc", ID: "r2"}}
	if got := c.Verification.Events[0]; !slices.Equal(got.Parts, wantParts) || !slices.Equal(c.Refs, wantRefs) || got.Cost() != 7 || c.Verification.Cost() != 7 {
		t.Errorf("parts %+v, refs %+v, cost %d", got.Parts, c.Refs, got.Cost())
	}
	// The commit may have succeeded without an answer. Then a receipt arrived.
	c = did(first(c.Verification.Receipt(receipt("r0", verify.EventExpired), onFailure, at(2))))
	wantParts[0].State, wantParts[0].Error, wantParts[0].ReportedAt = verify.EventExpired, "err expired", at(2)
	o.Early = nil
	again := c.Verification.Outcome(o, onFailure, at(3))
	if got := again.Verification.Events[0]; !slices.Equal(got.Parts, wantParts) || got.State != verify.EventExpired || got.Cost() != 7 || len(again.Entries) > 0 {
		t.Errorf("recorded again: %+v, entries %+v", got, again.Entries)
	}
}

// TestReceipt: a receipt of a known message may have no effect.
func TestReceipt(t *testing.T) {
	t.Parallel()
	v := start(t, request(300, 125, 180))
	v = v.Outcome(accepted(v, 0, 0, "r0"), onFailure, at(1)).Verification
	delivered := did(first(v.Receipt(receipt("r0", verify.EventDelivered), onFailure, at(2)))).Verification
	other := receipt("r0", verify.EventDelivered)
	other.Carrier = "other"
	for _, tt := range []struct {
		name      string
		v         verify.Verification
		r         verify.Receipt
		known, ok bool
	}{
		{"delivered", v, receipt("r0", verify.EventDelivered), true, true},
		{"in flight", v, receipt("r0", verify.EventAccepted), true, false},
		{"delivered again", delivered, receipt("r0", verify.EventDelivered), true, false},
		{"failed after the delivery", delivered, receipt("r0", verify.EventExpired), true, false},
		{"another ref", v, receipt("r1", verify.EventDelivered), false, false},
		{"another carrier", v, other, false, false},
	} {
		c, known, ok := tt.v.Receipt(tt.r, onFailure, at(3))
		if known != tt.known || ok != tt.ok {
			t.Errorf("%s: known %v, changed %v", tt.name, known, ok)
		}
		if ok && !c.Verification.Events[0].Parts[0].ReportedAt.Equal(at(3)) {
			t.Errorf("%s: %+v", tt.name, c.Verification.Events[0].Parts)
		}
	}
}

// TestReceiptOfTheNewestPart: a reused carrier id refers to the newest message.
func TestReceiptOfTheNewestPart(t *testing.T) {
	t.Parallel()
	v := start(t, request(300, 125, 180))
	v = v.Outcome(accepted(v, 0, 0, "r0"), onFailure, at(1)).Verification
	v, _, _ = trigger(v, at(20))
	v = v.Outcome(accepted(v, 1, 0, "r0"), onFailure, at(21)).Verification
	v = did(first(v.Receipt(receipt("r0", verify.EventDelivered), onFailure, at(22)))).Verification
	if v.Events[0].State != verify.EventAccepted || v.Events[1].State != verify.EventDelivered {
		t.Errorf("the states are %s and %s", v.Events[0].State, v.Events[1].State)
	}
}

// TestLateResponse: a late response sets the state of an event without an outcome, and of a
// refused event that this carrier accepted.
func TestLateResponse(t *testing.T) {
	t.Parallel()
	v := start(t, request(300, 125, 180))
	second := did(v.Retry(0, nil, at(2))).Verification
	for _, tt := range []struct {
		name     string
		before   verify.Verification // with the outcome of its first event
		attempt  int
		response verify.EventState
		want     verify.EventState
		ok       bool
		hastens  bool
	}{
		{"accepted", after(v, 0, verify.EventUnknown, onFailure, at(3)), 1, verify.EventAccepted, verify.EventAccepted, true, false},
		{"refused", after(v, 0, verify.EventUnknown, onFailure, at(3)), 1, verify.EventRefused, verify.EventRefused, true, true},
		{"refused elsewhere, accepted here", after(v, 0, verify.EventRefused, onFailure, at(3)), 1, verify.EventAccepted, verify.EventAccepted, true, false},
		{"refused twice", after(v, 0, verify.EventRefused, onFailure, at(3)), 1, verify.EventRefused, verify.EventRefused, true, true},
		{"accepted elsewhere, refused here", after(v, 0, verify.EventAccepted, onFailure, at(3)), 1, verify.EventRefused, verify.EventAccepted, true, false},
		{"while the event is open", v, 1, verify.EventAccepted, verify.EventSubmitting, true, false},
		{"older attempt accepted", after(second, 0, verify.EventRefused, onFailure, at(3)), 1, verify.EventAccepted, verify.EventAccepted, true, false},
		{"older attempt refused", after(second, 0, verify.EventUnknown, onFailure, at(3)), 1, verify.EventRefused, verify.EventUnknown, false, false},
	} {
		l := verify.LateResponse{Part: verify.Part{Attempt: tt.attempt, Count: 1, Carrier: "smsc", Ref: "r0", State: tt.response}, Cost: 7}
		c, ok := tt.before.LateResponse(l, hasten, at(9))
		if ok != tt.ok {
			t.Errorf("%s: changed %v", tt.name, ok)
		}
		if !ok {
			continue
		}
		e, cost := c.Verification.Events[0], verify.Money(7)
		if tt.response == verify.EventRefused {
			cost = 0
		}
		if e.State != tt.want || len(e.Parts) != int(cost/7) || e.Cost() != cost || len(c.Refs) != len(e.Parts) || c.Verification.NextAt.Equal(at(9)) != tt.hastens {
			t.Errorf("%s: %+v, next step at %v", tt.name, e, c.Verification.NextAt.Sub(t0))
		}
		if want := tt.before.Unsent || tt.want == verify.EventRefused; c.Verification.Unsent != want {
			t.Errorf("%s: unsent %v", tt.name, c.Verification.Unsent)
		}
	}
	if _, ok := v.LateResponse(verify.LateResponse{Event: 1, Part: verify.Part{Attempt: 1, State: verify.EventAccepted}}, hasten, at(9)); ok {
		t.Error("a response of no event changed something")
	}
}
