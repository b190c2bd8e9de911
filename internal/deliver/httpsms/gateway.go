// Package httpsms is the carrier for SMS gateways with an HTTP interface. It sends one
// request per message and receives receipts by callback. The operator configures both
// with templates and conditions.
//
// It contains no code for particular gateways, and does not depend on the store, the
// engine or the API.
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

// Gateway is an HTTP gateway. It is safe for concurrent use.
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
	base      context.Context // parent of all request contexts; canceled by Close
	abort     context.CancelFunc
	noRef     sync.Once
	rate      float64
	errs      deliver.ErrorLog
}

var _ deliver.Carrier = (*Gateway)(nil)

// Channels returns the channels that the carrier supports.
func Channels() []verify.Channel { return []verify.Channel{verify.SMS} }

// outcome is the outcome of one request: accepted if err is nil.
type outcome struct {
	refs []string
	err  error
}

// Send submits m to the gateway once. The error wraps [deliver.ErrRefused] or
// [deliver.ErrNotSent] unless the outcome is unclear. If ctx is done first, the request
// continues, and Reports.Answer receives its outcome.
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

// exchangeFor is exchange with support for receipts by event id. The event id then is the
// message id, and a receipt proves acceptance if the answer to this or an earlier attempt
// is unclear.
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

// sendable returns an error if this carrier cannot send m. Errors do not contain the
// number.
func sendable(m deliver.Message) error {
	switch {
	case !slices.Contains(Channels(), m.Channel):
		return fmt.Errorf("%w: channel %s is not supported", deliver.ErrRefused, m.Channel)
	case m.To.Given == "" || strings.Trim(m.To.Given, "0123456789") != "":
		return fmt.Errorf("%w: the number has characters other than digits", deliver.ErrRefused)
	case m.ValidFor <= 0:
		return fmt.Errorf("%w: code expired", deliver.ErrNotSent)
	default:
		return nil
	}
}

// answerLate reports the outcome of a request after Send has returned. An unclear
// outcome is not reported, since Send returned the same.
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
			g.log.Error("late response of an HTTP gateway not stored", "event_id", m.EventID.String(), "error", err)
		}
	}
}

// Close waits for running requests and for the reports of their outcomes. If ctx is done
// first, it cancels them and returns an error. No request is sent afterwards.
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
		return fmt.Errorf("canceled running requests: %w", ctx.Err())
	}
}
