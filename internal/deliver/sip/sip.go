// Package sip is the carrier for calls: it dials over a SIP trunk, speaks the code
// once somebody answers, and reports how the call ended.
//
//	carrier.go   a Carrier: limits, and what becomes of a message
//	call.go      one call, from INVITE to its answer
//	talk.go      an answered call, to its BYE
//	session.go   an INVITE and its dialog
//	login.go     digest authentication
//	dialog.go    what the other side asks of a call: BYE, re-INVITE, INFO, UPDATE
//	describe.go  SDP offers and answers of a call
//	trunk.go     the sockets, and whom a request is about
//	normalise.go one spelling for the headers of all peers
//	stream.go    the same over TCP and TLS
//	gate.go      limits on packets, before sipgo reads them
//	sources.go   the addresses that packets may come from
//	late.go      answers beyond the first, and after the end of a call
//	register.go  REGISTER
//	limits.go    allow-lists of destinations, and limits on concurrent calls
//	outcome.go   what the answers of a trunk mean
//	media/       SDP, RTP, SRTP, digits
//
// A message is accepted when the phone rings or is answered; how the call ends is
// reported later, like the receipt of an SMS. A trunk that fails before that is
// followed by the next; after an answer a call is never repeated.
//
// The package must not know what a verification is, nor where reports are kept.
package sip

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/deliver"
	"countersign/internal/deliver/sip/media"
	"countersign/internal/deliver/tts/audio"
	"countersign/internal/message"
)

// CallerID says from which number a call comes. The first that fits decides.
type CallerID struct {
	Country string // of the destination, ISO 3166-1 alpha-2; "" for all
	Number  string // E.164 digits
}

// Speaker turns a script into sound.
type Speaker interface {
	Speak(ctx context.Context, script message.Script) (audio.Samples, error)
}

// Config describes a trunk. New fills in the defaults.
type Config struct {
	Name string

	Host          string // of the trunk: its domain, or address, with a port or without
	Transport     string // udp (default), tcp or tls
	OutboundProxy string // host:port that everything is sent to; "" for the trunk itself
	TLS           *tls.Config

	User, Password string // of digest authentication; "" for none
	Register       bool   // REGISTER with the trunk
	RegisterEvery  time.Duration

	Listen    string         // local address of SIP, host:port; default 0.0.0.0:0
	AllowFrom []netip.Prefix // more sources of packets over UDP than the trunk and its outbound proxy
	Advertise netip.Addr     // address that the trunk reaches us at; the local one if it is not valid
	FirstPort int            // of RTP, with LastPort; default 10000 to 20000
	LastPort  int
	SRTP      bool // offer SRTP only

	Latch media.Latch // sources of RTP that may move the audio; default [media.LatchSignaling]

	CallerIDs  []CallerID
	DigitsOnly bool // write numbers without "+"

	Countries     []string // ISO codes of those that may be called; none: all
	AllowPrefixes []string // first digits of numbers that may be called though they are expensive

	MaxCalls       int          // at a time; default 100
	CallsPerSecond float64      // 0 for no limit
	Prefixes       *PrefixLimit // shared with other trunks; nil for no limit

	FirstResponse time.Duration // for any response to an INVITE, before the next trunk is asked; default 1 s
	RingTimeout   time.Duration // from the INVITE to an answer; default 45 s
	MaxDuration   time.Duration // after the answer; default, and the most, 60 s
	HoldTimeout   time.Duration // how long an answer may be on hold; default 5 s
	KeyWait       time.Duration // from the last word to the end of the call; key 1 repeats the announcement; default 2 s

	Names media.Resolver // of host names in SDP; nil for the resolver of the system

	Speaker Speaker

	// Wanted tells whether somebody still waits for the code of a message. It is
	// asked every second while the phone rings. nil: always.
	Wanted func(context.Context, deliver.Message) bool

	// Ended hears of every call that is over, before its report; nil for nobody.
	Ended func(deliver.Message, Result)

	Reports deliver.Reports
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

var (
	hostForm   = regexp.MustCompile(`^[0-9A-Za-z.\-]{1,253}(:[0-9]{1,5})?$|^\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?$`)
	userForm   = regexp.MustCompile(`^[0-9A-Za-z._~+\-]{0,64}$`)
	callerForm = regexp.MustCompile(`^[0-9]{3,15}$`)
)

// longestCall is the most that MaxDuration may be. A session timer lasts 90 s at
// least (RFC 4028 §4), so that a call is over before one runs out.
const longestCall = time.Minute

// complete checks the configuration and fills in its defaults.
func (c *Config) complete() error {
	set(&c.Transport, "udp")
	set(&c.Listen, "0.0.0.0:0")
	set(&c.FirstPort, 10000)
	set(&c.LastPort, 20000)
	set(&c.MaxCalls, 100)
	set(&c.FirstResponse, time.Second)
	set(&c.RingTimeout, 45*time.Second)
	set(&c.MaxDuration, longestCall)
	set(&c.HoldTimeout, 5*time.Second)
	set(&c.KeyWait, 2*time.Second)
	set(&c.RegisterEvery, 5*time.Minute)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	switch {
	case !hostForm.MatchString(c.Host):
		return fmt.Errorf("host: %q is no host", c.Host)
	case c.OutboundProxy != "" && !hostForm.MatchString(c.OutboundProxy):
		return fmt.Errorf("outbound_proxy: %q is no host", c.OutboundProxy)
	case !slices.Contains([]string{"udp", "tcp", "tls"}, c.Transport):
		return fmt.Errorf("transport: must be udp, tcp or tls, not %q", c.Transport)
	case !userForm.MatchString(c.User):
		return fmt.Errorf("user: %q cannot be in a SIP address", c.User)
	case c.Register && c.User == "":
		return errors.New("user: must be given to register")
	case c.Speaker == nil:
		return errors.New("nobody speaks")
	case c.MaxCalls < 1, c.CallsPerSecond < 0:
		return errors.New("max_calls, calls_per_second: must not be negative")
	case !c.Latch.Valid():
		return fmt.Errorf("rtp_latch: must be signaling, any or off, not %q", c.Latch)
	case c.FirstPort < 1024 || c.LastPort > 65535 || c.FirstPort+1 > c.LastPort:
		return errors.New("rtp_ports: must be a range within 1024 to 65535")
	case c.MaxDuration > longestCall:
		return fmt.Errorf("max_duration: must be at most %s", longestCall)
	}
	for i, id := range c.CallerIDs {
		if !callerForm.MatchString(id.Number) {
			return fmt.Errorf("caller_ids[%d].number: must be 3 to 15 digits", i)
		}
	}
	for i, prefix := range c.AllowPrefixes {
		if prefix == "" || strings.Trim(prefix, "0123456789") != "" {
			return fmt.Errorf("allow_prefixes[%d]: must be digits", i)
		}
	}
	return nil
}

func set[T comparable](v *T, fallback T) {
	var zero T
	if *v == zero {
		*v = fallback
	}
}
