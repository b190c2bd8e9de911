package engine_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver"
	"countersign/internal/verify"
)

// failures are the ways in which an event fails after its submission to a carrier.
var failures = map[string]func(*desks, hand){
	"Refused": func(_ *desks, h hand) { h.fail(errRefused) },
	"RefusedLate": func(d *desks, h hand) {
		h.fail(errLost)
		d.next(0).fail(errLost)
		d.settled(h.RequestID, 0)
		must(d.t, d.Answer(d.t.Context(), deliver.Answer{
			Event: h.Event(), Part: verify.Part{Attempt: 2, Count: 1, Carrier: "a", State: verify.EventRefused},
		}))
	},
	"Undeliverable": func(d *desks, h hand) { d.reported(h, undeliverable) },
	"Expired":       func(d *desks, h hand) { d.reported(h, expired) },
	"Rejected":      func(d *desks, h hand) { d.reported(h, rejected) },
	"Held":          func(d *desks, h hand) { d.reported(h, verify.EventHeld) },
	"ReportedEarly": func(d *desks, h hand) {
		d.report("a", "1", rejected, "")
		h.accept("1")
	},
	"PartReportedEarly": func(d *desks, h hand) {
		d.report("a", "2", rejected, "")
		h.accept("1", "2")
	},
}

// reported accepts a message and then reports a state.
func (d *desks) reported(h hand, state verify.EventState) {
	d.t.Helper()
	h.accept("1")
	d.settled(h.RequestID, 0)
	d.report("a", "1", state, "")
}

// TestNextEvent: with next_event, a failed event is followed immediately by the next one, with
// the PIN valid then; later steps keep their intervals.
func TestNextEvent(t *testing.T) {
	t.Parallel()
	for name, fail := range failures {
		for policy, generation := range map[verify.PINPolicy]int{verify.ReusePIN: 1, verify.RenewPIN: 2} {
			if policy == verify.RenewPIN && name != "Refused" {
				continue // the difference is tested once
			}
			t.Run(name+" "+string(policy), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					d := setUpDesks(t, "a")
					d.goOn()
					d.resume()
					v, h := d.start(func(r *verify.Request) { r.Workflow.PINPolicy = policy })
					d.clock.Advance(2 * time.Second)
					fail(d, h)
					call := d.next(1)
					call.accept("3")
					e := d.settled(v.ID, 1)
					rec := d.record(v.ID)
					if !e.StartedAt.Equal(at(2)) || e.Attempt != 1 || call.Channel != verify.TTS || !strings.Contains(call.Text, spoken(rec.PIN)) {
						t.Errorf("the event is %+v, the call %+v", e, call.Message)
					}
					if rec.Generation != generation || e.Generation != generation {
						t.Errorf("PIN generation %d in event %+v, want %d", rec.Generation, e, generation)
					}
					d.quiet()
					d.wantDue(v.ID, 2+180)
				})
			})
		}
	}
}

// TestAnswered: an answered call without media is followed immediately by the next event only
// if media is required. Its state is the same in both cases.
func TestAnswered(t *testing.T) {
	t.Parallel()
	for _, required := range []bool{false, true} {
		t.Run(fmt.Sprintf("required %t", required), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := setUpRouter(t, deliver.RouterConfig{RequireMedia: required}, "a")
				d.goOn()
				d.resume()
				v, h := d.start()
				d.clock.Advance(2 * time.Second)
				d.reported(h, verify.EventAnswered)
				if required {
					d.next(1).accept("3")
					d.settled(v.ID, 1)
				} else {
					d.quiet()
					d.wantDue(v.ID, 125)
				}
				if e := d.record(v.ID).Events[0]; e.State != verify.EventAnswered {
					t.Errorf("the event is %+v", e)
				}
			})
		})
	}
}

// spoken returns the spoken form of a PIN.
func spoken(pin verify.PIN) string { return strings.Join(strings.Split(pin.Reveal(), ""), ", ") }

