package verify_test

import (
	"crypto/rand"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"countersign/internal/verify"
)

// input generates the input of rules.
type input struct {
	*rapid.T
	now time.Time
}

func (in input) bool(label string) bool { return rapid.Bool().Draw(in.T, label) }

func (in input) event(v verify.Verification) int {
	return rapid.IntRange(0, len(v.Events)-1).Draw(in.T, "event")
}

func (in input) state() verify.EventState {
	return rapid.SampledFrom(eventStates()[1:]).Draw(in.T, "state")
}

func (in input) history() verify.History {
	cap := func(name string) *verify.Cause {
		if rapid.IntRange(0, 9).Draw(in.T, name) > 0 {
			return nil
		}
		return &verify.Cause{Rule: verify.RuleCap, Detail: name, Until: in.now.Add(time.Hour)}
	}
	return history{noSend: cap("send cap"), noCheck: cap("check cap"), filled: cap("cap of wrong codes")}
}

func (in input) onFailure() verify.OnFailure {
	return verify.OnFailure{NextStep: in.bool("next step"), Failed: failed}
}

func (in input) runner() verify.Runner {
	flying := in.bool("in flight")
	return verify.Runner{Node: in.node(), InFlight: func(verify.ID) bool { return flying }, OnFailure: in.onFailure()}
}

func (in input) node() string {
	return rapid.SampledFrom([]string{"node-a", "node-b"}).Draw(in.T, "node")
}

// ref generates a message id of an event from a small set, so that most are known.
func (in input) ref(seq int) string {
	return fmt.Sprintf("%d/%d", seq, rapid.IntRange(0, 2).Draw(in.T, "ref"))
}

func (in input) early(ref string) map[string]verify.Part {
	if !in.bool("early receipt") {
		return nil
	}
	return map[string]verify.Part{ref: {State: in.state(), ReportedAt: in.now}}
}

// rules are all rules for an existing verification. ok is false without a change.
var rules = map[string]func(in input, v verify.Verification) (c verify.Change, ok bool){
	"step": func(in input, v verify.Verification) (verify.Change, bool) {
		if len(v.Open()) > 0 {
			return verify.Change{}, false // covered by Recover: the row has a lease
		}
		return v.Step(in.runner(), in.history(), in.now, rand.Reader), true
	},
	"recover": func(in input, v verify.Verification) (verify.Change, bool) {
		return v.Recover(in.runner(), in.history(), in.now, rand.Reader), true
	},
	"trigger": func(in input, v verify.Verification) (verify.Change, bool) {
		c, err := v.Trigger(in.node(), in.history(), in.now, rand.Reader)
		return c, err == nil
	},
	"check": func(in input, v verify.Verification) (verify.Change, bool) {
		code := wrong(v)
		if rapid.IntRange(0, 4).Draw(in.T, "right") == 0 {
			code = v.PIN
		}
		c, err := v.Check(code, "192.0.2.1", in.history(), in.now)
		return c, err == nil
	},
	"cancel": func(in input, v verify.Verification) (verify.Change, bool) {
		c, err := v.Cancel(in.now)
		return c, err == nil
	},
	"withdraw": func(in input, v verify.Verification) (verify.Change, bool) {
		if rapid.IntRange(0, 4).Draw(in.T, "withdraw") > 0 {
			return verify.Change{}, false // let most verifications continue
		}
		return v.Withdraw(in.now), true
	},
	"outcome": func(in input, v verify.Verification) (verify.Change, bool) {
		seq := in.event(v)
		o, ref := outcome(v, seq, in.state()), in.ref(seq)
		o.Attempt = rapid.IntRange(1, o.Attempt).Draw(in.T, "attempt")
		o.Token -= int64(rapid.IntRange(0, 1).Draw(in.T, "stale"))
		o.Failures = verify.Failures{{Carrier: "smsc", Error: ref, Attempt: o.Attempt}}
		if o.State == verify.EventAccepted {
			o.Carrier, o.Cost, o.Refs, o.Early = "smsc", 7, []string{ref, ref + "+"}, in.early(ref)
		}
		return v.Outcome(o, in.onFailure(), in.now), true
	},
	"retry": func(in input, v verify.Verification) (verify.Change, bool) {
		seq := in.event(v)
		return v.Retry(seq, v.Events[seq].Failures.Add(verify.Failure{Carrier: in.node()}), in.now)
	},
	"hand off": func(in input, v verify.Verification) (verify.Change, bool) {
		return v.HandOff(v.Lease.Token, in.now)
	},
	"receipt": func(in input, v verify.Verification) (verify.Change, bool) {
		return first(v.Receipt(receipt(in.ref(in.event(v)), in.state()), in.onFailure(), in.now))
	},
	"late response": func(in input, v verify.Verification) (verify.Change, bool) {
		seq := in.event(v)
		l := verify.LateResponse{Event: seq, Cost: 3, Part: verify.Part{
			Attempt: rapid.IntRange(1, v.Events[seq].Attempt).Draw(in.T, "attempt"), Seq: rapid.IntRange(0, 1).Draw(in.T, "part"), Count: 2,
			Carrier: "smsc", Ref: in.ref(seq), State: rapid.SampledFrom([]verify.EventState{verify.EventAccepted, verify.EventRefused}).Draw(in.T, "response"),
		}}
		l.Early = in.early(l.Part.Ref)
		return v.LateResponse(l, in.onFailure(), in.now)
	},
	"lease for refund": func(in input, v verify.Verification) (verify.Change, bool) {
		return v.LeaseForRefund(in.node(), in.now), v.RefundDue()
	},
	"refund": func(in input, v verify.Verification) (verify.Change, bool) {
		return v.Refund(in.now), v.RefundDue()
	},
}

