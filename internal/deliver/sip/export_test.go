package sip

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"countersign/internal/deliver/tts/audio"
	"countersign/internal/message"
)

// Normalised returns a message in canonical spelling.
func Normalised(message []byte) []byte { return normalised(message) }

// Streams normalises the messages of connections.
type Streams = streams

// Filter is the read filter of a trunk.
func (s *Streams) Filter(from sip.TransportReadProps, data []byte) ([]byte, error) {
	return s.filter(from, data)
}

// Parts returns the number of incomplete messages.
func (s *Streams) Parts() int { return len(s.parts) }

// RetryPause returns the pause after consecutive failures to register.
func RetryPause(err error, failures int) time.Duration { return retryPause(err, failures) }

// Granted returns the duration that a 200 to a REGISTER grants to a contact.
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

// Address returns the local SIP address over UDP.
func (c *Carrier) Address() netip.AddrPort {
	return c.trunk.listener.LocalAddr().(*net.UDPAddr).AddrPort() //nolint:forcetypeassert // it listens on UDP
}

// Gate is a gate without sockets.
type Gate struct{ gate *gate }

// NewGate returns the gate of a configuration.
func NewGate(t *testing.T, cfg Config) Gate {
	t.Helper()
	cfg.Speaker = silent{}
	if err := cfg.complete(); err != nil {
		t.Fatal(err)
	}
	return Gate{newGate(&cfg, cfg.Log, newMetrics())}
}

type silent struct{}

func (silent) Speak(context.Context, message.Script) (audio.Samples, error) { return nil, nil }

// Expect creates the allowance of a call.
func (g Gate) Expect(id string) { g.gate.expect(id) }

// Spend returns the reason to drop a packet from the trunk.
func (g Gate) Spend(now time.Time, packet string) string {
	return g.SpendFrom(now, "127.0.0.1:5060", packet)
}

// SpendFrom is Spend for a packet from another address of the trunk.
func (g Gate) SpendFrom(now time.Time, from, packet string) string {
	return string(g.gate.spend(now, netip.MustParseAddrPort(from), []byte(packet)))
}

// Resolve looks up the host names.
func (g Gate) Resolve(ctx context.Context) { g.gate.sources.resolve(ctx) }

// Has reports whether an address is a source of the trunk.
func (g Gate) Has(addr string) bool { return g.gate.sources.has(netip.MustParseAddr(addr)) }

// Meet admits the address of a call.
func (g Gate) Meet(addr string) { g.gate.sources.meet(netip.MustParseAddr(addr)) }

// Drop counts a dropped packet.
func (g Gate) Drop(from string) { g.gate.drop(fromStranger, netip.MustParseAddr(from)) }

// Report logs the dropped packets.
func (g Gate) Report() { g.gate.report() }

// Admits reports whether a datagram may pass.
func (g Gate) Admits(from netip.AddrPort, packet []byte) bool { return g.gate.admits(from, packet) }
