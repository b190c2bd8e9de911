package engine_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/await"
	"countersign/internal/server"
	"countersign/internal/servertest"
	"countersign/internal/verify"
)

// TestRescue: a message that a dead process may have sent is resent with the same PIN when
// its lease expires.
func TestRescue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		v, _ := b.orphan(1)
		b.resume()
		b.rest()
		b.clock.Advance(14999 * time.Millisecond)
		b.rest()
		if sent := b.carrier.all(); len(sent) != 0 {
			t.Fatalf("sent while another node has the lease: %+v", sent)
		}
		b.clock.Advance(time.Millisecond)
		e := b.settled(v.ID, 0)
		if e.State != verify.EventAccepted || e.Attempt != 2 {
			t.Errorf("the event is %+v, want it accepted at attempt 2", e)
		}
		sent := b.carrier.all()
		if len(sent) != 1 || sent[0].EventID != e.ID || !strings.Contains(sent[0].Text, v.PIN.Reveal()) {
			t.Fatalf("sent %+v, want one copy with the same PIN", sent)
		}
		if sent[0].ValidFor != 285*time.Second {
			t.Errorf("the copy is valid for %v, want the rest of the PIN's life", sent[0].ValidFor)
		}
		states(t, sent[0], "4 minutes")
		if c := b.lease(v.ID); c.Node != "" {
			t.Errorf("the row is still held: %+v", c)
		}
		// The plan is unchanged.
		b.clock.Advance(109999 * time.Millisecond)
		b.rest()
		if n := len(b.carrier.all()); n != 1 {
			t.Fatalf("%d messages before the second is due", n)
		}
		b.clock.Advance(time.Millisecond)
		if e := b.settled(v.ID, 1); !e.StartedAt.Equal(at(125)) || e.Attempt != 1 {
			t.Errorf("the second event is %+v, want it at its time", e)
		}
	})
}

// TestRescueGivesUp: a message that is no longer sendable is not resent.
func TestRescueGivesUp(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		attempt    int
		pinLife    time.Duration
		back       float64 // restart of the process, in seconds after the start
		wantEvents []verify.EventState
	}{
		{"SecondDeath", 2, 300 * time.Second, 15, []verify.EventState{verify.EventUnknown}},
		{"PINDead", 1, 60 * time.Second, 60, []verify.EventState{verify.EventUnknown}},
		{"NextStepDue", 1, 300 * time.Second, 125, []verify.EventState{verify.EventUnknown, verify.EventAccepted}},
		{"PlanRunOut", 1, 300 * time.Second, 605, []verify.EventState{verify.EventUnknown}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setUp(t)
				v, e := b.orphan(tt.attempt)
				b.alter(v.ID, func(v *verify.Verification) { v.Workflow.PINLife, v.PINExpiresAt = tt.pinLife, t0.Add(tt.pinLife) })
				b.clock.Advance(at(tt.back).Sub(t0))
				b.resume()
				for seq, want := range tt.wantEvents {
					if e := b.settled(v.ID, seq); e.State != want || seq == 0 && e.Attempt != tt.attempt {
						t.Errorf("event %d is %+v, want it %s", seq, e, want)
					}
				}
				b.rest()
				for _, m := range b.carrier.all() {
					if m.EventID == e.ID {
						t.Errorf("resent: %+v", m)
					}
				}
				rec := b.record(v.ID)
				if len(rec.Events) != len(tt.wantEvents) {
					t.Errorf("events: %+v, want %v", rec.Events, tt.wantEvents)
				}
				if over := rec.Status != verify.InProgress; over != (tt.name == "PlanRunOut") || over && rec.Status != verify.Expired {
					t.Errorf("the verification is %s", rec.Status)
				}
				if c := b.lease(v.ID); c.Node != "" {
					t.Errorf("the row is still held: %+v", c)
				}
			})
		})
	}
}

