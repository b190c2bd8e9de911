// Package smpp is the carrier for SMS over SMPP 3.4: it binds to an SMSC as an
// ESME, submits messages in a window, and reports the receipts that come back.
//
//	carrier.go   a Carrier: its binds, and what becomes of a message
//	bind.go      keeps one session up
//	session.go   one connection: sequence numbers, window, responses
//	loops.go     what reads, writes and keeps it alive
//	pace.go      messages a second, and slowing down when the SMSC says so
//	open.go      binds, and takes what arrives before the response
//	class.go     reactions to the statuses of responses
//	message.go   from a message to submit_sm: alphabet, parts, addresses
//	tlv.go       the carrier's own optional parameters
//	receipt.go   from deliver_sm to a receipt
//	scope.go     which address issued a message id
//	incoming.go  what the SMSC sends of its own
//	pdu/         the codec
//	smsc/        an SMSC for tests and rehearsals
//
// A message is submitted with one submit_sm for each part. What the
// carrier answers is definite. When no answer comes (a timeout, a lost
// connection) it is not known whether the message went out, and Send says so; an
// answer that comes after all is reported.
//
// The package must not know what a verification is, nor where reports are kept.
package smpp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/deliver"
	"countersign/internal/deliver/gsm"
	"countersign/internal/deliver/smpp/pdu"
)

// Mode says which kinds of session a carrier wants.
type Mode string

// The modes.
const (
	Transceiver Mode = "transceiver" // each bind sends and receives
	Split       Mode = "split"       // each bind is two: a transmitter and a receiver
	Transmitter Mode = "transmitter" // nothing is received: no receipts
)

// Concat says how a long message is told to be one.
type Concat string

// The ways to concatenate.
const (
	ConcatUDH     Concat = "udh"             // a user data header in each part
	ConcatSAR     Concat = "sar"             // sar_* parameters
	ConcatPayload Concat = "message_payload" // not cut: the SMSC does it
)

// Validity says how a carrier is told how long a message is of use.
type Validity string

// The forms of a validity period.
const (
	ValidityRelative Validity = "relative"
	ValidityAbsolute Validity = "absolute"
	ValidityNone     Validity = "none"
)

// SenderRule says what a message carries as its sender. The first rule that fits
// decides.
type SenderRule struct {
	Country string // ISO 3166-1 alpha-2; "" for all
	Asked   string // the sender that the application asked for; "" for all
	Sender  string // in its place; "" to keep it
}

// Config describes a carrier. New fills in the defaults.
type Config struct {
	Name      string
	Addresses []string                                                    // host:port; the binds spread over them
	TLS       *tls.Config                                                 // nil for plain TCP
	Dial      func(ctx context.Context, address string) (net.Conn, error) // nil for TCP or TLS

	SystemID, Password       string
	SystemType, AddressRange string
	ServiceType              string

	Mode   Mode    // default Transceiver
	Binds  int     // default 1
	Window int     // submissions without a response on each bind; default 10, at most 1,000
	Rate   float64 // messages a second over all binds; 0 for no limit

	BindTimeout     time.Duration // to connect and bind; default 10 s
	ResponseTimeout time.Duration // default 5 s; the window has room for another message then
	EnquireInterval time.Duration // of silence before a keep-alive; default 20 s

	Alphabet      gsm.Alphabet   // to try first; what does not fit it goes as UCS-2
	Languages     []gsm.Language // national shift tables that the carrier passes on; default none
	Concat        Concat         // default ConcatUDH
	WideReference bool           // 16 bits instead of 8 in the header of parts
	Validity      Validity       // default ValidityRelative
	Senders       []SenderRule
	TLVs          []TLV // in each submit_sm

	// SourceTON to DestinationNPI override what follows from the addresses.
	SourceTON, SourceNPI, DestinationTON, DestinationNPI *uint8

	// Statuses overrides the reaction to a command_status of submit_sm_resp, which
	// is otherwise that of the table in class.go.
	Statuses map[pdu.Status]Class

	NoReceipts bool    // do not ask for receipts
	IDForm     IDForm  // default IDSame
	IDScope    IDScope // default ScopeAddress

	// ReceiptsInMessages reads a plain message as a receipt if its text is one. A
	// phone can write such a message.
	ReceiptsInMessages bool

	Reports deliver.Reports // what is nil in it drops its reports
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

const (
	maxWindow = 1000
	leastRate = 0.01
	mostRate  = 1e6
)

// complete fills in the defaults and checks numbers and lengths. Package config checks
// the words: it reports all mistakes of a file with their lines.
func (c *Config) complete() error {
	set(&c.Mode, Transceiver)
	set(&c.Binds, 1)
	set(&c.Window, 10)
	set(&c.BindTimeout, 10*time.Second)
	set(&c.ResponseTimeout, 5*time.Second)
	set(&c.EnquireInterval, 20*time.Second)
	set(&c.Concat, ConcatUDH)
	set(&c.IDForm, IDSame)
	set(&c.IDScope, ScopeAddress)
	set(&c.Validity, ValidityRelative)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	if c.Dial == nil {
		c.Dial = c.dial
	}
	if c.Reports.Receipt == nil {
		c.Reports.Receipt = func(context.Context, deliver.Receipt) error { return nil }
	}
	if c.Reports.Answer == nil {
		c.Reports.Answer = func(context.Context, deliver.Answer) error { return nil }
	}
	switch {
	case len(c.Addresses) == 0:
		return errors.New("addresses: must be given")
	case c.Binds < 1 || c.Binds > 100:
		return errors.New("binds: must be 1 to 100")
	case c.Window < 1 || c.Window > maxWindow:
		return fmt.Errorf("window: must be 1 to %d", maxWindow)
	case c.Rate != 0 && !(c.Rate >= leastRate && c.Rate <= mostRate): // NaN, too
		return fmt.Errorf("rate: must be %g to %g messages a second, or 0 for no limit", leastRate, mostRate)
	case min(c.BindTimeout, c.ResponseTimeout, c.EnquireInterval) < time.Millisecond:
		return errors.New("timeouts and intervals: must be at least 1ms")
	}
	_, err := pdu.Append(nil, pdu.PDU{Body: &pdu.Bind{
		Kind: pdu.CommandBindTransceiver, SystemID: c.SystemID, Password: c.Password,
		SystemType: c.SystemType, AddressRange: c.AddressRange,
	}})
	if err == nil {
		_, err = pdu.Append(nil, pdu.PDU{Body: &pdu.SubmitSM{Message: pdu.Message{ServiceType: c.ServiceType}}})
	}
	return err
}

func set[T comparable](v *T, fallback T) {
	var zero T
	if *v == zero {
		*v = fallback
	}
}

func (c *Config) dial(ctx context.Context, address string) (net.Conn, error) {
	dialer := &net.Dialer{KeepAlive: 15 * time.Second}
	if c.TLS == nil {
		return dialer.DialContext(ctx, "tcp", address)
	}
	return (&tls.Dialer{NetDialer: dialer, Config: c.TLS}).DialContext(ctx, "tcp", address)
}
