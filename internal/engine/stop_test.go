package engine_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/verify"
)

// TestStop: a stop that times out leaves messages in flight unchanged, so that the next
// process may send them; known outcomes are recorded.
func TestStop(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		answers []error // results before the stop
		last    error   // result of the last submission; nil: no result before the timeout
		want    verify.EventState
		attempt int
		resent  bool // resent by the next process
	}{
		{"FirstAttempt", nil, nil, verify.EventSubmitting, 1, true},
		{"SecondAttempt", []error{errLost, errRefused}, nil, verify.EventSubmitting, 2, false},
		{"SecondCarrier", []error{errRefused}, nil, verify.EventSubmitting, 1, true},
		{"RefusedByTheSecond", []error{errRefused}, errRefused, verify.EventRefused, 1, false},
		{"NotSent", []error{errNotSent}, errNotSent, verify.EventSubmitting, 1, true},
		{"RefusedAndNotSent", []error{errRefused}, errNotSent, verify.EventSubmitting, 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := setUpDesks(t, "a", "b")
				d.Resume()
				v, h := d.start()
				for _, err := range tt.answers {
					h.fail(err)
					h = d.next(0)
				}
				if errors.Is(tt.last, errNotSent) {
					h.fail(tt.last)
					d.rest()
				}
				ctx, giveUp := context.WithCancel(t.Context())
				defer giveUp()
				stopped := make(chan error)
				go func() { stopped <- d.Stop(ctx) }()
				synctest.Wait() // until Stop waits
				switch {
				case tt.want != verify.EventSubmitting:
					h.fail(tt.last)
					must(t, <-stopped)
				case errors.Is(tt.last, errNotSent): // waiting for a retry, so Stop does not wait
					must(t, <-stopped)
				default:
					giveUp()
					if err := <-stopped; !errors.Is(err, context.Canceled) {
						t.Errorf("Stop: %v, want context.Canceled", err)
					}
				}
				d.wantEvent(v.ID, 0, tt.want, tt.attempt, "", "")
				d.reopened(v, tt.want, tt.resent)
			})
		})
	}
}

// reopened starts the next process and checks its handling of the event.
func (d *desks) reopened(v verify.Verification, left verify.EventState, resent bool) {
	d.t.Helper()
	d.clock.Advance(15 * time.Second)
	d.restart()
	switch {
	case resent:
		h := d.next(0)
		if h.Attempt != 2 {
			d.t.Errorf("submitted %+v", h.Message)
		}
		h.accept("1")
		d.settled(v.ID, 0)
		d.wantEvent(v.ID, 0, accepted, 2, h.carrier, "")
	case left == verify.EventSubmitting:
		if e := d.settled(v.ID, 0); e.State != verify.EventUnknown || e.Attempt != 2 {
			d.t.Errorf("the event is %+v, want it given up", e)
		}
	}
	d.quiet()
	d.wantDue(v.ID, 125)
}

// TestStopWaits: an orderly stop waits for the messages that are with a carrier.
func TestStopWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := setUpDesks(t, "a")
		d.goOn()
		d.Resume()
		v, h := d.start()
		stopped := make(chan error)
		go func() { stopped <- d.Stop(t.Context()) }()
		synctest.Wait() // until Stop waits
		h.fail(errRefused)
		must(t, <-stopped)
		d.wantEvent(v.ID, 0, verify.EventRefused, 1, "", "")
		d.wantDue(v.ID, 0) // left to the next process
		d.restart()
		d.next(1).accept()
		d.settled(v.ID, 1)
	})
}

// TestStopTriesNothingNew: a message that waits for an available carrier does not delay a
// stop. The next process sends it.
func TestStopTriesNothingNew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := setUpDesks(t, "a")
		d.Resume()
		v, h := d.start()
		h.fail(deliver.ErrNotSent)
		d.rest()
		must(t, d.Stop(t.Context()))
		d.wantEvent(v.ID, 0, verify.EventSubmitting, 1, "", "")
		d.reopened(v, verify.EventSubmitting, true)
	})
}

// TestStopWithoutDatabase: a stop does not wait for an outcome that cannot be recorded.
func TestStopWithoutDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := setUpDesks(t, "a")
		d.Resume()
		v, h := d.start()
		d.fail("UPDATE")
		h.accept("1")
		d.rest()
		ctx, giveUp := context.WithCancel(t.Context())
		giveUp()
		if err := d.Stop(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Stop: %v, want context.Canceled", err)
		}
		d.mend()
		d.wantEvent(v.ID, 0, verify.EventSubmitting, 1, "", "")
		d.reopened(v, verify.EventSubmitting, true)
	})
}
