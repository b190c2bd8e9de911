package sip

import (
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Normalised is the rewriting of messages before they are parsed.
func Normalised(message []byte) []byte { return normalised(message) }

// Streams rewrites what connections deliver.
type Streams = streams

// Filter is the read filter of a trunk.
func (s *Streams) Filter(from sip.TransportReadProps, data []byte) ([]byte, error) {
	return s.filter(from, data)
}

// Parts is the number of connections that are in the middle of a message.
func (s *Streams) Parts() int { return len(s.parts) }

// RetryPause is the pause after failures to register.
func RetryPause(err error, failures int) time.Duration { return retryPause(err, failures) }

// Granted reads the time that a 200 to a REGISTER with headers grants to a contact.
func Granted(t *testing.T, contact string, asked time.Duration, headers ...string) time.Duration {
	t.Helper()
	m, err := sip.ParseMessage(normalised([]byte(strings.Join(append([]string{"SIP/2.0 200 OK"}, headers...), "\r\n") + "\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	ours := &sip.ContactHeader{}
	if err := sip.ParseUri(contact, &ours.Address); err != nil {
		t.Fatal(err)
	}
	return grantedTo(m.(*sip.Response), ours, asked) //nolint:forcetypeassert // the start line is that of a response
}