// TestNextEventWaits: the default keeps the published timings.
func TestNextEventWaits(t *testing.T) {
	t.Parallel()
	for name, fail := range failures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := setUpDesks(t, "a")
				d.resume()
				v, h := d.start()
				d.clock.Advance(2 * time.Second)
				fail(d, h)
				await.Until(t, "failed", func() bool { return d.record(v.ID).Events[0].Failed() })
				d.quiet()
				d.wantDue(v.ID, 125)
				d.clock.Advance(123*time.Second - time.Millisecond)
				d.quiet()
				d.clock.Advance(time.Millisecond)
				d.next(1).accept()
				d.settled(v.ID, 1)
			})
		})
	}
}

// TestNextEventToTheEnd: if all events fail, all are made immediately, and the wait of the
// last one remains for a check.
func TestNextEventToTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := setUpDesks(t, "a")
		d.goOn()
		d.resume()
		v, h := d.start()
		h.fail(errRefused)
		d.next(1).fail(errRefused)
		d.next(2).accept("1")
		d.settled(v.ID, 2)
		d.report("a", "1", undeliverable, "err 12") // the last event has no successor
		d.quiet()
		d.wantEvent(v.ID, 2, undeliverable, 1, "a", "err 12")
		d.wantDue(v.ID, 300)
		if rec := d.record(v.ID); rec.Status != verify.InProgress || len(rec.Events) != 3 || !rec.LastEventAt().Equal(t0) {
			t.Errorf("the verification is %+v", rec)
		}
		d.clock.Advance(300*time.Second - time.Millisecond)
		if _, err := d.Check(t.Context(), d.account, v.ID, v.PIN, ""); err != nil {
			t.Errorf("the code just before the end: %v", err)
		}
	})
}

// TestNextEventWithNewPIN: the PIN has expired when the unsent event is given up.
func TestNextEventWithNewPIN(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := setUpDesks(t, "a")
		d.goOn()
		d.resume()
		v, h := d.start(func(r *verify.Request) { r.Workflow.PINLife = time.Minute })
		h.fail(errNotSent)
		d.rest()
		d.clock.Advance(time.Minute)
		call := d.next(1)
		call.accept()
		d.settled(v.ID, 1)
		rec := d.record(v.ID)
		if rec.Generation != 2 || !strings.Contains(call.Text, spoken(rec.PIN)) || !rec.PINExpiresAt.Equal(at(120)) {
			t.Errorf("PIN generation %d until %v, in %q", rec.Generation, rec.PINExpiresAt, call.Text)
		}
		d.wantEvent(v.ID, 0, expired, 1, "", "")
	})
}

// TestOldFailure: the failure of an event that has a successor brings no step forward.
func TestOldFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, state := range []verify.EventState{undeliverable, expired, rejected} {
			d := setUpDesks(t, "a")
			d.goOn()
			d.resume()
			v := d.accepted("1")
			d.clock.Advance(time.Second)
			must(t, d.Trigger(t.Context(), d.account, v.ID))
			second := d.next(1)
			held := d.lease(v.ID)
			d.report("a", "1", state, "")
			d.wantEvent(v.ID, 0, state, 1, "a", "")
			if c := d.lease(v.ID); c != held {
				t.Errorf("the lease of the second event changed from %+v to %+v", held, c)
			}
			second.accept("2")
			d.settled(v.ID, 1)
			d.quiet()
			d.wantDue(v.ID, 1+180)
		}
	})
}

// TestFailuresTogether: several reports of one failure make one step.
func TestFailuresTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := setUpDesks(t, "a")
		d.goOn()
		v := d.accepted("1", "2", "3")
		fence := d.lease(v.ID).Token
		var wg sync.WaitGroup
		for _, ref := range []string{"1", "2", "3", "1", "2"} {
			wg.Go(func() {
				if err := d.Receipt(t.Context(), deliver.Receipt{Carrier: "a", Ref: ref, State: rejected}); err != nil {
					t.Errorf("receipt of %s: %v", ref, err)
				}
			})
		}
		wg.Wait()
		d.wantDue(v.ID, 0)
		if c := d.lease(v.ID); c.Token != fence+1 {
			t.Errorf("the step was brought forward %d times", c.Token-fence)
		}
		d.clock.Advance(time.Second)
		d.resume()
		h := d.next(1)
		d.report("a", "3", delivered, "") // too late to undo the failure
		h.accept("4")
		d.settled(v.ID, 1)
		d.report("a", "1", delivered, "")
		d.quiet()
		d.wantDue(v.ID, 1+180)
	})
}

