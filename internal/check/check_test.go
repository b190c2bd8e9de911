package check_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/check"
	"countersign/internal/config"
	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// of returns the findings of one check.
func of(found []check.Finding, name string) []check.Finding {
	return slices.DeleteFunc(found, func(f check.Finding) bool { return f.Check != name })
}

// TestClockSkew compares the clock of a real PostgreSQL with a clock that differs.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.Database = pgtest.Prepared(t, "migrated", store.Migrate)
	for name, tt := range map[string]struct {
		skew     time.Duration
		severity check.Severity
		problem  string
	}{
		"none":       {0, "", ""},
		"noticeable": {3 * time.Second, check.Warning, "ahead of the clock of the database"},
		"behind":     {-3 * time.Second, check.Warning, "behind the clock of the database"},
		"too large":  {-time.Hour, check.Error, "a server is not ready beyond 5s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := of(check.Run(t.Context(), check.Options{
				Config: cfg, Now: func() time.Time { return time.Now().Add(tt.skew) },
			}), "clock skew")
			switch {
			case tt.severity == "" && len(found) == 0:
			case len(found) != 1 || found[0].Severity != tt.severity || found[0].Setting != "clock.max_skew" || !strings.Contains(found[0].Problem, tt.problem):
				t.Errorf("found %v, want a %s with %q", found, tt.severity, tt.problem)
			}
		})
	}
}

// TestSchema finds a database with the schema of another program version.
func TestSchema(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change   string
		severity check.Severity
		remedy   string
	}{
		"older":       {`DELETE FROM goose_db_version WHERE version_id > 0`, check.Warning, "countersign migrate up"},
		"newer":       {`INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, TRUE)`, check.Error, "run the release that changed it"},
		"development": {`ALTER TABLE guards DROP COLUMN running`, check.Error, "name a new database"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config.Default()
			cfg.Database = pgtest.Prepared(t, "migrated", store.Migrate)
			pgtest.Exec(t, cfg.Database, tt.change)
			found := of(check.Run(t.Context(), check.Options{Config: cfg, Now: time.Now}), "database")
			if len(found) != 1 || found[0].Severity != tt.severity || !strings.Contains(found[0].Remedy, tt.remedy) || !strings.Contains(found[0].Problem, "schema version") {
				t.Errorf("found %v, want a %s with the remedy %q", found, tt.severity, tt.remedy)
			}
		})
	}
}

// TestInvalid splits the errors of a configuration into settings and problems.
func TestInvalid(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]string{
		"listen: must be host:port":                                           {"listen", "must be host:port"},
		"config file x.yaml:\nlimits.body_byte: unknown key":                  {"limits.body_byte", "unknown key"},
		"x.yaml:31: carriers[2].smpp.sytem_id: unknown setting":               {"carriers[2].smpp.sytem_id", "unknown setting (x.yaml:31)"},
		"config file: open x.yaml: no such file or directory":                 {"--config", "config file: open x.yaml: no such file or directory"},
		"environment:\nCOUNTERSIGN_LISTENS: unknown variable":                 {"COUNTERSIGN_LISTENS", "unknown variable"},
		"config file x.yaml:\nyaml: line 3: did not find expected ',' or '}'": {"--config", "yaml: line 3: did not find expected ',' or '}'"},
	} {
		found := check.Invalid(errors.New(text))
		if len(found) != 1 || found[0].Setting != want[0] || found[0].Problem != want[1] || found[0].Severity != check.Error {
			t.Errorf("%q: %v, want setting and problem %q", text, found, want)
		}
	}
}

