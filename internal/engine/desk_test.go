package engine_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/deliver"
	"countersign/internal/engine"
	"countersign/internal/verify"
)

// Errors of carriers.
var (
	errLost    = errors.New("connection lost")
	errRefused = fmt.Errorf("bad number: %w", deliver.ErrRefused)
	errNotSent = fmt.Errorf("no connection: %w", deliver.ErrNotSent)
)

// desks are carriers controlled by the test, which replies to each message. Every message
// is routed to all of them in order.
type desks struct {
	*bench
	cfg  engine.Config
	sent chan hand
}

// hand is a submitted message that waits for the carrier's reply.
type hand struct {
	deliver.Message
	carrier string
	reply   chan reply
}

type reply struct {
	refs []string
	err  error
}

func (h hand) accept(refs ...string) { h.reply <- reply{refs: refs} }
func (h hand) fail(err error)        { h.reply <- reply{err: err} }

type desk struct {
	name string
	sent chan hand
}

// Send returns when ctx ends: with ErrNotSent, or with an unclear error.
func (d *desk) Send(ctx context.Context, m deliver.Message) (deliver.Submission, error) {
	h := hand{m, d.name, make(chan reply, 1)}
	select {
	case d.sent <- h:
	case <-ctx.Done():
		return deliver.Submission{}, fmt.Errorf("%w: %w", deliver.ErrNotSent, ctx.Err())
	}
	select {
	case r := <-h.reply:
		return deliver.Submission{Refs: r.refs}, r.err
	case <-ctx.Done():
		return deliver.Submission{}, ctx.Err()
	}
}

// setUpDesks returns an engine with carriers of the given names.
func setUpDesks(t *testing.T, names ...string) *desks {
	t.Helper()
	return setUpRouter(t, deliver.RouterConfig{}, names...)
}

// setUpRouter is setUpDesks with further settings of the router.
func setUpRouter(t *testing.T, routing deliver.RouterConfig, names ...string) *desks {
	t.Helper()
	d := &desks{sent: make(chan hand)}
	d.bench = setUp(t, func(b *bench, cfg *engine.Config) {
		carriers := map[string]deliver.Carrier{}
		for _, name := range names {
			carriers[name] = &desk{name, d.sent}
		}
		var err error
		routing.Routes, routing.Carriers, routing.Now = []deliver.Route{{Carriers: names}}, carriers, b.clock.Now
		cfg.Router, err = deliver.NewRouter(routing)
		must(t, err)
		d.cfg = *cfg
	})
	return d
}

// goOn sets next_event: after a failed event the next one is sent immediately.
func (d *desks) goOn() {
	d.t.Helper()
	must(d.t, d.db.UpdateAccount(d.t.Context(), d.account.Key, func(a *verify.Account) error {
		a.OnUndeliverable = verify.UndeliverableNextEvent
		return nil
	}))
}

// restart replaces a stopped engine, like the next process.
func (d *desks) restart() {
	d.cfg.Metrics = prometheus.NewRegistry()
	d.Engine = engine.New(d.cfg)
	d.resume()
}

// start starts a verification and returns its first message, now at a carrier.
func (d *desks) start(change ...func(*verify.Request)) (verify.Verification, hand) {
	d.t.Helper()
	req := d.request()
	for _, c := range change {
		c(&req)
	}
	v, err := d.Start(d.t.Context(), d.account, req)
	must(d.t, err)
	return v, d.next(0)
}

// accepted starts a verification, with its first message accepted.
func (d *desks) accepted(refs ...string) verify.Verification {
	d.t.Helper()
	v, h := d.start()
	h.accept(refs...)
	d.settled(v.ID, 0)
	return v
}

// next waits until the message of an event is submitted, and checks that its row permits that.
func (d *desks) next(seq int) hand {
	d.t.Helper()
	select {
	case h := <-d.sent:
		if events := d.record(h.RequestID).Events; len(events) <= seq || h.EventID != events[seq].ID ||
			events[seq].State != verify.EventSubmitting || events[seq].Attempt != h.Attempt {
			d.t.Fatalf("submitted attempt %d of %s before it was recorded; want event %d of %+v", h.Attempt, h.EventID, seq, events)
		}
		return h
	case <-time.After(10 * time.Second):
		d.t.Fatalf("event %d is not submitted", seq)
		return hand{}
	}
}

// quiet waits until the engine is at rest, as rest does, and fails the test if a
// message is at a carrier that the test has not taken.
func (d *desks) quiet() {
	d.t.Helper()
	d.rest()
	select {
	case h := <-d.sent:
		d.t.Fatalf("sent %+v", h.Message)
	default:
	}
}

func (d *desks) report(carrier, ref string, state verify.EventState, carrierError string) {
	d.t.Helper()
	must(d.t, d.Receipt(d.t.Context(), deliver.Receipt{Carrier: carrier, Ref: ref, State: state, Error: carrierError}))
}

func (d *desks) wantEvent(id verify.ID, seq int, state verify.EventState, attempt int, carrier, carrierError string) {
	d.t.Helper()
	e := d.record(id).Events[seq]
	if e.State != state || e.Attempt != attempt || e.Carrier != carrier || e.Error != carrierError {
		d.t.Errorf("event %d is %s at attempt %d with %q (%q), want %s at %d with %q (%q)",
			seq, e.State, e.Attempt, e.Carrier, e.Error, state, attempt, carrier, carrierError)
	}
}

// wantDue checks that the row is not leased and is due s seconds after the start; less than
// 0 means never.
func (d *desks) wantDue(id verify.ID, s float64) {
	d.t.Helper()
	if c := d.lease(id); c.Node != "" {
		d.t.Errorf("the row is still leased: %+v", c)
	}
	due, ok, err := d.db.NextDue(d.t.Context())
	if err != nil || ok != (s >= 0) || ok && !due.Equal(at(s)) {
		d.t.Errorf("due at %v (%v, %v), want %v s after the start", due, ok, err, s)
	}
}

// count returns a counter of the engine.
func (d *desks) count(name string) float64 {
	d.t.Helper()
	families, err := d.cfg.Metrics.(*prometheus.Registry).Gather()
	must(d.t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return 0
}
