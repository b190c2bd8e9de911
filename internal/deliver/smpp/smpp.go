// Package smpp is the carrier for SMS over SMPP 3.4. It binds to an SMSC as an
// ESME, submits messages in a window, and reports the delivery receipts.
//
//	carrier.go   Carrier: binds, submission of a message
//	bind.go      keeps one session bound
//	session.go   one connection: sequence numbers, window, responses
//	loops.go     read, write and keep-alive loops of a session
//	pace.go      rate limit, and slower submission after throttling
//	open.go      bind request, PDUs that arrive before its response
//	class.go     reactions to the statuses of responses
//	message.go   from a message to submit_sm: alphabet, parts, addresses
//	tlv.go       optional parameters configured for the carrier
//	receipt.go   from deliver_sm to a receipt
//	scope.go     which address issued a message id
//	incoming.go  late responses and requests of the SMSC
//	pdu/         the codec
//	smsc/        an SMSC for tests and rehearsals
//
// Each part of a message is one submit_sm. A response decides its outcome. After
// a timeout or a lost connection the outcome is unknown, which the error of Send
// states; a late response is reported.
//
// The package does not depend on verifications or on the storage of reports.
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

// Mode selects the kinds of session that a carrier opens.
type Mode string

// Modes.
const (
	Transceiver Mode = "transceiver" // each bind sends and receives
	Split       Mode = "split"       // each bind is two: a transmitter and a receiver
	Transmitter Mode = "transmitter" // each bind only sends: no receipts
)

// Concat is the method of concatenating the parts of a long message.
type Concat string

// Concatenation methods.
const (
	ConcatUDH     Concat = "udh"             // a user data header in each part
	ConcatSAR     Concat = "sar"             // sar_* parameters
	ConcatPayload Concat = "message_payload" // one submit_sm: the SMSC splits the text
)

// Validity is the form of the validity_period of a message.
type Validity string

// Forms of a validity period.
const (
	ValidityRelative Validity = "relative"
	ValidityAbsolute Validity = "absolute"
	ValidityNone     Validity = "none"
)

// SenderRule sets the sender of the messages that match Country and Asked. The first
// matching rule applies.
type SenderRule struct {
	Country string // ISO 3166-1 alpha-2; "" for all
	Asked   string // sender requested by the application; "" for all
	Sender  string // replacement; "" keeps the requested sender
}

// Config describes a carrier. New fills in the defaults.
type Config struct {
	Name      string
	Addresses []string                                                    // host:port; the binds are distributed over them
	TLS       *tls.Config                                                 // nil for plain TCP
	Dial      func(ctx context.Context, address string) (net.Conn, error) // nil for TCP or TLS

	SystemID, Password       string
	SystemType, AddressRange string
	ServiceType              string

	Mode   Mode    // default Transceiver
	Binds  int     // default 1
	Window int     // pending submissions on each bind; default 10, at most 1,000
	Rate   float64 // messages per second over all binds; 0 for no limit

	BindTimeout     time.Duration // to connect and bind; default 10 s
	ResponseTimeout time.Duration // default 5 s; frees the slot in the window
	EnquireInterval time.Duration // idle time before a keep-alive; default 20 s

	Alphabet      gsm.Alphabet   // first choice; other texts are sent as UCS-2
	Languages     []gsm.Language // national shift tables that the carrier passes on; default none
	Concat        Concat         // default ConcatUDH
	WideReference bool           // 16 bits instead of 8 in the header of parts
	Validity      Validity       // default ValidityRelative
	Senders       []SenderRule
	TLVs          []TLV // in each submit_sm

	// SourceTON to DestinationNPI override the values derived from the addresses.
	SourceTON, SourceNPI, DestinationTON, DestinationNPI *uint8

	// Statuses overrides the reactions of class.go to a command_status of
	// submit_sm_resp.
	Statuses map[pdu.Status]Class

	NoReceipts bool    // do not request receipts
	IDForm     IDForm  // default IDSame
	IDScope    IDScope // default ScopeAddress

	// ReceiptsInMessages accepts plain messages with the text of a receipt as
	// receipts. A phone can send such a message.
	ReceiptsInMessages bool

	Reports deliver.Reports // a nil function drops its reports
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

const (
	maxWindow = 1000
	leastRate = 0.01
	mostRate  = 1e6
)

// complete fills in the defaults and checks numbers and lengths. Package config
// checks the keywords, because it reports all errors of a file with their lines.
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
	case c.Rate != 0 && !(c.Rate >= leastRate && c.Rate <= mostRate): // also catches NaN
		return fmt.Errorf("rate: must be %g to %g messages per second, or 0 for no limit", leastRate, mostRate)
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
