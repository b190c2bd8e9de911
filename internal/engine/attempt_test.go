package engine_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/verify"
)

// TestNotSentWhileOfUse: an unsent message is submitted again while it is sendable, within
// one attempt.
func TestNotSentWhileOfUse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		end  func(*desks, verify.Verification) error
	}{
		{"Success", func(d *desks, v verify.Verification) error {
			_, err := d.Check(d.t.Context(), d.account, v.ID, v.PIN, "")
			return err
		}},
		{"Cancelled", func(d *desks, v verify.Verification) error { return d.Cancel(d.t.Context(), d.account, v.ID) }},
		{"Triggered", func(d *desks, v verify.Verification) error {
			if err := d.Trigger(d.t.Context(), d.account, v.ID); err != nil {
				return err
			}
			d.next(1).accept()
			d.settled(v.ID, 1)
			return nil
		}},
		{"NextStepDue", func(d *desks, _ verify.Verification) error {
			d.clock.Advance(at(125).Sub(d.clock.Now()))
			return nil
		}},
		{"PINDead", func(d *desks, v verify.Verification) error {
			d.alter(v.ID, func(v *verify.Verification) { v.PINExpiresAt = v.SubmittedAt.Add(time.Minute) })
			d.clock.Advance(at(60).Sub(d.clock.Now()))
			return nil
		}},
		{"NoDatabaseAndPINDead", func(d *desks, _ verify.Verification) error {
			d.behind(`ALTER TABLE verifications RENAME COLUMN document TO label`)
			d.clock.Advance(3 * time.Second) // sendable, since the row cannot be read
			(<-d.sent).fail(errNotSent)
			d.rest()
			d.clock.Advance(at(300).Sub(d.clock.Now()))
			d.rest() // nor can the outcome be recorded and the lease released
			d.behind(`ALTER TABLE verifications RENAME COLUMN label TO document`)
			return nil
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := setUpDesks(t, "a")
				v, h := d.start()
				for range 12 { // more than 30 s
					h.fail(errNotSent)
					d.rest()
					d.clock.Advance(3 * time.Second)
					if h = d.next(0); h.Attempt != 1 || len(h.Tried) != 0 || h.ValidFor != at(300).Sub(d.clock.Now()) {
						t.Fatalf("submitted %+v", h.Message)
					}
				}
				h.fail(errNotSent)
				d.rest()
				must(t, tt.end(d, v))
				d.clock.Advance(3 * time.Second)
				select {
				case h := <-d.sent:
					t.Fatalf("sent %+v", h.Message)
				case <-d.landed():
				}
				d.wantEvent(v.ID, 0, expired, 1, "", "")
			})
		})
	}
}

// landed is closed when no message is in flight.
func (d *desks) landed() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		d.Delivered(d.t.Context(), "")
		close(done)
	}()
	return done
}

// TestSecondAttempt: after an unclear response the second attempt prefers another carrier,
// and is recorded before it is made (next checks that).
func TestSecondAttempt(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		carriers []string
		first    []error  // results of the first attempt
		order    []string // carriers
		tried    []string
	}{
		{"Another", []string{"a", "b"}, []error{errLost}, []string{"a", "b"}, []string{"a"}},
		{"AfterARefusal", []string{"a", "b", "c"}, []error{errRefused, errLost}, []string{"a", "b", "a"}, []string{"b"}},
		{"TheSame", []string{"a"}, []error{errLost}, []string{"a", "a"}, []string{"a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := setUpDesks(t, tt.carriers...)
			v, h := d.start()
			order := []string{h.carrier}
			text := h.Text
			for _, err := range tt.first {
				h.fail(err)
				h = d.next(0)
				order = append(order, h.carrier)
			}
			if !slices.Equal(order, tt.order) || !slices.Equal(h.Tried, tt.tried) || h.Attempt != 2 || h.Text != text {
				t.Errorf("carriers %v, last with %+v; want %v, tried %v", order, h.Message, tt.order, tt.tried)
			}
			h.accept("1")
			d.settled(v.ID, 0)
			d.wantEvent(v.ID, 0, accepted, 2, h.carrier, "")
			d.wantDue(v.ID, 125)
		})
	}
}

// TestSecondAttemptNotSent: an unsent second attempt leaves the first one unknown.
func TestSecondAttemptNotSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := setUpDesks(t, "a")
		d.goOn()
		d.resume()
		v, h := d.start()
		h.fail(errLost)
		for range 2 {
			d.next(0).fail(errNotSent)
			d.rest()
			d.clock.Advance(3 * time.Second)
		}
		d.next(0).fail(errNotSent)
		d.rest()
		d.clock.Advance(at(125).Sub(d.clock.Now()))
		d.next(1).accept()
		d.settled(v.ID, 0)
		d.settled(v.ID, 1)
		d.wantEvent(v.ID, 0, verify.EventUnknown, 2, "", "")
	})
}

