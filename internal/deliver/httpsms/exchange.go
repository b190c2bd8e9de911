package httpsms

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"countersign/internal/deliver"
)

// exchange sends one request and returns the outcome by its answer.
func (g *Gateway) exchange(w wire) outcome {
	ctx, cancel := context.WithTimeout(g.base, g.timeout)
	defer cancel()
	var touched atomic.Bool
	r, err := w.request(withTrace(ctx, &touched))
	if err != nil {
		return outcome{err: fmt.Errorf("%w: cannot create the request", deliver.ErrRefused)}
	}
	// Not http.Client, which follows redirects, which could send a message twice. Its
	// errors also contain the URL with its secrets.
	response, err := g.transport.RoundTrip(r)
	if err != nil {
		if !touched.Load() {
			return outcome{err: fmt.Errorf("%w: %w", deliver.ErrNotSent, g.reason(err))}
		}
		return outcome{err: fmt.Errorf("no answer: %w", g.reason(err))}
	}
	defer response.Body.Close()

	a := readAnswer(response, time.Now())
	if err := g.refusal(a, w.text()); err != nil {
		if errors.Is(err, deliver.ErrNotSent) {
			g.gate.pause(a.pause)
		}
		return outcome{err: err}
	}
	refs := a.refs(g.ref)
	if refs == nil && g.ref != nil && !g.receipts.eventIDs {
		g.noRef.Do(func() {
			g.log.Warn("HTTP gateway accepted a message without an id, so receipts cannot be matched; check ref (logged once)")
		})
	}
	return outcome{refs: refs}
}

// withTrace sets touched before the first byte of the request is written. If the
// transport fails before that, the request was not and will not be sent. Both HTTP/1 and
// HTTP/2 trace a header before they write it, and end the connection or stream before
// they return an error.
func withTrace(ctx context.Context, touched *atomic.Bool) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaderField: func(string, []string) { touched.Store(true) },
	})
}

// reason returns err without the contents of request and response, which may be secret.
func (g *Gateway) reason(err error) error {
	var (
		operation   *net.OpError
		resolution  *net.DNSError
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		alert       tls.AlertError
		timeout     net.Error
	)
	switch {
	case g.base.Err() != nil:
		return errClosed
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("timeout after %v", g.timeout)
	case errors.As(err, &operation):
		return operation
	case errors.As(err, &resolution):
		return resolution
	case errors.As(err, &certificate):
		return certificate
	case errors.As(err, &record):
		return record
	case errors.As(err, &alert):
		return alert
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("connection timed out")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("connection closed")
	default:
		return errors.New("connection broken")
	}
}

// isFinal reports whether err means that the message was certainly not sent.
func isFinal(err error) bool {
	return errors.Is(err, deliver.ErrRefused) || errors.Is(err, deliver.ErrNotSent)
}

// newTransport returns a transport with persistent connections. They are closed early,
// usually before the gateway closes them: otherwise the outcome of a request on such a
// connection would be unclear.
func newTransport(concurrency int) *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    5 * time.Second,
		MaxIdleConns:           concurrency,
		MaxIdleConnsPerHost:    concurrency,
		IdleConnTimeout:        20 * time.Second,
		MaxResponseHeaderBytes: maxAnswer,
	}
}
