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

// exchange makes one request and judges its answer.
func (g *Gateway) exchange(w wire) outcome {
	ctx, cancel := context.WithTimeout(g.base, g.timeout)
	defer cancel()
	var touched atomic.Bool
	r, err := w.request(withTrace(ctx, &touched))
	if err != nil {
		return outcome{err: fmt.Errorf("%w: the request cannot be made", deliver.ErrRefused)}
	}
	// Not http.Client: it would follow redirects, which could send a message twice,
	// and put the URL with its secrets into its errors.
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
			g.log.Warn("HTTP gateway accepted a message without an id: it can have no receipts (said once)")
		})
	}
	return outcome{refs: refs}
}

// withTrace sets touched before a first byte of the request may be on its way. A
// transport that gave up before has sent nothing, and will not: HTTP/1 and HTTP/2
// both trace a header before they write it, and end the connection, or the stream,
// before they return an error.
func withTrace(ctx context.Context, touched *atomic.Bool) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaderField: func(string, []string) { touched.Store(true) },
	})
}

// reason is err without what the gateway or the request said, which may be secret.
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
		return fmt.Errorf("%v are over", g.timeout)
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

// isFinal reports whether err says for certain that the message did not go out.
func isFinal(err error) bool {
	return errors.Is(err, deliver.ErrRefused) || errors.Is(err, deliver.ErrNotSent)
}

// newTransport makes connections that last, but not so long that the gateway closes
// them first: a request on such a connection would end unclear.
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