// TestPublicURL calls the receipt path at the public URL as a gateway would.
func TestPublicURL(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{
		http.StatusUnauthorized:       "", // response without the secret
		http.StatusNotFound:           "answers 404 Not Found",
		http.StatusBadGateway:         "answers 502 Bad Gateway",
		http.StatusMisdirectedRequest: "answers 421 Misdirected Request",
		http.StatusFound:              "answers 302 Found",
	} {
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/carriers/g/receipts" {
				status = http.StatusTeapot
			}
			w.WriteHeader(status)
		}))
		cfg := config.Default()
		cfg.Database = "sqlite:" + t.TempDir() + "/countersign.db"
		cfg.Server.PublicURL = proxy.URL
		cfg.Carriers = []config.Carrier{{Name: "g", Type: config.CarrierHTTPSMS}}
		cfg.Carriers[0].HTTP.URL = proxy.URL
		cfg.Carriers[0].HTTP.Receipts.Secret = "0123456789abcdef"
		found := of(check.Run(t.Context(), check.Options{Config: cfg, Now: time.Now, Connect: true}), "connect")
		switch {
		case want == "" && len(found) == 0:
		case len(found) != 1 || found[0].Setting != "server.public_url" || found[0].Severity != check.Warning || !strings.Contains(found[0].Problem, want):
			t.Errorf("status %d: found %v, want %q", status, found, want)
		}
		proxy.Close()
	}
}

