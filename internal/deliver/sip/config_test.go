package sip_test

import (
	"testing"

	"countersign/internal/deliver/sip"
)

// TestNewRefuses: New rejects unusable settings, such as text that could end a line of a
// SIP message.
func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := sip.Config{Name: "trunk", Host: "127.0.0.1", Speaker: speaker{}}
	for name, change := range map[string]func(*sip.Config){
		"host":         func(c *sip.Config) { c.Host = "" },
		"host\r\n":     func(c *sip.Config) { c.Host = "a\r\nb" },
		"proxy":        func(c *sip.Config) { c.OutboundProxy = "a b" },
		"transport":    func(c *sip.Config) { c.Transport = "sctp" },
		"user":         func(c *sip.Config) { c.User = "a@b" },
		"register":     func(c *sip.Config) { c.Register = true },
		"speaker":      func(c *sip.Config) { c.Speaker = nil },
		"caller id":    func(c *sip.Config) { c.CallerIDs = []sip.CallerID{{Number: "Acme\r\n"}} },
		"ports":        func(c *sip.Config) { c.FirstPort, c.LastPort = 100, 200 },
		"latch":        func(c *sip.Config) { c.Latch = "yes" },
		"listen":       func(c *sip.Config) { c.Listen = "5060" },
		"calls":        func(c *sip.Config) { c.MaxCalls = -1 },
		"calls/second": func(c *sip.Config) { c.CallsPerSecond = -1 },
	} {
		cfg := good
		change(&cfg)
		if _, err := sip.New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
