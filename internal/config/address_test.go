package config_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"countersign/internal/config"
)

// TestAddresses: hosts, ports and URLs on both sides of their limits.
func TestAddresses(t *testing.T) {
	t.Parallel()
	label := strings.Repeat("a", 63)
	url := func(set func(*config.Config, string)) func(string) func(*config.Config) {
		return func(text string) func(*config.Config) { return func(c *config.Config) { set(c, text) } }
	}
	listen := url(func(c *config.Config, s string) { c.Listen = s })
	public := url(func(c *config.Config, s string) { c.Server.PublicURL = s })
	names := url(func(c *config.Config, s string) { c.Server.Names = []string{s} })
	admin := url(func(c *config.Config, s string) { c.Admin.URL = s })
	adminListen := url(func(c *config.Config, s string) { c.Admin.Listen = s })
	gateway := func(s string) func(*config.Config) { return httpCarrier(func(h *config.HTTP) { h.URL = s }) }
	database := url(func(c *config.Config, s string) { c.Database = s })
	for _, tt := range []struct {
		set      func(string) func(*config.Config)
		key      string
		accepted []string
		refused  []string
	}{
		{
			listen, "listen", []string{":0", ":1", ":65535", "[::1]:80", "localhost:80"},
			[]string{":65536", ":-1", ":", "80", "::1:80", "[::1]", ":http", ": 80"},
		},
		{
			public, "server.public_url", []string{"", "http://verify.example", "https://verify.example:8443/base/"},
			[]string{"verify.example", "ftp://verify.example", "https://", "https:///path", "https://me@verify.example", "https://verify.example?a=b", "https://verify.example#a", "https://verify example", "//verify.example"},
		},
		{
			names, "server.names[0]", []string{"a", "verify.example", "*.example.com", "a_b.c-d", label + ".example", "192.0.2.1", "::1", "fe80::1"},
			[]string{"", ".", "a.", ".a", "a..b", "-a", "a-", "a.*.b", "*", label + "a.example", "a:80", "http://a", "a/b"},
		},
		{
			admin, "admin.url", []string{"", "https://verify.example:9443", "https://192.0.2.1", "http://127.0.0.1:9443", "http://[::1]:9443", "http://localhost", "http://[::ffff:127.0.0.1]"},
			[]string{"verify.example", "ftp://127.0.0.1", "https://", "https:///x", "http://127.0.0.1?a=b", "http://127.0.0.1#a", "http://me@127.0.0.1", "http://192.0.2.1", "http://verify.example", "http://localhost.example", "https://a b"},
		},
		{
			adminListen, "admin.listen", []string{"", "127.0.0.1:0", "[::1]:65535", "localhost:9443"},
			[]string{"127.0.0.1", "127.0.0.1:65536", ":9443", "0.0.0.0:9443", "192.0.2.1:9443", "verify.example:9443", "127.0.0.1:9090", "127.0.0.1:8080"},
		},
		{
			gateway, "carriers[1].http.url", []string{"http://gateway.example", "https://gateway.example:8443/send?to={{.To}}"},
			[]string{"", "gateway.example", "ftp://gateway.example", "http://", "https:///send", "http://gateway example/", "//gateway.example"},
		},
		{
			database, "database", []string{"sqlite:a", "sqlite:/a/b.db", "postgres://host/name", "postgresql://host/name"},
			[]string{"", "sqlite", "sqlite:", ":a", "postgres:name", "postgresql:name", "mysql://host/name"},
		},
	} {
		for _, s := range tt.accepted {
			t.Run(tt.key+" "+s, func(t *testing.T) { t.Parallel(); validate(t, tt.set(s), "") })
		}
		for _, s := range tt.refused {
			t.Run("refused "+tt.key+" "+s, func(t *testing.T) { t.Parallel(); validate(t, tt.set(s), tt.key) })
		}
	}
}

