package config

import (
	"strings"
	"time"
	"unicode"
)

// Limits bounds the requests and connections of the API.
type Limits struct {
	RequestsPerSecond int `yaml:"requests_per_second"` // per account in any second, over all v1 endpoints
	BodyBytes         int `yaml:"body_bytes"`          // per request
	HeaderBytes       int `yaml:"header_bytes"`        // per request, including the request line

	HeaderTimeout time.Duration `yaml:"header_timeout"` // for the header of a request, and for a TLS handshake
	ReadTimeout   time.Duration `yaml:"read_timeout"`   // for a whole request
	WriteTimeout  time.Duration `yaml:"write_timeout"`  // from the end of the header to the end of the response
	IdleTimeout   time.Duration `yaml:"idle_timeout"`   // between two requests of a connection

	// UnauthenticatedIdleTimeout replaces IdleTimeout on connections without a previous
	// request with valid credentials, and bounds their first header.
	UnauthenticatedIdleTimeout time.Duration `yaml:"unauthenticated_idle_timeout"`

	Connections           int `yaml:"connections"`             // concurrent connections; 0 for no limit
	ConnectionsPerAddress int `yaml:"connections_per_address"` // 0 for no limit

	FailedLoginsPerMinute int           `yaml:"failed_logins_per_minute"` // per address, before delays; 0 for no limit
	FailedLoginDelay      time.Duration `yaml:"failed_login_delay"`       // delay of each further failed response

	DeniedBrands []string `yaml:"denied_brands"` // words that are forbidden in brands and payees
}

func defaultLimits() Limits {
	return Limits{
		RequestsPerSecond: 30, BodyBytes: 64 << 10, HeaderBytes: 16 << 10,
		HeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		UnauthenticatedIdleTimeout: 5 * time.Second,
		Connections:                10_000, FailedLoginsPerMinute: 10, FailedLoginDelay: 2 * time.Second,
	}
}

func (l Limits) validate(p *problems) {
	if l.ReadTimeout < l.HeaderTimeout {
		p.addf("limits.read_timeout", "must not be less than limits.header_timeout")
	}
	if l.WriteTimeout < l.ReadTimeout+l.FailedLoginDelay {
		p.addf("limits.write_timeout", "must not be less than the sum of limits.read_timeout and limits.failed_login_delay")
	}
	for i, word := range l.DeniedBrands {
		if !strings.ContainsFunc(word, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }) {
			p.addf(index("limits.denied_brands", i), "must contain a letter or digit")
		}
	}
}
