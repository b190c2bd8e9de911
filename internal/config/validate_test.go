package config_test

import (
	"strings"
	"testing"
	"time"

	"countersign/internal/config"
	"countersign/internal/verify"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*config.Config)
	}{
		{"any address", func(c *config.Config) { c.Listen, c.OpsListen = ":8080", "[::1]:9090" }},
		{"free ports", func(c *config.Config) { c.Listen, c.OpsListen = "localhost:0", "localhost:0" }},
		{"tls", func(c *config.Config) { c.TLS = config.TLS{Cert: "a", Key: "b"} }},
		{"proxies", func(c *config.Config) { c.TrustedProxies = []string{"10.0.0.0/8", "::1"} }},
		{"text log", func(c *config.Config) { c.Log = config.Log{Level: "error", Format: "text"} }},
		{"euro", func(c *config.Config) { c.Billing.Currency = "EUR" }},
		{"charge on success", func(c *config.Config) { c.Billing.Charge, c.Billing.LowBalance = "success", "12.5" }},
		{"no carriers and routes", func(c *config.Config) { c.Carriers, c.Routes = nil, nil }},
		{"routes by prefix and channel", func(c *config.Config) {
			c.Routes = []config.Route{
				{Carriers: []string{"phone"}},
				{Channel: verify.TTS, Carriers: []string{"phone"}},
				{Prefix: "44", Carriers: []string{"phone"}},
				{Prefix: "447700900006"},
			}
		}},
		{"routes by everything", func(c *config.Config) {
			c.Networks.Known = []config.Network{{Name: "23415", Prefixes: []string{"4477"}}}
			c.Routes = []config.Route{
				{Account: "acct0001", Sender: "ACME", Network: "23415", Prefix: "44", Country: "GB", Carriers: []string{"phone"}, Weights: []int{1}},
				{Account: "acct0002"},
			}
		}},
		{"smpp", smppCarrier(func(*config.SMPP) {})},
		{"smpp statuses", smppCarrier(func(s *config.SMPP) {
			s.Statuses = map[string]string{"0x0B": "temporary", "ESME_RSYSERR": "final", "1032": "throttled"}
		})},
		{"smpp over TLS", smppCarrier(func(s *config.SMPP) { s.TLS, s.TLSServerName = true, "smsc.example" })},
		{"httpsms", httpCarrier(func(*config.HTTP) {})},
		{"locale of a file", func(c *config.Config) {
			c.LocaleFiles, c.LocaleOfCountry = []string{"/etc/eu-es.json"}, map[string]string{"ES": "eu_ES", "BE": "fr-fr"}
		}},
		{"espeak-ng", func(c *config.Config) { c.TTS.Espeak = "/opt/espeak-ng" }},
		{"another voice", func(c *config.Config) {
			c.TTS.Command = []string{"piper", "--model", "/opt/{voice}.onnx", "--lang={locale}"}
			c.TTS.Voices = []config.Voice{{Locale: "en-gb", Name: "alba"}}
		}},
		{"keep all for ever", func(c *config.Config) { c.Retention = config.Retention{} }},
		{"keep numbers for ever", func(c *config.Config) { c.Retention.Numbers, c.Retention.History = 0, 0 }},
		{"keep all for the same time", func(c *config.Config) {
			c.Retention = config.Retention{Codes: time.Hour, Numbers: time.Hour, History: time.Hour, Ledger: 24 * time.Hour}
		}},
		{"admin on the loopback", func(c *config.Config) { c.Admin.Listen = "[::1]:9443" }},
		{"admin over TLS", func(c *config.Config) {
			c.Admin = config.Admin{Listen: ":9443", TLS: config.AdminTLS{Cert: "a", Key: "b", ClientCA: "c"}}
		}},
		{"admin elsewhere", func(c *config.Config) { c.Admin.URL = "https://verify.example.com:9443" }},
		{"admin through a tunnel", func(c *config.Config) { c.Admin.URL = "http://localhost:9443" }},
		{"unsupported networks", func(c *config.Config) { c.Networks.Unsupported = []string{"8810", "447700900015"} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := config.Default()
			tt.change(&c)
			if err := c.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestValidateNoCaps(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.Fraud.Caps = config.Caps{Lock: c.Fraud.Caps.Lock}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateNamesTheKey(t *testing.T) {
	t.Parallel()
	tests := []struct {
		key    string
		change func(*config.Config)
	}{
		{"listen", func(c *config.Config) { c.Listen = "8080" }},
		{"listen", func(c *config.Config) { c.Listen = "" }},
		{"listen", func(c *config.Config) { c.Listen = "127.0.0.1:http" }},
		{"listen", func(c *config.Config) { c.Listen = "127.0.0.1:65536" }},
		{"locale_of_country", func(c *config.Config) { c.LocaleOfCountry = map[string]string{"BE": "fr-be"} }},
		{"locale_of_country", func(c *config.Config) { c.LocaleOfCountry = map[string]string{"be": "fr-fr"} }},
		{"locale_of_country", func(c *config.Config) {
			c.LocaleFiles, c.LocaleOfCountry = []string{"/etc/eu-es.json"}, map[string]string{"XX": "eu-es"}
		}},
		{"ops_listen", func(c *config.Config) { c.OpsListen = "::1" }},
		{"ops_listen", func(c *config.Config) { c.OpsListen = c.Listen }},
		{"ops_listen", func(c *config.Config) { c.OpsListen = "unix:/run/countersign/ops.sock" }},
		{"ops_listen", func(c *config.Config) { c.OpsListen = "/run/countersign/ops.sock" }},
		{"ops_listen", func(c *config.Config) { c.OpsListen = "@ops" }},
		{"database", func(c *config.Config) { c.Database = "" }},
		{"tts.command", func(c *config.Config) { c.TTS.Espeak, c.TTS.Command = "/opt/espeak-ng", []string{"piper"} }},
		{"tts.command[0]", func(c *config.Config) { c.TTS.Command = []string{""} }},
		{"tts.command[0]", func(c *config.Config) { c.TTS.Command = []string{"/opt/{voice}/speak"} }},
		{"tts.command[1]", func(c *config.Config) { c.TTS.Command = []string{"say", "{text}"} }},
		{"tts.voices", func(c *config.Config) { c.TTS.Voices = []config.Voice{{Locale: "en-gb", Name: "alba"}} }},
		{"tts.voices[0].locale", ownVoices(config.Voice{Locale: "en-GB", Name: "alba"})},
		{"tts.voices[0].name", ownVoices(config.Voice{Locale: "en-gb"})},
		{"tts.voices[1].locale", ownVoices(config.Voice{Locale: "en-gb", Name: "a"}, config.Voice{Locale: "en-gb", Name: "b"})},
		{"server.names[0]", func(c *config.Config) { c.Server.Names = []string{"https://verify.example.com"} }},
		{"server.names[0]", func(c *config.Config) { c.Server.Names = []string{"verify.example.com:443"} }},
		{"server.names[1]", func(c *config.Config) { c.Server.Names = []string{"*.example.com", "*"} }},
		{"server.names[2]", func(c *config.Config) { c.Server.Names = []string{"2001:db8::1", "a_b", ""} }},
		{"limits.unauthenticated_idle_timeout", func(c *config.Config) { c.Limits.UnauthenticatedIdleTimeout = 0 }},
		{"limits.unauthenticated_idle_timeout", func(c *config.Config) { c.Limits.UnauthenticatedIdleTimeout = 2 * time.Hour }},
		{"admin.listen", func(c *config.Config) { c.Admin.Listen = "9443" }},
		{"admin.listen", func(c *config.Config) { c.Admin.Listen = ":9443" }},
		{"admin.listen", func(c *config.Config) { c.Admin.Listen = "192.0.2.1:9443" }},
		{"admin.listen", func(c *config.Config) { c.Admin.Listen = c.OpsListen }},
		{"admin.token_file", func(c *config.Config) { c.Admin = config.Admin{Listen: "127.0.0.1:9443"} }},
		{"admin.tls.cert", func(c *config.Config) { c.Admin.TLS.Key = "key.pem" }},
		{"admin.tls.key", func(c *config.Config) { c.Admin.TLS.Cert = "cert.pem" }},
		{"admin.tls.client_ca", func(c *config.Config) { c.Admin.Listen, c.Admin.TLS.ClientCA = "127.0.0.1:9443", "ca.pem" }},
		{"admin.client.cert", func(c *config.Config) { c.Admin.Client.Key = "key.pem" }},
		{"admin.url", func(c *config.Config) { c.Admin.URL = "verify.example.com:9443" }},
		{"admin.url", func(c *config.Config) { c.Admin.URL = "http://verify.example.com:9443" }},
		{"admin.url", func(c *config.Config) { c.Admin.URL = "https://me:secret@verify.example.com" }},
		{"clock.max_skew", func(c *config.Config) { c.Clock.MaxSkew = time.Second - 1 }},
		{"clock.max_skew", func(c *config.Config) { c.Clock.MaxSkew = -time.Second }},
		{"clock.max_skew", func(c *config.Config) { c.Clock.MaxSkew = time.Hour + 1 }},
		{"retention.codes", func(c *config.Config) { c.Retention.Codes = time.Hour - 1 }},
		{"retention.codes", func(c *config.Config) { c.Retention.Codes = -time.Hour }},
		{"retention.numbers", func(c *config.Config) { c.Retention.Numbers = c.Retention.Codes - 1 }},
		{"retention.numbers", func(c *config.Config) { c.Retention.Codes = 0 }},
		{"retention.history", func(c *config.Config) { c.Retention.History = c.Retention.Numbers - 1 }},
		{"retention.history", func(c *config.Config) { c.Retention.Numbers = 0 }},
		{"retention.ledger", func(c *config.Config) { c.Retention.Ledger = 24*time.Hour - 1 }},
		{"retention.ledger", func(c *config.Config) { c.Retention.Ledger = -1 }},
		{"fraud.caps.sends[1].count", func(c *config.Config) { c.Fraud.Caps.Sends[1].Count = 0 }},
		{"fraud.caps.sends[2].count", func(c *config.Config) { c.Fraud.Caps.Sends[2].Count = 1001 }},
		{"fraud.caps.account_sends[0].within", func(c *config.Config) { c.Fraud.Caps.AccountSends[0].Within = time.Second - 1 }},
		{"fraud.caps.failed_checks[0].within", func(c *config.Config) { c.Fraud.Caps.FailedChecks[0].Within = 721 * time.Hour }},
		{"fraud.caps.account_failed_checks[0].count", func(c *config.Config) { c.Fraud.Caps.AccountFailedChecks[0].Count = -1 }},
		{"fraud.caps.streak", func(c *config.Config) { c.Fraud.Caps.Streak = -1 }},
		{"fraud.caps.lock", func(c *config.Config) { c.Fraud.Caps.Lock = 0 }},
		{"fraud.remember", func(c *config.Config) { c.Fraud.Remember = 24*time.Hour - 1 }},
		{"fraud.remember", func(c *config.Config) {
			c.Fraud.Caps.FailedChecks[0].Within = 720 * time.Hour
			c.Fraud.Remember = 719 * time.Hour
		}},
		{"tts.timeout", func(c *config.Config) { c.TTS.Timeout = 11 * time.Second }},
		{"tts.processes", func(c *config.Config) { c.TTS.Processes = -1 }},
		{"tts.memory_mb", func(c *config.Config) { c.TTS.MemoryMB = -1 }},
		{"database", func(c *config.Config) { c.Database = "/var/lib/countersign.db" }},
		{"database", func(c *config.Config) { c.Database = "sqlite:" }},
		{"database", func(c *config.Config) { c.Database = "mysql://localhost/countersign" }},
		{"database", func(c *config.Config) { c.Database = "postgres:countersign" }},
		{"key_file", func(c *config.Config) { c.KeyFile = "" }},
		{"tls.cert", func(c *config.Config) { c.TLS.Key = "key.pem" }},
		{"tls.key", func(c *config.Config) { c.TLS.Cert = "cert.pem" }},
		{"trusted_proxies[1]", func(c *config.Config) { c.TrustedProxies = []string{"::1", "proxy.example"} }},
		{"trusted_proxies[0]", func(c *config.Config) { c.TrustedProxies = []string{"10.0.0.0/33"} }},
		{"trusted_proxies[0]", func(c *config.Config) { c.TrustedProxies = []string{"fe80::1%eth0"} }},
		{"log.level", func(c *config.Config) { c.Log.Level = "trace" }},
		{"log.level", func(c *config.Config) { c.Log.Level = "" }},
		{"log.format", func(c *config.Config) { c.Log.Format = "xml" }},
		{"limits.requests_per_second", func(c *config.Config) { c.Limits.RequestsPerSecond = 0 }},
		{"limits.body_bytes", func(c *config.Config) { c.Limits.BodyBytes = -1 }},
		{"limits.body_bytes", func(c *config.Config) { c.Limits.BodyBytes = 1023 }},
		{"limits.header_timeout", func(c *config.Config) { c.Limits.HeaderTimeout = time.Millisecond }},
		{"limits.header_bytes", func(c *config.Config) { c.Limits.HeaderBytes = 1023 }},
		{"limits.connections", func(c *config.Config) { c.Limits.Connections = -1 }},
		{"limits.connections_per_address", func(c *config.Config) { c.Limits.ConnectionsPerAddress = -1 }},
		{"limits.failed_logins_per_minute", func(c *config.Config) { c.Limits.FailedLoginsPerMinute = -1 }},
		{"limits.header_timeout", func(c *config.Config) { c.Limits.HeaderTimeout = 0 }},
		{"limits.read_timeout", func(c *config.Config) { c.Limits.ReadTimeout = 4 * time.Second }},
		{"limits.write_timeout", func(c *config.Config) { c.Limits.WriteTimeout = 11 * time.Second }},
		{"limits.idle_timeout", func(c *config.Config) { c.Limits.IdleTimeout = 2 * time.Hour }},
		{"limits.failed_login_delay", func(c *config.Config) { c.Limits.FailedLoginDelay = 11 * time.Second }},
		{"limits.denied_brands[1]", func(c *config.Config) { c.Limits.DeniedBrands = []string{"acme", "-"} }},
		{"v1.platform_name", func(c *config.Config) { c.V1.PlatformName = "" }},
		{"v1.wrong_code_text", func(c *config.Config) { c.V1.WrongCodeText = "" }},
		{"v1.too_many_codes_text", func(c *config.Config) { c.V1.TooManyCodesText = "" }},
		{"billing.currency", func(c *config.Config) { c.Billing.Currency = "usd" }},
		{"billing.charge", func(c *config.Config) { c.Billing.Charge = "never" }},
		{"billing.low_balance", func(c *config.Config) { c.Billing.LowBalance = "-1" }},
		{"billing.low_balance", func(c *config.Config) { c.Billing.LowBalance = "ten" }},
		{"carriers[1].name", func(c *config.Config) { c.Carriers = append(c.Carriers, c.Carriers[0]) }},
		{"carriers[1].name", func(c *config.Config) { c.Carriers = append(c.Carriers, config.Carrier{Type: "virtual"}) }},
		{"carriers[0].type", func(c *config.Config) { c.Carriers[0].Type = "SMPP" }},
		{"carriers[0].name", func(c *config.Config) {
			c.Carriers = []config.Carrier{{Name: "a/b", Type: "virtual"}}
			c.Routes = nil
		}},
		{"carriers[1].smpp.addresses", smppCarrier(func(s *config.SMPP) { s.Addresses = nil })},
		{"carriers[1].smpp.addresses[1]", smppCarrier(func(s *config.SMPP) { s.Addresses = append(s.Addresses, "smsc.example") })},
		{"carriers[1].smpp.message_id_scope", smppCarrier(func(s *config.SMPP) { s.MessageIDScope = "host" })},
		{"carriers[1].smpp.tlvs[0].tag", smppCarrier(func(s *config.SMPP) { s.TLVs = []config.TLV{{Tag: "0x10000", Value: "x"}} })},
		{"carriers[1].smpp.tlvs[0].tag", smppCarrier(func(s *config.SMPP) { s.TLVs = []config.TLV{{Value: "x"}} })},
		{"carriers[1].smpp.tlvs[0].type", smppCarrier(func(s *config.SMPP) { s.TLVs = []config.TLV{{Tag: "5120", Type: "int", Value: "x"}} })},
		{"carriers[1].smpp.tls", smppCarrier(func(s *config.SMPP) { s.TLSCA = "ca.pem" })},
		{"carriers[1].smpp.password_file", smppCarrier(func(s *config.SMPP) { s.Password, s.PasswordFile = "a", "b" })},
		{"carriers[1].smpp.mode", smppCarrier(func(s *config.SMPP) { s.Mode = "receiver" })},
		{"carriers[1].smpp.alphabet", smppCarrier(func(s *config.SMPP) { s.Alphabet = "GSM" })},
		{"carriers[1].smpp.concat", smppCarrier(func(s *config.SMPP) { s.Concat = "payload" })},
		{"carriers[1].smpp.validity", smppCarrier(func(s *config.SMPP) { s.Validity = "5m" })},
		{"carriers[1].smpp.message_id", smppCarrier(func(s *config.SMPP) { s.MessageID = "hex" })},
		{"carriers[1].smpp.binds", smppCarrier(func(s *config.SMPP) { s.Binds = 101 })},
		{"carriers[1].smpp.window", smppCarrier(func(s *config.SMPP) { s.Window = 1001 })},
		{"carriers[1].smpp.rate", smppCarrier(func(s *config.SMPP) { s.Rate = -1 })},
		{"carriers[1].smpp.response_timeout", smppCarrier(func(s *config.SMPP) { s.ResponseTimeout = -1 })},
		{"carriers[1].smpp.senders[0].country", smppCarrier(func(s *config.SMPP) { s.Senders = []config.Sender{{Country: "us"}} })},
		{"carriers[1].smpp.statuses.0x0B", smppCarrier(func(s *config.SMPP) { s.Statuses = map[string]string{"0x0B": "retry"} })},
		{"carriers[1].smpp.statuses.0x0B", smppCarrier(func(s *config.SMPP) { s.Statuses = map[string]string{"0x0B": ""} })},
		{"carriers[1].smpp.statuses.0", smppCarrier(func(s *config.SMPP) { s.Statuses = map[string]string{"0": "final"} })},
		{"carriers[1].smpp.statuses.B", smppCarrier(func(s *config.SMPP) { s.Statuses = map[string]string{"B": "final"} })},
		{"carriers[1].smpp.statuses.0x100000000", smppCarrier(func(s *config.SMPP) { s.Statuses = map[string]string{"0x100000000": "final"} })},
		{"carriers[1].smpp.statuses.11", smppCarrier(func(s *config.SMPP) { s.Statuses = map[string]string{"0x0B": "final", "11": "temporary"} })},
		{"carriers[1].smpp.source_ton", smppCarrier(func(s *config.SMPP) { s.SourceTON = "256" })},
		{"carriers[1].smpp.destination_npi", smppCarrier(func(s *config.SMPP) { s.DestinationNPI = "E164" })},
		{"carriers[1].http.url", httpCarrier(func(h *config.HTTP) { h.URL = "" })},
		{"carriers[1].http.url", httpCarrier(func(h *config.HTTP) { h.URL = "gateway.example/send" })},
		{"carriers[1].http.basic_password_file", httpCarrier(func(h *config.HTTP) { h.BasicPassword, h.BasicPasswordFile = "a", "b" })},
		{"carriers[1].http.timeout", httpCarrier(func(h *config.HTTP) { h.Timeout = time.Hour })},
		{"carriers[1].http.concurrency", httpCarrier(func(h *config.HTTP) { h.Concurrency = -1 })},
		{"carriers[1].http.rate", httpCarrier(func(h *config.HTTP) { h.Rate = -1 })},
		{"routes[0].country", func(c *config.Config) { c.Routes[0].Country = "gb" }},
		{"routes[0].network", func(c *config.Config) { c.Routes[0].Network = "23415" }},
		{"routes[0].carriers[1]", func(c *config.Config) { c.Routes[0].Carriers = []string{"phone", "phone"} }},
		{"routes[0].weights", func(c *config.Config) { c.Routes[0].Weights = []int{1, 2} }},
		{"routes[0].weights", func(c *config.Config) { c.Routes[0].Weights = []int{0} }},
		{"routes[0].weights[0]", func(c *config.Config) { c.Routes[0].Weights = []int{-1} }},
		{"networks.known[0].name", func(c *config.Config) { c.Networks.Known = []config.Network{{}} }},
		{"networks.known[1].name", func(c *config.Config) { c.Networks.Known = []config.Network{{Name: "a"}, {Name: "a"}} }},
		{"networks.known[0].prefixes[0]", func(c *config.Config) {
			c.Networks.Known = []config.Network{{Name: "a", Prefixes: []string{"+44"}}}
		}},
		{"carriers[0].record", func(c *config.Config) { c.Carriers[0].Record = "record" }},
		{"carriers[0].refuse[1]", func(c *config.Config) { c.Carriers[0].Refuse = []verify.Channel{"sms", "fax"} }},
		{"routes[0].prefix", func(c *config.Config) { c.Routes[0].Prefix = "+44" }},
		{"routes[0].prefix", func(c *config.Config) { c.Routes[0].Prefix = "0044" }},
		{"routes[0].channel", func(c *config.Config) { c.Routes[0].Channel = "SMS" }},
		{"routes[0].carriers[0]", func(c *config.Config) { c.Routes[0].Carriers = []string{"telephone"} }},
		{"routes[1]", func(c *config.Config) { c.Routes = append(c.Routes, config.Route{}) }},
		{"networks.unsupported[0]", func(c *config.Config) { c.Networks.Unsupported = []string{""} }},
		{"networks.unsupported[1]", func(c *config.Config) { c.Networks.Unsupported = []string{"44", "4x"} }},
	}
	for _, tt := range tests {
		t.Run(tt.key, func(t *testing.T) {
			t.Parallel()
			c := config.Default()
			tt.change(&c)
			err := c.Validate()
			if err == nil {
				t.Fatal("accepted")
			}
			if got, want := err.Error(), tt.key+": "; !strings.HasPrefix(got, want) || strings.Contains(got, "\n") {
				t.Errorf("Validate = %q, want one problem with the key %s", got, tt.key)
			}
		})
	}
}

// TestValidateSIP: the settings of a trunk are checked; few are required.
func TestValidateSIP(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		key    string // "" if valid
		change func(*config.SIP)
	}{
		{"", func(*config.SIP) {}},
		{"", func(s *config.SIP) { s.RTPPorts, s.Advertise, s.Listen = "2000-2001", "203.0.113.5", ":5060" }},
		{"", func(s *config.SIP) { s.Transport, s.TLSServerName = "tls", "trunk.example" }},
		{"host", func(s *config.SIP) { s.Host = "" }},
		{"transport", func(s *config.SIP) { s.Transport = "sctp" }},
		{"transport", func(s *config.SIP) { s.TLSCA = "ca.pem" }},
		{"password_file", func(s *config.SIP) { s.Password, s.PasswordFile = "a", "b" }},
		{"user", func(s *config.SIP) { s.Register, s.User = true, "" }},
		{"listen", func(s *config.SIP) { s.Listen = "5060" }},
		{"advertise", func(s *config.SIP) { s.Advertise = "host.example" }},
		{"advertise", func(s *config.SIP) { s.Advertise = "0.0.0.0" }},
		{"", func(s *config.SIP) { s.AllowFrom = []string{"203.0.113.5", "198.51.100.0/24", "2001:db8::/48"} }},
		{"allow_from[1]", func(s *config.SIP) { s.AllowFrom = []string{"203.0.113.5", "sip.example"} }},
		{"allow_from[0]", func(s *config.SIP) { s.AllowFrom = []string{"203.0.113.0/33"} }},
		{"allow_from[0]", func(s *config.SIP) { s.AllowFrom = []string{"203.0.113.5:5060"} }},
		{"allow_from[0]", func(s *config.SIP) { s.AllowFrom = []string{""} }},
		{"", func(s *config.SIP) { s.RTPLatch = "any" }},
		{"rtp_latch", func(s *config.SIP) { s.RTPLatch = "yes" }},
		{"rtp_ports", func(s *config.SIP) { s.RTPPorts = "2000" }},
		{"rtp_ports", func(s *config.SIP) { s.RTPPorts = "80-90" }},
		{"rtp_ports", func(s *config.SIP) { s.RTPPorts = "3000-2000" }},
		{"rtp_ports", func(s *config.SIP) { s.RTPPorts = "3000-70000" }},
		{"caller_ids[0].country", func(s *config.SIP) { s.CallerIDs = []config.CallerID{{Country: "gb", Number: "442071838750"}} }},
		{"caller_ids[0].number", func(s *config.SIP) { s.CallerIDs = []config.CallerID{{Number: "+44\r\nX: y"}} }},
		{"countries[1]", func(s *config.SIP) { s.Countries = []string{"GB", ""} }},
		{"countries[0]", func(s *config.SIP) { s.Countries = []string{"UKR"} }},
		{"allow_prefixes[0]", func(s *config.SIP) { s.AllowPrefixes = []string{""} }},
		{"allow_prefixes[0]", func(s *config.SIP) { s.AllowPrefixes = []string{"+881"} }},
		{"max_calls", func(s *config.SIP) { s.MaxCalls = -1 }},
		{"calls_per_second", func(s *config.SIP) { s.CallsPerSecond = 100_000 }},
		{"first_response", func(s *config.SIP) { s.FirstResponse = -time.Second }},
		{"ring_timeout", func(s *config.SIP) { s.RingTimeout = time.Hour }},
		{"max_duration", func(s *config.SIP) { s.MaxDuration = 61 * time.Second }},
		{"register_every", func(s *config.SIP) { s.RegisterEvery = 25 * time.Hour }},
	} {
		t.Run(tt.key, func(t *testing.T) {
			t.Parallel()
			c := config.Default()
			s := config.SIP{Host: "trunk.example", User: "acme"}
			tt.change(&s)
			c.Carriers = append(c.Carriers, config.Carrier{Name: "voice", Type: config.CarrierSIP, SIP: s})
			err := c.Validate()
			switch want := "carriers[1].sip." + tt.key + ": "; {
			case tt.key == "" && err != nil:
				t.Errorf("Validate = %v", err)
			case tt.key != "" && (err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n")):
				t.Errorf("Validate = %v, want one problem with the key %s", err, want)
			}
		})
	}
}

// smppCarrier adds a valid carrier, edited by change.
func smppCarrier(change func(*config.SMPP)) func(*config.Config) {
	return func(c *config.Config) {
		s := config.SMPP{Addresses: []string{"smsc.example:2775"}, SystemID: "acme", Password: "secret"}
		change(&s)
		c.Carriers = append(c.Carriers, config.Carrier{Name: "smsc", Type: config.CarrierSMPP, SMPP: s})
	}
}

func httpCarrier(change func(*config.HTTP)) func(*config.Config) {
	return func(c *config.Config) {
		h := config.HTTP{URL: "https://gateway.example/send"}
		change(&h)
		c.Carriers = append(c.Carriers, config.Carrier{Name: "gateway", Type: config.CarrierHTTPSMS, HTTP: h})
	}
}

func TestValidateReportsEverything(t *testing.T) {
	t.Parallel()
	err := config.Config{}.Validate()
	if err == nil {
		t.Fatal("accepted the empty configuration")
	}
	for _, key := range []string{
		"listen", "ops_listen", "database", "key_file", "log.level", "log.format", "limits.requests_per_second",
		"limits.body_bytes", "v1.platform_name", "v1.wrong_code_text", "v1.too_many_codes_text", "billing.currency", "billing.charge", "billing.low_balance",
	} {
		if !strings.Contains("\n"+err.Error(), "\n"+key+": ") {
			t.Errorf("no problem with the key %s in:\n%v", key, err)
		}
	}
}

func TestValidateKeepsDatabasePasswordsOut(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.Database = "mysql://user:hunter2@localhost/countersign"
	err := c.Validate()
	if err == nil || !strings.Contains(err.Error(), "only sqlite and postgres") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Validate = %v, want the supported schemes, without the password", err)
	}
}

func ownVoices(voices ...config.Voice) func(*config.Config) {
	return func(c *config.Config) { c.TTS.Command, c.TTS.Voices = []string{"piper"}, voices }
}