// TestListenersDiffer: two listeners may share port 0 but no other address.
func TestListenersDiffer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ listen, ops, admin, want string }{
		{":80", ":81", "127.0.0.1:82", ""},
		{":80", ":80", "", "ops_listen"},
		{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", ""},
		{"127.0.0.1:80", "", "127.0.0.1:80", "admin.listen"},
		{"127.0.0.1:80", "127.0.0.1:81", "127.0.0.1:81", "admin.listen"},
		{"127.0.0.1:80", "", "", ""},
	} {
		validate(t, func(c *config.Config) { c.Listen, c.OpsListen, c.Admin.Listen = tt.listen, tt.ops, tt.admin }, tt.want)
	}
}

// TestPairs: a certificate requires its key, and a password has only one source.
func TestPairs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		key    string
		change func(*config.Config)
	}{
		{"", func(c *config.Config) { c.Admin.TLS = config.AdminTLS{Cert: "c", Key: "k"} }},
		{"", func(c *config.Config) { c.Admin.Client = config.AdminClient{Cert: "c", Key: "k"} }},
		{"admin.client.key", func(c *config.Config) { c.Admin.Client.Cert = "c" }},
		{"", func(c *config.Config) {
			c.Admin = config.Admin{Listen: ":9443", TLS: config.AdminTLS{Cert: "c", Key: "k", ClientCA: "ca"}}
		}},
		{"", func(c *config.Config) {
			c.Admin = config.Admin{Listen: ":9443", TokenFile: "t", TLS: config.AdminTLS{Cert: "c", Key: "k"}}
		}},
		{"", httpCarrier(func(h *config.HTTP) { h.BasicPassword = "p" })},
		{"", httpCarrier(func(h *config.HTTP) { h.BasicPasswordFile = "f" })},
		{"", smppCarrier(func(s *config.SMPP) { s.Password, s.PasswordFile = "", "f" })},
		{"", smppCarrier(func(s *config.SMPP) { s.TLS, s.TLSCA, s.TLSServerName = true, "ca", "smsc" })},
		{"carriers[1].smpp.tls", smppCarrier(func(s *config.SMPP) { s.TLSServerName = "smsc" })},
		{"", smppCarrier(func(s *config.SMPP) {
			s.SourceTON, s.SourceNPI, s.DestinationTON, s.DestinationNPI = "0", "255", "1", ""
		})},
		{"carriers[1].smpp.source_npi", smppCarrier(func(s *config.SMPP) { s.SourceNPI = "-1" })},
		{"carriers[1].smpp.destination_ton", smppCarrier(func(s *config.SMPP) { s.DestinationTON = "0x1" })},
		{"", smppCarrier(func(s *config.SMPP) {
			s.TLVs = []config.TLV{{Tag: "1", Value: "x"}, {Tag: "0xFFFF", Type: "uint16", Value: "1"}}
		})},
		{"carriers[1].smpp.tlvs[0].tag", smppCarrier(func(s *config.SMPP) { s.TLVs = []config.TLV{{Tag: "0", Value: "x"}} })},
		{"", smppCarrier(func(s *config.SMPP) { s.Statuses = map[string]string{"1": "number", "0xFFFFFFFF": "bind"} })},
		{"", smppCarrier(func(s *config.SMPP) { s.Senders = []config.Sender{{}, {Country: "GB", Asked: "a", Sender: "b"}} })},
	} {
		validate(t, tt.change, tt.key)
	}
}

