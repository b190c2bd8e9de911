package sip

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"countersign/internal/deliver"
)

// registration keeps our address registered with the trunk (RFC 3261 §10.2).
type registration struct {
	trunk  *trunk
	failed func(error)
	id     string // Call-ID of all its requests (RFC 3261 §10.2)

	// Used by run only:

	seq      uint32        // CSeq of the last request
	least    time.Duration // Min-Expires of the registrar
	failures int           // consecutive failures

	mu    sync.Mutex
	up    bool
	since time.Time // time of the last change of up
	err   error     // result of the last REGISTER
}

func newRegistration(t *trunk, failed func(error)) *registration {
	r := &registration{trunk: t, failed: failed, id: sip.GenerateTagN(32)}
	t.gate.expect(r.id)
	return r
}

// run keeps the registration alive until ctx ends, then removes it.
func (r *registration) run(ctx context.Context) {
	every := r.trunk.cfg.RegisterEvery
	for pause := time.Duration(0); sleep(ctx, pause); {
		granted, err := r.register(ctx, every+every/4)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			r.failures++
			pause = retryPause(err, r.failures)
			r.note(err, pause)
			r.failed(fmt.Errorf("register: %w", err))
			continue
		}
		r.note(nil, 0)
		r.failures = 0
		pause = max(min(every, granted*4/5), time.Second)
	}
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_, _ = r.once(bye, 0) // best effort: the registration also expires
}

// Back-off after failed REGISTER requests; it doubles with each consecutive failure.
const (
	firstRetry   = time.Second
	longestRetry = time.Minute
	// A refusal such as 403 needs an operator, and a registrar may lock an account
	// after frequent attempts.
	firstRefusedRetry   = 30 * time.Second
	longestRefusedRetry = 10 * time.Minute
	// longestRetryAfter bounds the pause that a Retry-After requires.
	longestRetryAfter = time.Hour
)

// retryPause returns the pause after a number of consecutive failures.
func retryPause(err error, failures int) time.Duration {
	first, longest := firstRetry, longestRetry
	no, refused := errors.AsType[*StatusError](err)
	if refused && !temporary(no.Status) {
		first, longest = firstRefusedRetry, longestRefusedRetry
	}
	pause := min(first<<min(failures-1, 10), longest)
	if refused {
		pause = max(pause, min(no.RetryAfter, longestRetryAfter))
	}
	return pause
}

// note records the result of an attempt. It logs only changes: the first failure, and
// the next success.
func (r *registration) note(err error, retry time.Duration) {
	m := r.trunk.metrics
	if err != nil {
		m.refusals.WithLabelValues(reasonOf(err)).Inc()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	up, now := err == nil, time.Now()
	first := r.since.IsZero()
	if changed := up != r.up || first; changed {
		switch {
		case !up:
			m.registered.Set(0)
			r.trunk.log.Warn("registration failed", "registrar", r.trunk.cfg.Host, "error", err, "retry_in", retry.String())
		case first:
			m.registered.Set(1)
			r.trunk.log.Info("registered", "registrar", r.trunk.cfg.Host)
		default:
			m.registered.Set(1)
			r.trunk.log.Info("registered again", "registrar", r.trunk.cfg.Host, "failed_for", now.Sub(r.since).Round(time.Second).String(), "failures", r.failures)
		}
		r.up, r.since = up, now
	}
	r.err = err
}

const noResponse = "no response"

// reasonOf returns the metric label of a failure: the status, or "no response".
func reasonOf(err error) string {
	if no, refused := errors.AsType[*StatusError](err); refused {
		return strconv.Itoa(no.Status)
	}
	return noResponse
}

// status returns the registration as the only bind of the carrier.
func (r *registration) status() deliver.BindStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := deliver.BindStatus{Kind: "registration", Up: r.up, Since: r.since}
	if r.err != nil {
		s.Error = r.err.Error()
	}
	return s
}

// register registers for expires, or longer if the registrar requires it (RFC 3261
// §10.2.8), and returns the granted duration.
func (r *registration) register(ctx context.Context, expires time.Duration) (granted time.Duration, err error) {
	expires = max(expires, r.least)
	granted, err = r.once(ctx, expires)
	if no, refused := errors.AsType[*StatusError](err); refused && no.MinExpires > expires {
		r.least = no.MinExpires
		granted, err = r.once(ctx, r.least)
	}
	return granted, err
}

// registerTimeout bounds the wait for the response to a REGISTER.
const registerTimeout = 10 * time.Second

// once sends a REGISTER and returns the granted duration. An expires of 0 removes the
// registration.
func (r *registration) once(ctx context.Context, expires time.Duration) (granted time.Duration, err error) {
	t := r.trunk
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	req := sip.NewRequest(sip.REGISTER, t.cfg.uri(""))
	req.SetTransport(strings.ToUpper(t.cfg.Transport))
	req.SetDestination(t.cfg.hop())
	own := t.cfg.uri(t.cfg.User)
	from := &sip.FromHeader{Address: own, Params: sip.NewParams()}
	from.Params.Add("tag", sip.GenerateTagN(16))
	req.AppendHeader(from)
	req.AppendHeader(&sip.ToHeader{Address: own, Params: sip.NewParams()})
	id := sip.CallIDHeader(r.id)
	req.AppendHeader(&id)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: r.seq + 1, MethodName: sip.REGISTER})
	req.AppendHeader(sip.HeaderClone(&t.contact))
	req.AppendHeader(sip.NewHeader("Expires", strconv.Itoa(int(expires.Seconds()))))
	res, last, err := t.do(ctx, req)
	r.seq = last.CSeq().SeqNo
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return 0, fmt.Errorf("no response from %s in %s", t.cfg.hop(), registerTimeout)
	case err != nil:
		return 0, err
	case !res.IsSuccess():
		return 0, newStatusError(res)
	}
	return grantedTo(res, &t.contact, expires), nil
}

// grantedTo returns the duration of a registration, at most asked. The expires
// parameter of our contact has precedence over the Expires header (RFC 3261 §10.2.4).
// If the response lacks our contact, which a NAT may have rewritten, it returns the
// shortest duration of all.
func grantedTo(res *sip.Response, ours *sip.ContactHeader, asked time.Duration) time.Duration {
	granted := asked
	if n := seconds(res, "Expires"); n > 0 {
		granted = min(granted, time.Duration(n)*time.Second)
	}
	shortest, found := granted, time.Duration(0)
	for _, h := range res.GetHeaders("Contact") {
		contact, ok := h.(*sip.ContactHeader)
		if !ok {
			continue
		}
		text, _ := contact.Params.Get("expires")
		n, err := strconv.ParseUint(strings.Trim(text, `"`), 10, 31)
		if err != nil || n == 0 {
			continue
		}
		d := min(time.Duration(n)*time.Second, asked)
		if a, b := contact.Address, ours.Address; a.User == b.User && a.Host == b.Host && a.Port == b.Port {
			found = d
		}
		shortest = min(shortest, d)
	}
	if found > 0 {
		return found
	}
	return shortest
}
