package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// SIP says how to call over a SIP trunk. What is empty or 0 has the carrier's own
// default.
type SIP struct {
	Host          string `yaml:"host"`            // domain or address of the trunk, with a port or without
	Transport     string `yaml:"transport"`       // udp, tcp or tls
	OutboundProxy string `yaml:"outbound_proxy"`  // host or host:port that everything is sent to; "" for the trunk
	TLSCA         string `yaml:"tls_ca"`          // path of the PEM file of who signed the trunk's certificate; "" for those of the system
	TLSServerName string `yaml:"tls_server_name"` // that the certificate must have; "" for the host

	User          string        `yaml:"user"`
	Password      string        `yaml:"password"`
	PasswordFile  string        `yaml:"password_file"` // path of a file that holds the password
	Register      bool          `yaml:"register"`
	RegisterEvery time.Duration `yaml:"register_every"`

	Listen    string   `yaml:"listen"`     // local address of SIP, host:port
	Advertise string   `yaml:"advertise"`  // address that the trunk reaches us at; "" for the local one
	AllowFrom []string `yaml:"allow_from"` // more sources of SIP packets than the trunk and its proxy; addresses and CIDR ranges
	RTPPorts  string   `yaml:"rtp_ports"`  // "first-last"
	RTPLatch  string   `yaml:"rtp_latch"`  // sources that may move the audio: signaling, any or off
	SRTP      bool     `yaml:"srtp"`       // encrypted sound, or no call

	CallerIDs  []CallerID `yaml:"caller_ids"`
	DigitsOnly bool       `yaml:"digits_only"` // numbers without "+"

	Countries     []string `yaml:"countries"`      // that may be called, ISO 3166-1 alpha-2; none for all
	AllowPrefixes []string `yaml:"allow_prefixes"` // of numbers that are called though they are expensive

	MaxCalls       int           `yaml:"max_calls"`
	CallsPerSecond int           `yaml:"calls_per_second"` // 0 for no limit
	FirstResponse  time.Duration `yaml:"first_response"`
	RingTimeout    time.Duration `yaml:"ring_timeout"`
	MaxDuration    time.Duration `yaml:"max_duration"`
}

// CallerID says from which number a call comes. The first that fits decides.
type CallerID struct {
	Country string `yaml:"country"` // of the destination, ISO 3166-1 alpha-2; "" for all
	Number  string `yaml:"number"`  // international, digits
}

func (s SIP) validate(key string, p *problems) {
	if s.Host == "" {
		p.addf(key+".host", "must be given")
	}
	checkWord(p, key+".transport", s.Transport, "udp", "tcp", "tls")
	if s.Transport != "tls" && (s.TLSCA != "" || s.TLSServerName != "") {
		p.addf(key+".transport", "must be tls where tls_ca or tls_server_name is given")
	}
	if s.Password != "" && s.PasswordFile != "" {
		p.addf(key+".password_file", "must not be given with password")
	}
	if s.Register && s.User == "" {
		p.addf(key+".user", "must be given to register")
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

// AdvertisedAddress is Advertise, or no address if that is "".
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

// AllowedSources returns AllowFrom as ranges. A single address is a range of one.
func (s SIP) AllowedSources() ([]netip.Prefix, error) {
	return parsePrefixes("sip.allow_from", s.AllowFrom)
}

var errPorts = errors.New(`must be two ports such as "10000-20000", between 1024 and 65535`)

// RTPRange is RTPPorts as numbers, or 0 if that is "".
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
