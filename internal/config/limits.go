package config

import (
	"strings"
	"time"
	"unicode"
)

// Limits bounds what the API accepts.
type Limits struct {
	RequestsPerSecond int `yaml:"requests_per_second"` // of an account, in any second, over all v1 endpoints
	BodyBytes         int `yaml:"body_bytes"`          // of a request
	HeaderBytes       int `yaml:"header_bytes"`        // of a request, with its first line

	HeaderTimeout time.Duration `yaml:"header_timeout"` // for the header of a request, and for the handshake of TLS
	ReadTimeout   time.Duration `yaml:"read_timeout"`   // for all of a request
	WriteTimeout  time.Duration `yaml:"write_timeout"`  // from the header to the end of the answer
	IdleTimeout   time.Duration `yaml:"idle_timeout"`   // of a connection, between two requests

	// UnauthenticatedIdleTimeout replaces IdleTimeout on connections that have not
	// carried a request with valid credentials, and bounds their first header.
	UnauthenticatedIdleTimeout time.Duration `yaml:"unauthenticated_idle_timeout"`

	Connections           int `yaml:"connections"`             // at a time; 0 for any number
	ConnectionsPerAddress int `yaml:"connections_per_address"` // 0 for any number

	FailedLoginsPerMinute int           `yaml:"failed_logins_per_minute"` // from one address, before it waits; 0 for any number
	FailedLoginDelay      time.Duration `yaml:"failed_login_delay"`       // of each answer after that

	DeniedBrands []string `yaml:"denied_brands"` // words that no brand and no payee may have
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
		p.addf("limits.write_timeout", "must not be less than limits.read_timeout and limits.failed_login_delay together")
	}
	for i, word := range l.DeniedBrands {
		if !strings.ContainsFunc(word, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }) {
			p.addf(index("limits.denied_brands", i), "must have a letter or digit")
		}
	}
}