// TestSIPNumbers: limits of ports, caller numbers and addresses.
func TestSIPNumbers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		key    string
		change func(*config.SIP)
	}{
		{"", func(s *config.SIP) { s.RTPPorts = "1024-65535" }},
		{"", func(s *config.SIP) { s.RTPPorts = " 1024 - 1025 " }},
		{"rtp_ports", func(s *config.SIP) { s.RTPPorts = "1023-2000" }},
		{"rtp_ports", func(s *config.SIP) { s.RTPPorts = "1024-65536" }},
		{"rtp_ports", func(s *config.SIP) { s.RTPPorts = "2000-2000" }},
		{"rtp_ports", func(s *config.SIP) { s.RTPPorts = "a-2000" }},
		{"rtp_ports", func(s *config.SIP) { s.RTPPorts = "2000-" }},
		{"", func(s *config.SIP) {
			s.CallerIDs = []config.CallerID{{Number: "123"}, {Country: "GB", Number: "123456789012345"}}
		}},
		{"caller_ids[0].number", func(s *config.SIP) { s.CallerIDs = []config.CallerID{{Number: "12"}} }},
		{"caller_ids[0].number", func(s *config.SIP) { s.CallerIDs = []config.CallerID{{Number: "1234567890123456"}} }},
		{"caller_ids[0].number", func(s *config.SIP) { s.CallerIDs = []config.CallerID{{Number: "12/4"}} }},
		{"caller_ids[0].number", func(s *config.SIP) { s.CallerIDs = []config.CallerID{{Number: "12:4"}} }},
		{"advertise", func(s *config.SIP) { s.Advertise = "fe80::1%eth0" }},
		{"advertise", func(s *config.SIP) { s.Advertise = "::" }},
		{"", func(s *config.SIP) { s.Advertise = "2001:db8::1" }},
		{"transport", func(s *config.SIP) { s.Transport, s.TLSServerName = "tcp", "trunk" }},
		{"", func(s *config.SIP) { s.Transport = "tcp" }},
		{"", func(s *config.SIP) { s.Register = true }},
		{"", func(s *config.SIP) { s.User, s.Password = "acme", "p" }},
		{"", func(s *config.SIP) { s.PasswordFile = "f" }},
	} {
		validate(t, func(c *config.Config) {
			s := config.SIP{Host: "trunk.example", User: "acme"}
			tt.change(&s)
			c.Carriers = append(c.Carriers, config.Carrier{Name: "voice", Type: config.CarrierSIP, SIP: s})
		}, strings.TrimSuffix("carriers[1].sip."+tt.key, "carriers[1].sip."))
	}
	s := config.SIP{RTPPorts: "10000-20000", Advertise: "::ffff:192.0.2.1", AllowFrom: []string{"192.0.2.7/24", "2001:db8::1"}}
	if first, last, err := s.RTPRange(); first != 10_000 || last != 20_000 || err != nil {
		t.Errorf("ports %d to %d, %v", first, last, err)
	}
	if addr, err := s.AdvertisedAddress(); addr != netip.MustParseAddr("192.0.2.1") || err != nil {
		t.Errorf("advertised %v, %v", addr, err)
	}
	if list, err := s.AllowedSources(); fmt.Sprint(list) != "[192.0.2.0/24 2001:db8::1/128]" || err != nil {
		t.Errorf("sources %v, %v", list, err)
	}
	if first, last, err := (config.SIP{}).RTPRange(); first != 0 || last != 0 || err != nil {
		t.Errorf("no ports: %d to %d, %v", first, last, err)
	}
}

