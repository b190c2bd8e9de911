// Package sip is the carrier for calls. It dials over a SIP trunk, plays the
// announcement when the call is answered, and reports the outcome of the call.
//
//	carrier.go   Carrier: sends a message as a call and reports its outcome
//	call.go      a call from its INVITE to the answer
//	talk.go      an answered call up to its BYE
//	session.go   an INVITE and its dialog
//	login.go     digest authentication
//	dialog.go    requests within a call: BYE, re-INVITE, INFO, UPDATE
//	describe.go  SDP offers and answers of a call
//	trunk.go     the sockets, and the dispatch of messages to calls
//	normalise.go canonical spelling of headers
//	stream.go    normalisation over TCP and TLS
//	gate.go      limits on packets, before sipgo parses them
//	sources.go   the addresses that packets may come from
//	late.go      answers beyond the first, and after the end of a call
//	register.go  REGISTER
//	limits.go    allow-lists of destinations, and limits on concurrent calls
//	outcome.go   mapping of final responses to outcomes
//	media/       SDP, RTP, SRTP, digits
//
// A message is accepted when the phone rings or the call is answered. The outcome
// of the call is reported later, like the receipt of an SMS. If the trunk fails
// before that, the next trunk is tried. An answered call is never repeated.
//
// The package must not depend on verifications or on the storage of reports.
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

// CallerID is the caller's number for calls to a country. The first match is used.
type CallerID struct {
	Country string // country of the destination, ISO 3166-1 alpha-2; "" for all
	Number  string // E.164 digits
}

// Speaker synthesises a script.
type Speaker interface {
	Speak(ctx context.Context, script message.Script) (audio.Samples, error)
}

// Config describes a trunk. New fills in the defaults.
type Config struct {
	Name string

	Host          string // domain or address of the trunk, with an optional port
	Transport     string // udp (default), tcp or tls
	OutboundProxy string // host:port that all requests are sent to; "" for the trunk itself
	TLS           *tls.Config

	User, Password string // credentials for digest authentication; "" to disable it
	Register       bool   // REGISTER with the trunk
	RegisterEvery  time.Duration

	Listen    string         // local address of SIP, host:port; default 0.0.0.0:0
	AllowFrom []netip.Prefix // sources of UDP packets in addition to the trunk and its outbound proxy
	Advertise netip.Addr     // our address as the trunk sees it; if invalid, the local address
	FirstPort int            // first RTP port; default 10000
	LastPort  int            // last RTP port; default 20000
	SRTP      bool           // offer SRTP only

	Latch media.Latch // sources of RTP that may move the audio; default [media.LatchSignaling]

	CallerIDs  []CallerID
	DigitsOnly bool // write numbers without "+"

	Countries     []string // ISO codes of the countries that may be called; empty for all
	AllowPrefixes []string // prefixes that may be called although they are expensive

	MaxCalls       int          // concurrent calls; default 100
	CallsPerSecond float64      // 0 for no limit
	Prefixes       *PrefixLimit // shared with other trunks; nil for no limit

	FirstResponse time.Duration // from the INVITE to any response, before failover; default 1 s
	RingTimeout   time.Duration // from the INVITE to an answer; default 45 s
	MaxDuration   time.Duration // after the answer; default and maximum 60 s
	HoldTimeout   time.Duration // maximum time on hold after the answer; default 5 s
	KeyWait       time.Duration // wait for key 1 (repeat) after the announcement, before the BYE; default 2 s

	Names media.Resolver // resolves host names in SDP and in the configuration; nil for the system resolver

	Speaker Speaker

	// Wanted reports whether the code of a message is still needed. It is called every
	// second while the phone rings; if it returns false, the call is cancelled. nil means
	// always.
	Wanted func(context.Context, deliver.Message) bool

	// Ended is called for every finished call, before its report; it may be nil.
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

// longestCall is the maximum of MaxDuration. A session timer lasts at least 90 s
// (RFC 4028 §4), so a call ends before one expires.
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
		return fmt.Errorf("host: %q is not a host", c.Host)
	case c.OutboundProxy != "" && !hostForm.MatchString(c.OutboundProxy):
		return fmt.Errorf("outbound_proxy: %q is not a host", c.OutboundProxy)
	case !slices.Contains([]string{"udp", "tcp", "tls"}, c.Transport):
		return fmt.Errorf("transport: must be udp, tcp or tls, not %q", c.Transport)
	case !userForm.MatchString(c.User):
		return fmt.Errorf("user: %q cannot be in a SIP address", c.User)
	case c.Register && c.User == "":
		return errors.New("user: is required if register is true")
	case c.Speaker == nil:
		return errors.New("no speaker is configured")
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
