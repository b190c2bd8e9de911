package verify_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"countersign/internal/verify"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// at is the time s seconds after the start.
func at(s float64) time.Time { return t0.Add(time.Duration(s * float64(time.Second))) }

func steps(channel verify.Channel, waits ...int) []verify.Step {
	var list []verify.Step
	for _, w := range waits {
		list = append(list, verify.Step{Channel: channel, Wait: time.Duration(w) * time.Second})
	}
	return list
}

func request(pinLife int, waits ...int) verify.Request {
	return verify.Request{
		Account: "demo0001", To: verify.PhoneAddress("447700900000", ""), Brand: "Acme", CodeLength: 4,
		Workflow: verify.Workflow{
			Steps: steps(verify.SMS, waits...), PINLife: time.Duration(pinLife) * time.Second,
			PINPolicy: verify.ReusePIN, CancelAfter: 30 * time.Second,
		},
	}
}

// node is the default node of tests.
const node = "node-a"

// funds cover every price, unless short is set.
type funds struct{ short *verify.Cause }

func (f funds) Shortage(verify.Money, time.Time) *verify.Cause { return f.short }

// history is a history of a number with full caps. It lists its changes in calls.
type history struct {
	noSend, noCheck *verify.Cause // full caps
	filled          *verify.Cause // cap that a wrong code fills
	calls           string
}

func (h history) MaySend(time.Time) *verify.Cause  { return h.noSend }
func (h history) MayCheck(time.Time) *verify.Cause { return h.noCheck }

func (h history) Sent(now time.Time) verify.History {
	h.calls += fmt.Sprintf("sent %v;", now.Sub(t0))
	return h
}

func (h history) Checked(valid bool, now time.Time) (verify.History, *verify.Cause) {
	h.calls += fmt.Sprintf("checked %v %v;", valid, now.Sub(t0))
	if valid {
		return h, nil
	}
	return h, h.filled
}

// full is a cap that is full until a time.
func full(name string, until float64) *verify.Cause {
	return &verify.Cause{Rule: verify.RuleCap, Detail: name, Count: 3, Limit: 3, Until: at(until)}
}

func mustBegin(b verify.Beginning) verify.Change {
	c, _, err := verify.Begin(b, t0, rand.Reader)
	if err != nil {
		panic(err)
	}
	return c
}

// beginning is the input of an accepted request with a price, for a number without caps.
func beginning(req verify.Request, price verify.Money) verify.Beginning {
	return verify.Beginning{Request: req, Price: price, Payer: req.Account, History: verify.Uncapped{}, Funds: funds{}, Node: node}
}

// begin accepts a request at t0. It returns the verification and its first event.
func begin(req verify.Request, price verify.Money) (verify.Verification, verify.Event) {
	c := mustBegin(beginning(req, price))
	return c.Verification, *c.Send
}

func start(t *testing.T, req verify.Request) verify.Verification {
	t.Helper()
	v, e := begin(req, verify.Unit)
	if v.Status != verify.InProgress || e.Seq != 0 || e.State != verify.EventSubmitting || e.Attempt != 1 {
		t.Fatalf("Begin gave status %s, event %+v", v.Status, e)
	}
	return v
}

// runner is the input of a node that is submitting some events.
func runner(flying ...verify.ID) verify.Runner {
	return verify.Runner{Node: node, InFlight: func(id verify.ID) bool {
		for _, f := range flying {
			if f == id {
				return true
			}
		}
		return false
	}, OnFailure: onFailure}
}

// onFailure keeps to the timings of the workflow; with hasten a failure makes the next step
// due.
var (
	onFailure = verify.OnFailure{Failed: failed}
	hasten    = verify.OnFailure{NextStep: true, Failed: failed}
)

func failed(s verify.EventState) bool { return verify.Event{State: s}.Failed() }

// step takes the step that is due, for a number without caps. An open event gets no outcome.
func step(v verify.Verification, now time.Time) (verify.Verification, *verify.Event) {
	c := v.Recover(runner(), verify.Uncapped{}, now, rand.Reader)
	return c.Verification, c.Send
}

// trigger takes the next step. v comes back from a refusal.
func trigger(v verify.Verification, now time.Time) (verify.Verification, verify.Event, error) {
	c, err := v.Trigger(node, verify.Uncapped{}, now, rand.Reader)
	if err != nil {
		return v, verify.Event{}, err
	}
	return c.Verification, *c.Send, nil
}

// cancel cancels a verification. v comes back from a refusal.
func cancel(v verify.Verification, now time.Time) (verify.Verification, error) {
	c, err := v.Cancel(now)
	if err != nil {
		return v, err
	}
	return c.Verification, nil
}

// check submits a code. The error is the answer to the application.
func check(v verify.Verification, code verify.PIN, ipAddress string, now time.Time) (verify.Verification, verify.Check, error) {
	c, err := v.Check(code, ipAddress, verify.Uncapped{}, now)
	return checked(v, c, err)
}

func checked(v verify.Verification, c verify.Change, err error) (verify.Verification, verify.Check, error) {
	switch {
	case err != nil:
		return v, verify.Check{}, err
	case c.Answer != nil:
		err = c.Answer
	}
	return c.Verification, c.Verification.Checks[len(c.Verification.Checks)-1], err
}

// outcome is the outcome of the newest attempt of an event, under the present lease.
func outcome(v verify.Verification, seq int, state verify.EventState) verify.Outcome {
	return verify.Outcome{Event: seq, Attempt: v.Events[seq].Attempt, Token: v.Lease.Token, State: state}
}

// after returns the verification after the outcome of an event.
func after(v verify.Verification, seq int, state verify.EventState, f verify.OnFailure, now time.Time) verify.Verification {
	return v.Outcome(outcome(v, seq, state), f, now).Verification
}

func kind(err error) verify.Kind {
	if e, ok := errors.AsType[*verify.Error](err); ok {
		return e.Kind
	}
	return -1
}