func TestNumbersOfTLVs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"": -1, "0": 0, "255": 255} {
		got, err := config.Octet(text)
		if err != nil || (got == nil) != (want < 0) || got != nil && int(*got) != want {
			t.Errorf("Octet(%q) = %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]uint16{"1": 1, "0x1400": 0x1400, "65535": 65535, "0": 0, "65536": 0, "": 0} {
		if got, err := config.Tag(text); got != want || (err == nil) != (want > 0) {
			t.Errorf("Tag(%q) = %d, %v", text, got, err)
		}
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"127.0.0.1:80": true, "127.9.9.9:0": true, "[::1]:80": true, "localhost:80": true, "[::ffff:127.0.0.1]:80": true,
		":80": false, "0.0.0.0:80": false, "192.0.2.1:80": false, "[::]:80": false, "verify.example:80": false, "localhost": false, "127.0.0.1": false,
	} {
		if got := config.Loopback(address); got != want {
			t.Errorf("Loopback(%s) = %v", address, got)
		}
	}
}

// TestPhoneExposed: the setting that makes /phone reachable from other machines.
func TestPhoneExposed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		listen         string
		proxies, names []string
		want           string
	}{
		{"127.0.0.1:80", nil, nil, ""},
		{"localhost:80", nil, []string{"localhost", "a.LOCALHOST.", "127.0.0.1", "::1"}, ""},
		{":80", nil, nil, "listen"},
		{"127.0.0.1:80", []string{"127.0.0.1"}, nil, "trusted_proxies"},
		{"127.0.0.1:80", nil, []string{"localhost", "verify.example"}, "server.names[1]"},
		{"127.0.0.1:80", nil, []string{"192.0.2.1"}, "server.names[0]"},
		{"127.0.0.1:80", nil, []string{"notlocalhost"}, "server.names[0]"},
		{"192.0.2.1:80", []string{"127.0.0.1"}, []string{"verify.example"}, "listen"},
	} {
		c := config.Config{Listen: tt.listen, TrustedProxies: tt.proxies, Server: config.Server{Names: tt.names}}
		if got := c.PhoneExposed(); got != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}

// TestSecretFiles: every file with a secret is listed, and the configuration file if it
// contains a secret.
func TestSecretFiles(t *testing.T) {
	t.Parallel()
	list := func(change func(*config.Config)) (settings []string) {
		c := config.Config{Database: "sqlite:a", Carriers: []config.Carrier{{}}}
		change(&c)
		for _, f := range c.SecretFiles("c.yaml") {
			settings = append(settings, f.Setting+"="+f.Path)
		}
		return settings
	}
	for want, change := range map[string]func(*config.Config){
		"":                                       func(*config.Config) {},
		"key_file=x":                             func(c *config.Config) { c.KeyFile = "x" },
		"admin.token_file=x":                     func(c *config.Config) { c.Admin.TokenFile = "x" },
		"tls.key=x":                              func(c *config.Config) { c.TLS.Key = "x" },
		"admin.tls.key=x":                        func(c *config.Config) { c.Admin.TLS.Key = "x" },
		"admin.client.key=x":                     func(c *config.Config) { c.Admin.Client.Key = "x" },
		"carriers[0].smpp.password_file=x":       func(c *config.Config) { c.Carriers[0].SMPP.PasswordFile = "x" },
		"carriers[0].sip.password_file=x":        func(c *config.Config) { c.Carriers[0].SIP.PasswordFile = "x" },
		"carriers[0].http.basic_password_file=x": func(c *config.Config) { c.Carriers[0].HTTP.BasicPasswordFile = "x" },
	} {
		if got := strings.Join(list(change), " "); got != want {
			t.Errorf("listed %q, want %q", got, want)
		}
	}
	for name, change := range map[string]func(*config.Config){
		"smpp":               func(c *config.Config) { c.Carriers[0].SMPP.Password = "x" },
		"sip":                func(c *config.Config) { c.Carriers[0].SIP.Password = "x" },
		"http":               func(c *config.Config) { c.Carriers[0].HTTP.BasicPassword = "x" },
		"receipts":           func(c *config.Config) { c.Carriers[0].HTTP.Receipts.Secret = "x" },
		"database":           func(c *config.Config) { c.Database = "postgres://u:p@host/name" },
		"database parameter": func(c *config.Config) { c.Database = "postgres://host/name?password=p" },
		"second carrier":     func(c *config.Config) { c.Carriers = []config.Carrier{{SMPP: config.SMPP{Password: "x"}}, {}} },
	} {
		if got := list(change); !slices.Equal(got, []string{"--config=c.yaml"}) {
			t.Errorf("a password of %s: listed %q", name, got)
		}
	}
	for _, database := range []string{"postgres://u@host/name", "postgres://[::1/name"} { // the second is not a URL
		if got := list(func(c *config.Config) { c.Database = database }); got != nil {
			t.Errorf("%s: listed %q", database, got)
		}
	}
}