// TestRoutes checks the table of routes that lack a channel.
func TestRoutes(t *testing.T) {
	t.Parallel()
	carriers := []config.Carrier{
		{Name: "sms", Type: config.CarrierSMPP}, {Name: "gw", Type: config.CarrierHTTPSMS}, {Name: "voice", Type: config.CarrierSIP},
		{Name: "mute", Type: config.CarrierVirtual, Refuse: []verify.Channel{verify.TTS}}, {Name: "sink", Type: config.CarrierSink},
	}
	to := func(carriers ...string) config.Route { return config.Route{Carriers: carriers} }
	country := func(r config.Route, code string) config.Route { r.Country = code; return r }
	prefix := func(r config.Route, digits string) config.Route { r.Prefix = digits; return r }
	channel := func(r config.Route, c verify.Channel) config.Route { r.Channel = c; return r }
	account := func(r config.Route, key string) config.Route { r.Account = key; return r }
	weighted := func(r config.Route, weights ...int) config.Route { r.Weights = weights; return r }
	for name, tt := range map[string]struct {
		routes []config.Route
		want   []string // settings
	}{
		"both in one":           {[]config.Route{to("sms", "voice")}, nil},
		"by channel":            {[]config.Route{channel(to("gw"), verify.SMS), channel(to("voice"), verify.TTS)}, nil},
		"sink":                  {[]config.Route{to("sink")}, nil},
		"SMS only":              {[]config.Route{to("sms", "gw")}, []string{"routes[0]"}},
		"calls only":            {[]config.Route{to("voice")}, []string{"routes[0]"}},
		"virtual without calls": {[]config.Route{to("mute")}, []string{"routes[0]"}},
		"calls of weight 0":     {[]config.Route{weighted(to("sms", "voice"), 1, 0)}, []string{"routes[0]"}},
		"one country without":   {[]config.Route{to("sms"), channel(country(to("voice"), "GB"), verify.TTS)}, nil}, // a part is enough
		"another country":       {[]config.Route{country(to("sms"), "DE"), channel(country(to("voice"), "GB"), verify.TTS)}, []string{"routes[0]", "routes[1]"}},
		"longer prefix":         {[]config.Route{prefix(to("sms"), "4477"), prefix(channel(to("voice"), verify.TTS), "44")}, nil},
		"another prefix":        {[]config.Route{prefix(to("sms"), "49"), prefix(channel(to("voice"), verify.TTS), "44")}, []string{"routes[0]", "routes[1]"}},
		"of one account":        {[]config.Route{to("sms", "voice"), account(channel(to("gw"), verify.SMS), "a")}, nil},
		"not routed":            {[]config.Route{to("sms", "voice"), prefix(to(), "979")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config.Default()
			cfg.Database, cfg.Carriers, cfg.Routes = "sqlite:"+t.TempDir()+"/countersign.db", carriers, tt.routes
			var got []string
			for _, f := range of(check.OnDatabase(t.Context(), check.Options{Config: cfg, Now: time.Now}), "channels without a route") {
				got = append(got, f.Setting)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}

// TestPhoneExposed checks the addresses and names that expose the virtual phone.
func TestPhoneExposed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		listen  string
		proxies []string
		names   []string
		want    bool
	}{
		"loopback":       {"127.0.0.1:8080", nil, nil, false},
		"IPv6 loopback":  {"[::1]:8080", nil, nil, false},
		"localhost":      {"localhost:8080", nil, []string{"localhost", "127.0.0.1", "::1", "phone.localhost", "LOCALHOST."}, false},
		"every address":  {"0.0.0.0:8080", nil, nil, true},
		"no host":        {":8080", nil, nil, true},
		"every IPv6":     {"[::]:8080", nil, nil, true},
		"private":        {"10.0.0.5:8080", nil, nil, true},
		"name":           {"verify.example.com:8080", nil, nil, true},
		"proxy":          {"127.0.0.1:8080", []string{"127.0.0.1"}, nil, true},
		"public name":    {"127.0.0.1:8080", nil, []string{"verify.example.com"}, true},
		"wildcard":       {"127.0.0.1:8080", nil, []string{"*.example.com"}, true},
		"public address": {"127.0.0.1:8080", nil, []string{"192.0.2.7"}, true},
	} {
		cfg := config.Default()
		cfg.Listen, cfg.TrustedProxies, cfg.Server.Names = tt.listen, tt.proxies, tt.names
		found := check.BeforeStart(context.Background(), check.Options{Config: cfg, Now: time.Now})
		if got := len(of(found, "virtual phone")) > 0; got != tt.want {
			t.Errorf("%s: exposed: %t, want %t", name, got, tt.want)
		}
		cfg.Carriers[0].Virtual.Public = true
		if found := of(check.BeforeStart(context.Background(), check.Options{Config: cfg, Now: time.Now}), "virtual phone"); len(found) > 0 {
			t.Errorf("%s: public: %v", name, found)
		}
	}
}

// TestLanguages reports the defect of a file of texts, and an unknown variant of digits.
func TestLanguages(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "eu-es.json")
	if err := os.WriteFile(file, []byte("{\n  \"minutes\": {\"one\": \"1\", \"other\": \"${pin_expiry}\"},\n  \"verification\": {\"sms\": \"${brand}\"}\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := filepath.Join(t.TempDir(), "eu-fr.json")
	if err := os.WriteFile(good, []byte(`{"same_as": "fr-fr"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, setting, problem string
		change                 func(*config.Config)
	}{
		{"nothing", "", "", func(*config.Config) {}},
		{"variants", "", "", func(c *config.Config) { c.TTS.Digits = map[string]string{"pt-br": "meia", "de-de": "zwo"} }},
		{"missing file", "locale_files", "no such file", func(c *config.Config) { c.LocaleFiles = []string{"/nonexistent/eu-es.json"} }},
		{"defect", "locale_files", "eu-es.json:3: verification SMS: the PIN is missing", func(c *config.Config) { c.LocaleFiles = []string{file} }},
		{"two files", "locale_files", "remove one of them", func(c *config.Config) { c.LocaleFiles = []string{good, good} }},
		{"locale of a file", "", "", func(c *config.Config) {
			c.LocaleFiles, c.LocaleOfCountry = []string{good}, map[string]string{"ES": "eu-fr"}
		}},
		{"unknown locale", "locale_of_country", `ES: "eu-it" is not a locale`, func(c *config.Config) {
			c.LocaleOfCountry = map[string]string{"ES": "eu-it"}
		}},
		{"unknown variant", "tts.digits", `pt-br: unknown variant "sete"; use meia`, func(c *config.Config) { c.TTS.Digits = map[string]string{"pt-br": "sete"} }},
		{"no variants", "tts.digits", `"en-gb" has no variants`, func(c *config.Config) { c.TTS.Digits = map[string]string{"en-gb": "oh"} }},
	} {
		cfg := config.Default()
		cfg.Database = "sqlite:" + filepath.Join(t.TempDir(), "countersign.db")
		tt.change(&cfg)
		found := of(check.Run(t.Context(), check.Options{Config: cfg, Now: time.Now}), "languages")
		switch {
		case tt.setting == "" && len(found) == 0:
		case len(found) != 1 || found[0].Severity != check.Error || found[0].Setting != tt.setting || !strings.Contains(found[0].Problem, tt.problem):
			t.Errorf("%s: found %v, want %s with %q", tt.name, found, tt.setting, tt.problem)
		}
	}
}