// TestOutage: unleased rows fall due while no process runs.
func TestOutage(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		back       float64
		wantEvents int
		wantStatus verify.Status
	}{
		{"StillTime", 604.999, 2, verify.InProgress},
		{"RunOut", 605, 1, verify.Expired},
		{"LongAgo", 1e7, 1, verify.Expired},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setUp(t)
			v, err := b.Start(t.Context(), b.account, b.request())
			must(t, err)
			b.settled(v.ID, 0)
			b.clock.Advance(at(tt.back).Sub(t0))

			// A search shows the true status before the step is taken.
			found, err := b.Search(t.Context(), b.account, []verify.ID{v.ID})
			if err != nil || len(found) != 1 || found[0].Status != tt.wantStatus {
				t.Errorf("search finds %+v (%v), want %s", found, err, tt.wantStatus)
			}
			if tt.wantStatus == verify.Expired && !found[0].FinalizedAt.Equal(at(605)) {
				t.Errorf("it ended at %v, want its planned end", found[0].FinalizedAt)
			}
			b.resume()
			await.Until(t, "taken: the step", func() bool {
				rec := b.record(v.ID)
				return rec.Status == verify.Expired || len(rec.Events) > 1
			})
			if tt.wantEvents > 1 {
				b.settled(v.ID, 1)
			}
			rec := b.record(v.ID)
			if rec.Status != tt.wantStatus || len(rec.Events) != tt.wantEvents || len(b.carrier.all()) != tt.wantEvents {
				t.Errorf("%s after %d events and %d messages, want %s after %d", rec.Status, len(rec.Events), len(b.carrier.all()), tt.wantStatus, tt.wantEvents)
			}
		})
	}
}

// TestStartAfterOutage: an expired verification does not block its number, even before its
// last step is taken.
func TestStartAfterOutage(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	first, err := b.Start(t.Context(), b.account, b.request())
	must(t, err)
	b.settled(first.ID, 0)
	b.clock.Advance(605*time.Second - time.Millisecond)
	_, err = b.Start(t.Context(), b.account, b.request())
	if e, ok := errors.AsType[*verify.Error](err); !ok || e.Kind != verify.KindConcurrent || e.Request != first.ID {
		t.Errorf("just before its end: %v, want KindConcurrent that names it", err)
	}
	b.clock.Advance(time.Millisecond)
	second, err := b.Start(t.Context(), b.account, b.request())
	must(t, err)
	b.settled(second.ID, 0)
	if rec := b.record(first.ID); rec.Status != verify.Expired || !rec.FinalizedAt.Equal(at(605)) {
		t.Errorf("the first is %s at %v, want EXPIRED at its planned end", rec.Status, rec.FinalizedAt)
	}
	if sum, charges, err := b.db.LedgerSum(t.Context(), b.account.Key); err != nil || charges != 2 || sum != 100*verify.Unit-2*12_050_000 {
		t.Errorf("%s after %d charges (%v), want two charges", sum, charges, err)
	}
}

// TestRefusedSMS: refused SMS do not change the schedule, and the call is made.
func TestRefusedSMS(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	id := start(t, s, url.Values{"number": {server.RefusedNumber}})
	requestID, _ := verify.ParseID(id)
	state := func() verify.EventState {
		rec, _, err := s.Store().Verification(t.Context(), requestID)
		must(t, err)
		return rec.Events[0].State
	}
	await.Until(t, "recorded: the outcome of the SMS", func() bool { return state() != verify.EventSubmitting })
	if state() != verify.EventRefused {
		t.Errorf("the SMS is %s, want refused", state())
	}
	s.Clock.Advance(125*time.Second - time.Millisecond)
	if got := search(s, id); got["status"] != "IN PROGRESS" || len(s.Messages(server.RefusedNumber)) != 0 {
		t.Errorf("before the call is due: %v, %v", got, s.Messages(server.RefusedNumber))
	}
	s.Clock.Advance(time.Millisecond)
	m := s.WaitMessages(server.RefusedNumber, 1)[0]
	if m.Channel != "tts" || !m.SentAt.Equal(s.Clock.Now()) {
		t.Errorf("got %s at %v, want a call at %v", m.Channel, m.SentAt, s.Clock.Now())
	}
	if answer := check(s, id, m.PIN()); answer["status"] != "0" {
		t.Errorf("the code of the call: %v", answer)
	}
}

// TestBrokenRowHoldsNobodyUp: a broken row is postponed by a minute and does not delay others.
func TestBrokenRowHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		broken, _ := b.orphan(1)
		b.breakRows()
		req := b.request()
		req.To = verify.PhoneAddress("447700900001", req.To.Country)
		v, err := b.Start(t.Context(), b.account, req)
		must(t, err)
		b.settled(v.ID, 0)
		b.clock.Advance(125 * time.Second)
		b.resume()
		b.settled(v.ID, 1)
		b.rest()
		b.mendRows()
		b.clock.Advance(time.Minute)
		b.settled(broken.ID, 0)
	})
}
