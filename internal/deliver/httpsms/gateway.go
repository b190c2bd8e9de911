// Package httpsms is the carrier for SMS gateways that are spoken to by HTTP: one
// request for each message, described by templates and conditions that the operator
// writes, and a callback for their receipts.
//
// It must not know any gateway by name, nor the store, the engine or the API.
package httpsms

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/deliver/gsm"
	"countersign/internal/deliver/placeholder"
	"countersign/internal/verify"
)

// Gateway is the carrier. Its methods may be called from many goroutines.
type Gateway struct {
	name    string
	log     *slog.Logger
	reports deliver.Reports

	request   request
	success   conditions
	temporary conditions
	ref       path
	receipts  *receipts

	timeout   time.Duration
	transport *http.Transport
	gate      gate
	calls     calls
	awaited   awaited
	base      context.Context // of every request; ends when Close loses patience
	abort     context.CancelFunc
	noRef     sync.Once
	rate      float64
	errs      deliver.ErrorLog
}

var _ deliver.Carrier = (*Gateway)(nil)

// Channels returns the channels of the messages that the carrier takes.
func Channels() []verify.Channel { return []verify.Channel{verify.SMS} }

// outcome is how one request ended: accepted if err is nil.
type outcome struct {
	refs []string
	err  error
}

// Send hands m to the gateway, once, and returns what it answered. An error wraps
// [deliver.ErrRefused] or [deliver.ErrNotSent] where that is certain. When ctx ends
// first, the request goes on, and its end is told to Reports.Answer.
func (g *Gateway) Send(ctx context.Context, m deliver.Message) (deliver.Submission, error) {
	sub, err := g.send(ctx, m)
	if err != nil {
		g.errs.Add(time.Now(), err)
	}
	return sub, err
}

func (g *Gateway) send(ctx context.Context, m deliver.Message) (deliver.Submission, error) {
	if err := sendable(m); err != nil {
		return deliver.Submission{}, err
	}
	start := time.Now()
	if err := g.gate.pass(ctx, m.ValidFor); err != nil {
		return deliver.Submission{}, err
	}
	wire, err := g.request.render(placeholder.Of(m, m.ValidFor-time.Since(start)))
	if err != nil {
		g.gate.leave()
		return deliver.Submission{}, fmt.Errorf("%w: %w", deliver.ErrRefused, err)
	}
	result, abandoned := make(chan outcome), make(chan struct{})
	err = g.calls.run(func() {
		out := g.exchangeFor(m, wire)
		g.gate.leave()
		select {
		case result <- out:
		case <-abandoned:
			g.answerLate(m, out)
		}
	})
	if err != nil {
		g.gate.leave()
		return deliver.Submission{}, fmt.Errorf("%w: %w", deliver.ErrNotSent, err)
	}
	select {
	case out := <-result:
		if out.err != nil {
			return deliver.Submission{}, out.err
		}
		segments := max(len(out.refs), gsm.Segments(m.Text, gsm.Options{}))
		return deliver.Submission{Carrier: g.name, Refs: out.refs, Segments: segments}, nil
	case <-ctx.Done():
		close(abandoned)
		return deliver.Submission{}, fmt.Errorf("waiting for the answer: %w", ctx.Err())
	}
}

// exchangeFor is exchange for a gateway whose receipts may name the event: then its id
// is that of the message, and a receipt decides where the answer to this attempt or to an
// earlier one is unclear.
func (g *Gateway) exchangeFor(m deliver.Message, w wire) outcome {
	if !g.receipts.eventIDs {
		return g.exchange(w)
	}
	g.awaited.begin(m)
	out := g.exchange(w)
	if g.awaited.end(m, out.err) {
		out = outcome{}
	}
	if out.err == nil {
		out.refs = []string{m.EventID.String()}
	}
	return out
}

// sendable tells what keeps m from this carrier. Errors do not repeat the number.
func sendable(m deliver.Message) error {
	switch {
	case !slices.Contains(Channels(), m.Channel):
		return fmt.Errorf("%w: takes no %s", deliver.ErrRefused, m.Channel)
	case m.To.Given == "" || strings.Trim(m.To.Given, "0123456789") != "":
		return fmt.Errorf("%w: the number is not digits", deliver.ErrRefused)
	case m.ValidFor <= 0:
		return fmt.Errorf("%w: its time is over", deliver.ErrNotSent)
	default:
		return nil
	}
}

// answerLate reports an answer that Send did not wait for. An unclear one is what
// Send has told already.
func (g *Gateway) answerLate(m deliver.Message, out outcome) {
	part := verify.Part{Attempt: m.Attempt, Count: 1, Carrier: g.name, State: verify.EventAccepted}
	switch {
	case out.err != nil && !isFinal(out.err):
		return
	case out.err != nil:
		part.State, part.Error = verify.EventRefused, deliver.Reason(out.err)
		out.refs = nil
	case len(out.refs) > 0:
		part.Count = len(out.refs)
	}
	ctx, cancel := context.WithTimeout(g.base, g.timeout)
	defer cancel()
	for seq := range part.Count {
		part.Seq = seq
		if len(out.refs) > 0 {
			part.Ref = out.refs[seq]
		}
		if err := g.reports.Answer(ctx, deliver.Answer{Event: m.Event(), Part: part}); err != nil {
			g.log.Error("late answer of an HTTP gateway is lost", "event_id", m.EventID.String(), "error", err)
		}
	}
}

// Close waits for the requests that run, and for the reports of their answers. When
// ctx ends first they are broken off. Nothing is sent after Close.
func (g *Gateway) Close(ctx context.Context) error {
	defer g.transport.CloseIdleConnections()
	defer g.abort()
	done := g.calls.close()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		g.abort()
		<-done
		return fmt.Errorf("requests broken off: %w", ctx.Err())
	}
}
