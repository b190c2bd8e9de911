package engine_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/engine"
	"countersign/internal/verify"
)

// moody is a carrier that returns each error once, in order, and then accepts.
type moody struct {
	errs chan error
	sent chan deliver.Message
}

func newMoody(errs ...error) *moody {
	m := &moody{errs: make(chan error, len(errs)), sent: make(chan deliver.Message, 100)}
	for _, err := range errs {
		m.errs <- err
	}
	return m
}

func (m *moody) Send(_ context.Context, msg deliver.Message) (deliver.Submission, error) {
	m.sent <- msg
	select {
	case err := <-m.errs:
		return deliver.Submission{}, err
	default:
		return deliver.Submission{}, nil
	}
}

func via(c deliver.Carrier) func(*bench, *engine.Config) {
	return func(b *bench, cfg *engine.Config) {
		var err error
		cfg.Router, err = deliver.NewRouter(deliver.RouterConfig{
			Routes: []deliver.Route{{Carriers: []string{"moody"}}}, Carriers: map[string]deliver.Carrier{"moody": c}, Now: b.clock.Now,
		})
		must(b.t, err)
	}
}

// TestOutcomes: the carrier's result decides the outcome of the event. A message that may
// have been sent is submitted a second time, but no third time.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	refused, lost := fmt.Errorf("no: %w", deliver.ErrRefused), errors.New("connection lost")
	tests := []struct {
		name     string
		errs     []error
		want     verify.EventState
		attempts int
	}{
		{"Accepted", nil, verify.EventAccepted, 1},
		{"Refused", []error{refused}, verify.EventRefused, 1},
		{"UnclearThenAccepted", []error{lost}, verify.EventAccepted, 2},
		{"UnclearThenRefused", []error{lost, refused}, verify.EventUnknown, 2},
		{"UnclearTwice", []error{lost, lost}, verify.EventUnknown, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newMoody(tt.errs...)
			b := setUp(t, via(c))
			v, err := b.Start(t.Context(), b.account, b.request())
			must(t, err)
			if e := b.settled(v.ID, 0); e.State != tt.want || e.Attempt != tt.attempts {
				t.Errorf("the event is %+v, want %s", e, tt.want)
			}
			var copies []deliver.Message
			for range len(c.sent) {
				copies = append(copies, <-c.sent)
			}
			if len(copies) != tt.attempts {
				t.Fatalf("%d submissions, want %d", len(copies), tt.attempts)
			}
			for i, m := range copies {
				if m.EventID != copies[0].EventID || m.Text != copies[0].Text || m.Attempt != i+1 || len(m.Tried) != i {
					t.Errorf("submission %d is %+v, want another copy of %+v", i+1, m, copies[0])
				}
			}
		})
	}
}

// TestNotSentIsTriedAgain: a message that was certainly not sent is submitted again within
// the same attempt.
func TestNotSentIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newMoody(deliver.ErrNotSent, fmt.Errorf("disk: %w", deliver.ErrNotSent))
		b := setUp(t, via(c))
		v, err := b.Start(t.Context(), b.account, b.request())
		must(t, err)
		for range 2 {
			first := <-c.sent
			b.rest() // until the retry pause
			b.clock.Advance(3 * time.Second)
			if first.EventID != v.LastEventID() {
				t.Errorf("submitted event %s, want %s", first.EventID, v.LastEventID())
			}
		}
		if e := b.settled(v.ID, 0); e.State != verify.EventAccepted || e.Attempt != 1 {
			t.Errorf("the event is %+v", e)
		}
	})
}

// TestBusyCarrierKeepsTheClaim: a message in flight at the end of its lease is not given up
// and not sent twice.
func TestBusyCarrierKeepsTheClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, func(b *bench, _ *engine.Config) { b.carrier.gate = make(chan struct{}) })
		b.resume()
		v, err := b.Start(t.Context(), b.account, b.request())
		must(t, err)
		before := b.lease(v.ID)
		for i := range 3 { // leases
			b.rest()
			b.clock.Advance(10 * time.Second)
			b.renewed(at(float64(10 * (i + 2))))
		}
		if after := b.lease(v.ID); after.Node != before.Node || after.Token != before.Token {
			t.Errorf("the lease changed from %+v to %+v", before, after)
		}
		close(b.carrier.gate)
		if e := b.settled(v.ID, 0); e.State != verify.EventAccepted || e.Attempt != 1 {
			t.Errorf("the event is %+v", e)
		}
		if n := len(b.carrier.all()); n != 1 {
			t.Errorf("%d messages, want 1", n)
		}
	})
}

// TestStopLeavesWhatIsNotSent: a stop that times out records no outcome for an interrupted
// message, so that the next process sends it.
func TestStopLeavesWhatIsNotSent(t *testing.T) {
	t.Parallel()
	b := setUp(t, func(b *bench, _ *engine.Config) { b.carrier.gate = make(chan struct{}) })
	b.Resume()
	v, err := b.Start(t.Context(), b.account, b.request())
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Stop: %v, want context.Canceled", err)
	}
	if e := b.record(v.ID).Events[0]; e.State != verify.EventSubmitting {
		t.Errorf("the event is %+v, want it open", e)
	}
}

// TestDelivered: Delivered waits for the messages to one number, at most until ctx ends.
func TestDelivered(t *testing.T) {
	t.Parallel()
	b := setUp(t, func(b *bench, _ *engine.Config) { b.carrier.gate = make(chan struct{}) })
	v, err := b.Start(t.Context(), b.account, b.request())
	must(t, err)
	b.Delivered(t.Context(), "447700900999") // no message in flight to it
	for _, to := range []string{number, ""} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		b.Delivered(ctx, to)
	}
	if e := b.record(v.ID).Events[0]; e.State != verify.EventSubmitting {
		t.Fatalf("the event is %+v before the carrier accepted it", e)
	}
	arrived := make(chan verify.EventState)
	go func() {
		b.Delivered(t.Context(), number)
		arrived <- b.record(v.ID).Events[0].State
	}()
	close(b.carrier.gate)
	if state := <-arrived; state != verify.EventAccepted {
		t.Errorf("waited until the event was %s", state)
	}
}

// TestOutcomeOfBrokenRow: the delivery of a broken row ends when the PIN expires. Its slot is
// then free, and a stop does not wait for it.
func TestOutcomeOfBrokenRow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		b.carrier.gate = make(chan struct{})
		_, err := b.Start(t.Context(), b.account, b.request())
		must(t, err)
		b.breakRows()
		close(b.carrier.gate)
		advance(b, 305*time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // fake time of the bubble
		defer cancel()
		if err := b.Stop(ctx); err != nil {
			t.Errorf("Stop: %v, want no message in flight", err)
		}
	})
}
