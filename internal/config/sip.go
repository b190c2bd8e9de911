package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// SIP configures a SIP trunk. Empty and zero values select the defaults of the carrier.
type SIP struct {
	Host          string `yaml:"host"`            // domain or address of the trunk, with an optional port
	Transport     string `yaml:"transport"`       // udp, tcp or tls
	OutboundProxy string `yaml:"outbound_proxy"`  // host or host:port that all requests are sent to; "" for the trunk
	TLSCA         string `yaml:"tls_ca"`          // path of CA certificates (PEM); "" for the system CAs
	TLSServerName string `yaml:"tls_server_name"` // required name in the certificate; "" for the host

	User          string        `yaml:"user"`
	Password      string        `yaml:"password"`
	PasswordFile  string        `yaml:"password_file"` // path of a file with the password
	Register      bool          `yaml:"register"`
	RegisterEvery time.Duration `yaml:"register_every"`

	Listen    string   `yaml:"listen"`     // local address of SIP, host:port
	Advertise string   `yaml:"advertise"`  // our address for the trunk; "" for the local address
	AllowFrom []string `yaml:"allow_from"` // sources of SIP packets in addition to the trunk and its proxy; addresses and CIDR ranges
	RTPPorts  string   `yaml:"rtp_ports"`  // "first-last"
	RTPLatch  string   `yaml:"rtp_latch"`  // sources that may move the audio: signaling, any or off
	SRTP      bool     `yaml:"srtp"`       // require SRTP

	CallerIDs  []CallerID `yaml:"caller_ids"`
	DigitsOnly bool       `yaml:"digits_only"` // write numbers without "+"

	Countries     []string `yaml:"countries"`      // countries that may be called, ISO 3166-1 alpha-2; empty for all
	AllowPrefixes []string `yaml:"allow_prefixes"` // prefixes that may be called although they are expensive

	MaxCalls       int           `yaml:"max_calls"`
	CallsPerSecond int           `yaml:"calls_per_second"` // 0 for no limit
	FirstResponse  time.Duration `yaml:"first_response"`
	RingTimeout    time.Duration `yaml:"ring_timeout"`
	MaxDuration    time.Duration `yaml:"max_duration"`
}

// CallerID is the caller's number for calls to a country. The first match is used.
type CallerID struct {
	Country string `yaml:"country"` // country of the destination, ISO 3166-1 alpha-2; "" for all
	Number  string `yaml:"number"`  // digits of the international number
}

func (s SIP) validate(key string, p *problems) {
	if s.Host == "" {
		p.addf(key+".host", "must be given")
	}
	checkWord(p, key+".transport", s.Transport, "udp", "tcp", "tls")
	if s.Transport != "tls" && (s.TLSCA != "" || s.TLSServerName != "") {
		p.addf(key+".transport", "must be tls if tls_ca or tls_server_name is given")
	}
	if s.Password != "" && s.PasswordFile != "" {
		p.addf(key+".password_file", "must not be given with password")
	}
	if s.Register && s.User == "" {
		p.addf(key+".user", "is required if register is true")
	}
	if s.Listen != "" {
		p.add(key+".listen", checkAddress(s.Listen))
	}
	_, err := s.AdvertisedAddress()
	p.add(key+".advertise", err)
	for i, source := range s.AllowFrom {
		_, err := parsePrefix(source)
		p.add(index(key+".allow_from", i), err)
	}
	_, _, err = s.RTPRange()
	p.add(key+".rtp_ports", err)
	checkWord(p, key+".rtp_latch", s.RTPLatch, "signaling", "any", "off")
	for i, id := range s.CallerIDs {
		p.add(index(key+".caller_ids", i)+".country", checkCountry(id.Country))
		if n := len(id.Number); n < 3 || n > 15 || strings.Trim(id.Number, "0123456789") != "" {
			p.addf(index(key+".caller_ids", i)+".number", "must be 3 to 15 digits, not %q", id.Number)
		}
	}
	for i, country := range s.Countries {
		if country == "" {
			p.addf(index(key+".countries", i), "must not be empty")
		}
		p.add(index(key+".countries", i), checkCountry(country))
	}
	for i, prefix := range s.AllowPrefixes {
		if prefix == "" {
			p.addf(index(key+".allow_prefixes", i), "must not be empty")
		}
		p.add(index(key+".allow_prefixes", i), checkDigits(prefix))
	}
}

// AdvertisedAddress parses Advertise; it returns an invalid address for "".
func (s SIP) AdvertisedAddress() (netip.Addr, error) {
	if s.Advertise == "" {
		return netip.Addr{}, nil
	}
	addr, err := netip.ParseAddr(s.Advertise)
	if err != nil || addr.Zone() != "" || addr.IsUnspecified() {
		return netip.Addr{}, fmt.Errorf("must be an IP address, not %q", s.Advertise)
	}
	return addr.Unmap(), nil
}

// AllowedSources parses AllowFrom. A single address becomes a range of one.
func (s SIP) AllowedSources() ([]netip.Prefix, error) {
	return parsePrefixes("sip.allow_from", s.AllowFrom)
}

var errPorts = errors.New(`must be two ports such as "10000-20000", between 1024 and 65535`)

// RTPRange parses RTPPorts; it returns 0 and 0 for "".
func (s SIP) RTPRange() (first, last int, err error) {
	if s.RTPPorts == "" {
		return 0, 0, nil
	}
	from, to, _ := strings.Cut(s.RTPPorts, "-")
	a, errA := strconv.ParseUint(strings.TrimSpace(from), 10, 16)
	b, errB := strconv.ParseUint(strings.TrimSpace(to), 10, 16)
	if errA != nil || errB != nil || a < 1024 || b <= a {
		return 0, 0, errPorts
	}
	return int(a), int(b), nil
}