// snapshot is a value with its contents at the time when a rule returned it.
type snapshot struct {
	v    verify.Verification
	text string
	pins []verify.PIN
}

func snapshotOf(v verify.Verification) snapshot {
	return snapshot{v: v, text: fmt.Sprintf("%+v %+v", v, v.Payment), pins: secrets(v)}
}

// secrets returns the PINs of a value, since they do not print.
func secrets(v verify.Verification) []verify.PIN {
	pins := []verify.PIN{v.PIN, v.ChosenPIN}
	for _, c := range v.Checks {
		pins = append(pins, c.Code)
	}
	return pins
}

func (s snapshot) changed() bool {
	return fmt.Sprintf("%+v %+v", s.v, s.v.Payment) != s.text || !slices.Equal(secrets(s.v), s.pins)
}

// past is a verification with all its former values, facts and entries.
type past struct {
	*rapid.T
	now    time.Time
	v      verify.Verification
	values []snapshot
	facts  []verify.Fact
	ledger map[string]verify.Entry // by key of the entry
	spent  verify.Money
}

// TestRulesArePure applies random rules. No rule changes an earlier value, not even a rule
// that runs a second time on it. The facts and entries agree with the values.
func TestRulesArePure(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := beginning(drawRequest(t), 5)
		b.Payment, b.OnSuccess = &verify.Payment{Payee: "Acme", Amount: "1.00"}, rapid.Bool().Draw(t, "charge on success")
		p := &past{T: t, now: t0, ledger: map[string]verify.Entry{}}
		p.take(mustBegin(b))
		actions := map[string]func(*rapid.T){
			"wait": func(t *rapid.T) {
				p.now = p.now.Add(time.Duration(rapid.IntRange(1, 100_000).Draw(t, "ms")) * time.Millisecond)
			},
			"wait until due": func(*rapid.T) {
				if at, why := p.v.Due(); why != verify.NotDue && at.After(p.now) {
					p.now = at
				}
			},
			"": p.invariants,
		}
		for name, rule := range rules {
			actions[name] = func(t *rapid.T) {
				if c, ok := rule(input{t, p.now}, p.v); ok {
					p.take(c)
				}
			}
			actions[name+" of an earlier value"] = func(t *rapid.T) {
				earlier := p.values[rapid.IntRange(0, len(p.values)-1).Draw(t, "value")]
				if c, ok := rule(input{t, p.now}, earlier.v); ok {
					p.values = append(p.values, snapshotOf(c.Verification))
				}
			}
		}
		t.Repeat(actions)
		for _, s := range p.values {
			if s.changed() {
				t.Fatalf("a value changed after its rule: %+v, before %s", s.v, s.text)
			}
		}
	})
}

