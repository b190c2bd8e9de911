package sip

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/emiago/sipgo/sip"
)

// tooLongError means that sipgo did not send a request over UDP; see sip.UDPMTUSize.
type tooLongError struct {
	method sip.RequestMethod
	octets int
}

func (e *tooLongError) Error() string {
	return fmt.Sprintf("%s of %d octets exceeds the UDP limit: use transport tcp", e.method, e.octets)
}

// unsent converts an error of sipgo for a request that was not sent or has no response;
// nil for nil. It drops sipgo's text, which contains the start line and so the number.
func unsent(req *sip.Request, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, sip.ErrUDPMTUCongestion):
		return &tooLongError{req.Method, len(req.String())}
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return e
	}
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return e
	}
	switch {
	case errors.Is(err, sip.ErrTransactionTimeout):
		return errors.New("no response")
	case errors.Is(err, sip.ErrTransactionTransport):
		return errors.New("connection lost")
	}
	return errors.New("request not sent")
}