// TestFailureAndTrigger: a failure and a trigger take one step together, in either order.
func TestFailureAndTrigger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := setUpDesks(t, "a")
		d.goOn()
		v := d.accepted("1")
		d.report("a", "1", rejected, "")
		must(t, d.Trigger(t.Context(), d.account, v.ID)) // before the runner's next turn
		d.resume()
		d.next(1).accept("2")
		d.settled(v.ID, 1)
		d.quiet()
		d.wantDue(v.ID, 180)
	})
}

// TestFailureOfBrokenRow: the outcome of an event with an unreadable row is recorded when the
// row becomes readable.
func TestFailureOfBrokenRow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := setUpDesks(t, "a")
		d.goOn()
		v, h := d.start()
		d.breakRows()
		h.fail(errRefused)
		d.rest() // until the retry pause
		d.mendRows()
		d.clock.Advance(time.Second)
		d.rest()
		d.wantEvent(v.ID, 0, verify.EventRefused, 1, "", "")
		d.wantDue(v.ID, 1)
	})
}

// TestNextEventAfterRestart: a failure reported after the runner stopped is handled by the
// next process.
func TestNextEventAfterRestart(t *testing.T) {
	t.Parallel()
	d := setUpDesks(t, "a")
	d.goOn()
	d.Resume()
	v := d.accepted("1")
	must(t, d.Stop(context.WithoutCancel(t.Context())))
	d.report("a", "1", undeliverable, "")
	d.wantDue(v.ID, 0)
	d.clock.Advance(time.Second)
	d.restart()
	d.next(1).accept()
	if e := d.settled(v.ID, 1); !e.StartedAt.Equal(at(1)) {
		t.Errorf("the next event is %+v", e)
	}
}

// TestReportsRace makes concurrent reports, late responses, triggers and checks for one
// verification. Each event is sent at most twice, each attempt once, and no lease outlasts
// its time.
func TestReportsRace(t *testing.T) {
	t.Parallel()
	d := setUpDesks(t, "a")
	d.goOn()
	d.resume()
	v, first := d.start()
	ctx, stop := context.WithCancel(t.Context())
	type attempt struct {
		event verify.ID
		n     int
	}
	seen := map[attempt]bool{{first.EventID, first.Attempt}: true}
	var carriers, callers sync.WaitGroup
	answer := func(i int, h hand) {
		switch i % 3 {
		case 0:
			h.fail(errLost)
		case 1:
			h.accept("1", "2")
		default:
			h.fail(errRefused)
		}
	}
	carriers.Go(func() {
		answer(0, first)
		for i := 1; ; i++ {
			select {
			case h := <-d.sent:
				if a := (attempt{h.EventID, h.Attempt}); seen[a] || a.n > verify.MaxAttempts {
					t.Errorf("attempt %d of %s is made again", a.n, a.event)
				} else {
					seen[a] = true
				}
				answer(i, h)
			case <-ctx.Done():
				return
			}
		}
	})
	for i := range 4 {
		callers.Go(func() {
			for _, state := range []verify.EventState{accepted, rejected, undeliverable, delivered} {
				ref := []string{"1", "2"}[i%2]
				_ = d.Receipt(ctx, deliver.Receipt{Carrier: "a", Ref: ref, State: state})
				_ = d.Answer(ctx, deliver.Answer{Event: first.Event(), Part: verify.Part{Attempt: 1, Seq: i % 2, Count: 2, Carrier: "a", Ref: ref, State: accepted}})
				_ = d.Trigger(ctx, d.account, v.ID)
			}
		})
	}
	callers.Wait()
	await.Until(t, "finished: all events", func() bool {
		rec := d.record(v.ID)
		done, c := len(rec.Open()) == 0, rec.Lease
		if done && c.Node != "" { // an earlier event finished last: its lease must expire
			d.clock.Advance(max(0, c.Until.Sub(d.clock.Now())))
		}
		return done && c.Node == ""
	})
	stop()
	carriers.Wait()
	if rec := d.record(v.ID); rec.Status != verify.InProgress || len(rec.Events) != 3 {
		t.Errorf("the verification is %+v", rec)
	}
}