// take applies the change of a rule and checks it.
func (p *past) take(c verify.Change) {
	agree(p, c)
	for _, e := range c.Entries {
		if _, twice := p.ledger[e.Key]; twice || e.Kind != verify.HoldEntry && e.Key == "" {
			p.Fatalf("entry %q is posted twice, or has no key: %+v", e.Key, c)
		}
		p.ledger[e.Key] = e
		p.spent += e.Spent
	}
	if c.Send != nil {
		e, v := *c.Send, c.Verification
		if e.State != verify.EventSubmitting || v.LastEventID() != e.ID || v.Events[e.Seq].Attempt != e.Attempt || v.Lease.Node == "" || !v.Sendable(e, p.now) && e.Attempt > 1 {
			p.Fatalf("to send: %+v of %+v", e, v)
		}
	}
	if c.Verification.Lease.Token < p.v.Lease.Token {
		p.Fatalf("the token of the lease decreased from %d to %d", p.v.Lease.Token, c.Verification.Lease.Token)
	}
	p.facts = append(p.facts, c.Facts...)
	p.v = c.Verification
	p.values = append(p.values, snapshotOf(p.v))
}

func (p *past) count(kind verify.FactKind) (n int) {
	for _, f := range p.facts {
		if f.Kind == kind {
			n++
		}
	}
	return n
}

func (p *past) sum(kind verify.EntryKind) (sum verify.Money) {
	for _, e := range p.ledger {
		if e.Kind == kind {
			sum += e.Amount
		}
	}
	return sum
}

// invariants checks conditions that always apply.
func (p *past) invariants(*rapid.T) {
	v := p.v
	want := p.facts
	if len(want) > 64 {
		want = slices.Concat(p.facts[:1], p.facts[len(p.facts)-63:])
	}
	if !slices.Equal(v.Facts, want) {
		p.Fatalf("the value has the facts %+v, want %+v", v.Facts, want)
	}
	ended := 0
	if v.Ended() {
		ended = 1
	}
	if p.count(verify.Started) != 1 || p.count(verify.Finished) != ended || p.count(verify.CodeChecked) != len(v.Checks) ||
		p.count(verify.PINRenewed) != v.Generation-1 {
		p.Fatalf("the facts %+v do not agree with the value %+v", p.facts, v)
	}
	if p.count(verify.Charged)-p.count(verify.Refunded) != int(v.Charged()/v.Price) || -p.sum(verify.ChargeEntry)-p.sum(verify.RefundEntry) != v.Charged() ||
		p.sum(verify.CostEntry) != -v.Cost() {
		p.Fatalf("the ledger %+v does not agree with the value %+v", p.ledger, v)
	}
	if counts := v.Charged() != 0 || len(p.ledger) > 0 && p.count(verify.Charged) == 0; counts != (p.spent == v.Price) || !counts && p.spent != 0 {
		p.Fatalf("%d counts for the daily caps: %+v", p.spent, p.ledger)
	}
	if at, why := v.Due(); (why == verify.NotDue) != at.IsZero() || v.Status == verify.InProgress && (why == verify.NotDue || at.After(v.NextAt) && at.After(p.now.Add(verify.LeaseTime))) {
		p.Fatalf("due at %v for %q: %+v", at, why, v)
	}
}

// TestForks: two changes of one value share no memory, for slices of any length.
func TestForks(t *testing.T) {
	t.Parallel()
	grow := map[string]func(v verify.Verification, n int, branch string) verify.Verification{
		"checks": func(v verify.Verification, _ int, branch string) verify.Verification {
			v.Tries = 0
			return must(v.Check(wrong(v), branch, verify.Uncapped{}, at(1))).Verification
		},
		"parts": func(v verify.Verification, n int, branch string) verify.Verification {
			return v.Outcome(accepted(v, 0, 0, fmt.Sprint(n, branch)), onFailure, at(1)).Verification
		},
		"costs": func(v verify.Verification, n int, branch string) verify.Verification {
			part := verify.Part{Attempt: 1, Seq: n, Carrier: branch, State: verify.EventAccepted}
			return did(v.LateResponse(verify.LateResponse{Part: part, Cost: verify.Money(len(branch))}, onFailure, at(1))).Verification
		},
		"facts": func(v verify.Verification, _ int, branch string) verify.Verification {
			o := outcome(v, 0, verify.EventUnknown)
			o.Carrier, v.Events[0].State = branch, verify.EventSubmitting
			return v.Outcome(o, onFailure, at(1)).Verification
		},
	}
	for name, rule := range grow {
		v := start(t, request(300, 125, 180))
		for n := range 20 {
			longer := rule(v, n, "a")
			before := snapshotOf(longer)
			rule(v, n, "the other")
			if before.changed() {
				t.Errorf("%s: of %d, the second change altered the first", name, n)
			}
			v = longer
		}
	}
}