// TestSecondAttemptNotCounted: an attempt that cannot be recorded is not made.
func TestSecondAttemptNotCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := setUpDesks(t, "a")
		v, h := d.start()
		d.fail("UPDATE")
		h.fail(errLost)
		d.rest() // nor can the outcome be recorded
		d.mend()
		d.clock.Advance(3 * time.Second)
		select {
		case h := <-d.sent:
			t.Fatalf("sent %+v", h.Message)
		case <-d.landed():
		}
		d.wantEvent(v.ID, 0, verify.EventUnknown, 1, "", "")
		d.wantDue(v.ID, 125)
	})
}

// TestNoSecondAttempt: an expired message, or one resent by another process, is not sent again.
func TestNoSecondAttempt(t *testing.T) {
	t.Parallel()
	unknown := func(d *desks, v verify.Verification) {
		d.settled(v.ID, 0)
		d.wantEvent(v.ID, 0, verify.EventUnknown, 1, "", "")
	}
	tests := []struct {
		name   string
		before func(*desks, verify.Verification) error // the answer
		after  func(*desks, verify.Verification)
	}{
		{"NextStepDue", func(d *desks, _ verify.Verification) error {
			d.clock.Advance(125 * time.Second)
			return nil
		}, unknown},
		{"Success", func(d *desks, v verify.Verification) error {
			_, err := d.Check(d.t.Context(), d.account, v.ID, v.PIN, "")
			return err
		}, unknown},
		{"Triggered", func(d *desks, v verify.Verification) error {
			if err := d.Trigger(d.t.Context(), d.account, v.ID); err != nil {
				return err
			}
			d.next(1).accept()
			d.settled(v.ID, 1)
			return nil
		}, unknown},
		{"AnotherProcessMakesIt", func(d *desks, v verify.Verification) error {
			d.alter(v.ID, func(v *verify.Verification) { v.Events[0].Attempt = 2 })
			return nil
		}, func(d *desks, v verify.Verification) {
			d.wantEvent(v.ID, 0, verify.EventSubmitting, 2, "", "")
		}},
		{"AnotherProcessGaveItUp", func(d *desks, v verify.Verification) error {
			d.alter(v.ID, func(v *verify.Verification) { v.Events[0].State = verify.EventUnknown })
			return nil
		}, unknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := setUpDesks(t, "a")
				v, h := d.start()
				must(t, tt.before(d, v))
				h.fail(errLost)
				select {
				case h := <-d.sent:
					t.Fatalf("sent %+v", h.Message)
				case <-d.landed():
				}
				tt.after(d, v)
			})
		})
	}
}

// TestLongFlight: messages in flight for longer than a lease are neither given up nor sent
// again, and do not delay the next message.
func TestLongFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := setUpDesks(t, "a")
		d.resume()
		v, first := d.start()
		d.rest()
		d.clock.Advance(5 * time.Second)
		must(t, d.Trigger(t.Context(), d.account, v.ID))
		second := d.next(1)
		for s := 15.0; s < 185; s += 10 { // the end of each lease
			d.rest()
			d.clock.Advance(at(s).Sub(d.clock.Now()))
			d.renewed(at(min(s+10, 185)))
		}
		d.rest()
		d.clock.Advance(at(185).Sub(d.clock.Now()))
		third := d.next(2) // on schedule
		for seq := range 3 {
			d.wantEvent(v.ID, seq, verify.EventSubmitting, 1, "", "")
		}
		for i, h := range []hand{second, first, third} {
			held := d.lease(v.ID)
			h.accept(string(rune('1' + i)))
			seq := []int{1, 0, 2}[i]
			d.settled(v.ID, seq)
			d.wantEvent(v.ID, seq, accepted, 1, "a", "")
			if c := d.lease(v.ID); seq < 2 && c != held {
				t.Errorf("event %d released the lease of another: %+v", seq, c)
			}
		}
		d.quiet()
		d.wantDue(v.ID, 485)
		if e := d.record(v.ID).Events[2]; !e.StartedAt.Equal(at(185)) {
			t.Errorf("the third event is at %v", e.StartedAt)
		}
	})
}

// TestSlowCarrierAndShortWaits: the next step is taken on schedule while the lease still
// runs and the previous message is in flight.
func TestSlowCarrierAndShortWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := setUpDesks(t, "a")
		d.resume()
		v, first := d.start(func(r *verify.Request) { r.Workflow.Speed = 100 }) // 1.25 s, 1.8 s, 3 s
		d.rest()
		d.clock.Advance(1250*time.Millisecond - time.Millisecond)
		d.rest()
		if n := len(d.record(v.ID).Events); n != 1 {
			t.Fatalf("%d events before the second is due", n)
		}
		d.clock.Advance(time.Millisecond)
		second := d.next(1)
		if e := d.record(v.ID).Events[1]; !e.StartedAt.Equal(at(1.25)) {
			t.Errorf("the second event is at %v", e.StartedAt)
		}
		first.accept("1")
		d.settled(v.ID, 0)
		second.accept("2")
		d.settled(v.ID, 1)
		d.quiet()
		d.wantDue(v.ID, 3.05)
	})
}
