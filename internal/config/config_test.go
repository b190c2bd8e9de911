package config_test

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/config"
	"countersign/internal/verify"
)

func TestDefaultIsValid(t *testing.T) {
	t.Parallel()
	if err := config.Default().Validate(); err != nil {
		t.Error(err)
	}
}

func TestExampleIsTheDefault(t *testing.T) {
	t.Parallel()
	got, err := load("example.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := config.Default(); !reflect.DeepEqual(got, want) {
		t.Errorf("example.yaml contains\n%+v\nbut the defaults are\n%+v", got, want)
	}
	// Equality alone would not detect a setting that the example lacks.
	text, err := os.ReadFile("example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range yamlNames(reflect.TypeFor[config.Config]()) {
		if !strings.Contains(string(text), name+":") {
			t.Errorf("example.yaml does not mention %s", name)
		}
	}
}

// load returns the configuration of config.Read without the places.
func load(path string, environ []string) (config.Config, error) {
	c, _, err := config.Read(path, environ)
	return c, err
}

func yamlNames(t reflect.Type) []string {
	for t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var names []string
	for i := range t.NumField() {
		names = append(names, t.Field(i).Tag.Get("yaml"))
		names = append(names, yamlNames(t.Field(i).Type)...)
	}
	return names
}

func TestLoad(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		file string
		env  []string
		want func(*config.Config) // changes to the defaults
	}{
		{name: "nothing", want: func(*config.Config) {}},
		{
			name: "service links of Kubernetes",
			env: []string{
				"COUNTERSIGN_SERVICE_HOST=10.0.0.1", "COUNTERSIGN_SERVICE_PORT_HTTP=80", "COUNTERSIGN_PORT=tcp://10.0.0.1:80",
				"COUNTERSIGN_PORT_80_TCP_ADDR=10.0.0.1",
			},
			want: func(*config.Config) {},
		},
		{name: "only comments", file: "# nothing\n", want: func(*config.Config) {}},
		{name: "keys without a value", file: "listen:\nlog:\n  level:\n", want: func(*config.Config) {}},
		{
			name: "file",
			file: `
listen: :443
tls: {cert: /etc/cert.pem, key: /etc/key.pem}
log: {level: debug}
limits:
  requests_per_second: 5
`,
			want: func(c *config.Config) {
				c.Listen = ":443"
				c.TLS = config.TLS{Cert: "/etc/cert.pem", Key: "/etc/key.pem"}
				c.Log.Level = "debug"
				c.Limits.RequestsPerSecond = 5
			},
		},
		{
			name: "NO is Norway",
			file: "locale_of_country: {NO: nb-no, BE: fr-fr}\n",
			env:  []string{"COUNTERSIGN_TTS_DIGITS={pt-br: meia}", "COUNTERSIGN_LOCALE_FILES=a/eu-es.json, b/de-at.json"},
			want: func(c *config.Config) {
				c.LocaleOfCountry = map[string]string{"NO": "nb-no", "BE": "fr-fr"}
				c.LocaleFiles = []string{"a/eu-es.json", "b/de-at.json"}
				c.TTS.Digits = map[string]string{"pt-br": "meia"}
			},
		},
		{
			name: "lists replace the defaults",
			file: `
carriers:
  - {name: a, type: virtual, refuse: [sms]}
  - {name: b, type: virtual}
routes: []
`,
			want: func(c *config.Config) {
				c.Carriers = []config.Carrier{
					{Name: "a", Type: config.CarrierVirtual, Refuse: []verify.Channel{verify.SMS}},
					{Name: "b", Type: config.CarrierVirtual},
				}
				c.Routes = nil
			},
		},
		{
			name: "caps",
			file: "fraud: {caps: {sends: [], account_sends: [{count: 3, within: 1h}]}}\n",
			env:  []string{"COUNTERSIGN_FRAUD_CAPS_FAILED_CHECKS=[{count: 9, within: 90m}]", "COUNTERSIGN_FRAUD_CAPS_STREAK=50"},
			want: func(c *config.Config) {
				c.Fraud.Caps.Sends = nil
				c.Fraud.Caps.AccountSends = []config.Cap{{Count: 3, Within: time.Hour}}
				c.Fraud.Caps.FailedChecks = []config.Cap{{Count: 9, Within: 90 * time.Minute}}
				c.Fraud.Caps.Streak = 50
			},
		},
		{
			name: "numbers stay text",
			file: "networks: {unsupported: [044, +44, 8810, 1e3]}\nv1: {platform_name: true}\n",
			want: func(c *config.Config) {
				c.Networks.Unsupported = []string{"044", "+44", "8810", "1e3"}
				c.V1.PlatformName = "true"
			},
		},
		{
			name: "keys of the operator's own",
			file: "carriers: [{name: a, type: smpp, smpp: {statuses: {0x0B: temporary, \"ESME_RSYSERR\": final, \"11\": ~}}}]\n",
			want: func(c *config.Config) {
				c.Carriers = []config.Carrier{{Name: "a", Type: config.CarrierSMPP, SMPP: config.SMPP{
					Statuses: map[string]string{"0x0B": "temporary", "ESME_RSYSERR": "final", "11": ""},
				}}}
			},
		},
		{
			name: "anchors",
			file: "tls: {cert: &both /etc/both.pem, key: *both}\n",
			want: func(c *config.Config) { c.TLS = config.TLS{Cert: "/etc/both.pem", Key: "/etc/both.pem"} },
		},
		{
			name: "environment over file",
			file: "limits: {requests_per_second: 5, body_bytes: 2000}\ntrusted_proxies: [10.0.0.1]\n",
			env: []string{
				"COUNTERSIGN_LIMITS_REQUESTS_PER_SECOND=50",
				"COUNTERSIGN_OPS_LISTEN=:9000",
				"COUNTERSIGN_V1_WRONG_CODE_TEXT=Wrong: no = match, #1",
				"COUNTERSIGN_TRUSTED_PROXIES=10.0.0.0/8, ::1",
				`COUNTERSIGN_ROUTES=[{prefix: 44, channel: tts, carriers: [phone]}]`,
				"COUNTERSIGN_TTS_ESPEAK=",
				"PATH=/bin", "COUNTERSIGNATURE=x", "COUNTERSIGN_BROKEN_ENTRY",
			},
			want: func(c *config.Config) {
				c.Limits.RequestsPerSecond, c.Limits.BodyBytes = 50, 2000
				c.OpsListen = ":9000"
				c.V1.WrongCodeText = "Wrong: no = match, #1"
				c.TrustedProxies = []string{"10.0.0.0/8", "::1"}
				c.Routes = []config.Route{{Prefix: "44", Channel: verify.TTS, Carriers: []string{"phone"}}}
			},
		},
		{
			name: "empty lists from the environment",
			file: "trusted_proxies: [10.0.0.1]\n",
			env:  []string{"COUNTERSIGN_TRUSTED_PROXIES=", "COUNTERSIGN_CARRIERS=", "COUNTERSIGN_ROUTES=[]"},
			want: func(c *config.Config) { c.Carriers, c.Routes = nil, nil },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := config.Default()
			tt.want(&want)
			path := ""
			if tt.file != "" {
				path = write(t, tt.file)
			}
			got, err := load(path, tt.env)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("Load = %+v, %v\nwant   %+v", got, err, want)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		file string
		env  []string
		want []string // parts of the error
	}{
		{name: "unknown key", file: "lisen: :80", want: []string{"lisen: unknown setting"}},
		{name: "unknown key below", file: "limits: {per_second: 3}", want: []string{"limits.per_second: unknown setting"}},
		{name: "unknown key in a list", file: "routes: [{}, {via: a}]", want: []string{"routes[1].via: unknown setting"}},
		{name: "key given twice", file: "listen: :80\nlisten: :81", want: []string{"listen: given twice"}},
		{name: "list for a mapping", file: "carriers: [{smpp: {statuses: [0x0B]}}]", want: []string{"carriers[0].smpp.statuses: must be a mapping"}},
		{name: "own key given twice", file: "carriers: [{smpp: {statuses: {0x0B: final, 0x0B: bind}}}]", want: []string{"carriers[0].smpp.statuses.0x0B: given twice"}},
		{name: "list for a word", file: "carriers: [{smpp: {statuses: {0x0B: [final]}}}]", want: []string{"carriers[0].smpp.statuses.0x0B: must be text"}},
		{name: "word for a number", file: "limits: {body_bytes: many}", want: []string{`limits.body_bytes: must be a whole number, not "many"`}},
		{name: "fraction for a number", file: "limits: {body_bytes: 1.5}", want: []string{"limits.body_bytes: must be a whole number"}},
		{name: "bool for a number", file: "limits: {body_bytes: true}", want: []string{"limits.body_bytes: must be a whole number"}},
		{name: "list for text", file: "listen: [a]", want: []string{"listen: must be text"}},
		{name: "text for a list", file: "carriers: phone", want: []string{"carriers: must be a list"}},
		{name: "mapping in a list of words", file: "trusted_proxies: [{}]", want: []string{"trusted_proxies[0]: must be text"}},
		{name: "text for a mapping", file: "log: debug", want: []string{"log: must be a mapping"}},
		{name: "not a mapping at all", file: "- listen", want: []string{"not a mapping"}},
		{name: "not YAML", file: "listen: [", want: []string{"yaml: "}},
		{name: "two documents", file: "listen: :80\n---\nlisten: :81", want: []string{"more than one"}},
		{name: "second document broken", file: "listen: :80\n---\n[", want: []string{"yaml: "}},
		{name: "unknown variable", env: []string{"COUNTERSIGN_LISTENER=x"}, want: []string{"COUNTERSIGN_LISTENER: unknown variable"}},
		{name: "a likely slip", env: []string{"COUNTERSIGN_PORT=9999"}, want: []string{"COUNTERSIGN_PORT: unknown variable"}},
		{name: "variable of a group", env: []string{"COUNTERSIGN_TLS={}"}, want: []string{"COUNTERSIGN_TLS: unknown variable"}},
		{
			name: "variable without a number", env: []string{"COUNTERSIGN_LIMITS_BODY_BYTES="},
			want: []string{"COUNTERSIGN_LIMITS_BODY_BYTES: must be a whole number"},
		},
		{
			name: "variable that is not YAML", env: []string{"COUNTERSIGN_ROUTES=["},
			want: []string{"COUNTERSIGN_ROUTES: yaml: "},
		},
		{
			name: "unknown key in a variable", env: []string{"COUNTERSIGN_ROUTES=[{via: a}]"},
			want: []string{"COUNTERSIGN_ROUTES[0].via: unknown setting"},
		},
		{
			name: "all at once", file: "lisen: :80\nlimits: {body_bytes: many}", env: []string{"COUNTERSIGN_X=1", "COUNTERSIGN_Y=2"},
			want: []string{"lisen", "limits.body_bytes", "COUNTERSIGN_X", "COUNTERSIGN_Y"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := ""
			if tt.file != "" {
				path = write(t, tt.file)
			}
			got, err := load(path, tt.env)
			if err == nil {
				t.Fatalf("Load = %+v, want an error", got)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error does not contain %q:\n%v", want, err)
				}
			}
		})
	}
}

// TestLoadLocates: every problem of a file has its line, in the order of the file.
// Problems of variables follow. Mistyped settings, words and variables have suggestions.
func TestLoadLocates(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		file string
		env  []string
		want string // FILE is replaced by the path
	}{
		{
			name: "several, among them words that Validate refuses",
			file: "listen: :80\nlog:\n  levle: info\n  format: jsn\ncarriers:\n  - name: a\n    type: smpp\n    smpp:\n      sytem_id: acme\n      mode: transciever\nbody_bytes: 3\nzzz: 1\n",
			env:  []string{"COUNTERSIGN_LISTNE=:80", "COUNTERSIGN_BILLING_CURRENCY=UDS", "COUNTERSIGN_CONFG=x"},
			want: `FILE:3: log.levle: unknown setting; did you mean level?
FILE:4: log.format: must be json or text, not "jsn"; did you mean json?
FILE:9: carriers[0].smpp.sytem_id: unknown setting; did you mean system_id?
FILE:10: carriers[0].smpp.mode: must be transceiver, split or transmitter, not "transciever"; did you mean transceiver?
FILE:11: body_bytes: unknown setting; did you mean limits.body_bytes?
FILE:12: zzz: unknown setting
COUNTERSIGN_LISTNE: unknown variable; did you mean COUNTERSIGN_LISTEN?
COUNTERSIGN_CONFG: unknown variable; did you mean COUNTERSIGN_CONFIG?
COUNTERSIGN_BILLING_CURRENCY: billing.currency: must be USD or EUR, not "UDS"; did you mean USD?`,
		},
		{
			name: "settings that depend on others wait until all can be read",
			file: "carriers: [{name: a, typ: sink}]\nroutes: [{carriers: [b]}]\ntls: {cert: x}\n",
			want: "FILE:1: carriers[0].typ: unknown setting; did you mean type?",
		},
		{name: "given twice", file: "listen: :80\nlisten: :81\n", want: "FILE:2: listen: given twice"},
		{name: "wrong kind", file: "\nlimits:\n  body_bytes: many\n", want: `FILE:3: limits.body_bytes: must be a whole number, not "many"`},
		{name: "not YAML", file: "listen: :80\nlog: {level\nops_listen: :90\n", want: "FILE:2: yaml: did not find expected ',' or '}'"},
		{name: "not YAML for the scanner", file: "listen: :80\nlog: a: b\n", want: "FILE:2: yaml: mapping values are not allowed in this context"},
		{name: "two documents", file: "listen: :80\n---\nlisten: :81\n", want: "FILE:2: more than one YAML document"},
		{name: "no mapping", file: "- listen\n", want: "FILE: not a mapping of keys to values"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := write(t, tt.file)
			_, err := load(path, tt.env)
			if err == nil {
				t.Fatal("accepted")
			}
			if got := strings.ReplaceAll(err.Error(), path, "FILE"); got != tt.want {
				t.Errorf("Load reports\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// TestLocate: a problem found by Validate has the place of its setting, or of the mapping
// without it. A variable overrides the file, so the place is the variable.
func TestLocate(t *testing.T) {
	t.Parallel()
	path := write(t, `log: {level: inof}
listen: :80
carriers:
  - name: smsc
    type: smpp
    smpp:
      system_id: acme
routes:
  - carriers:
      - smcs
`)
	c, from, err := config.Read(path, []string{"COUNTERSIGN_LISTEN=nowhere", "COUNTERSIGN_CONFIG=" + path})
	if err != nil {
		t.Fatal(err)
	}
	c.KeyFile = "" // not set in any source
	want := `FILE:1: log.level: must be debug, info, warn or error, not "inof"; did you mean info?
FILE:6: carriers[0].smpp.addresses: must be given
FILE:10: routes[0].carriers[0]: there is no carrier "smcs"; did you mean smsc?
COUNTERSIGN_LISTEN: listen: must be host:port, not "nowhere"
key_file: must be given`
	if got := strings.ReplaceAll(from.Locate(c.Validate()).Error(), path, "FILE"); got != want {
		t.Errorf("Locate reports\n%s\nwant\n%s", got, want)
	}
	if err := from.Locate(nil); err != nil {
		t.Errorf("Locate(nil) = %v", err)
	}
	if err := from.Locate(fs.ErrExist); err != fs.ErrExist { //nolint:errorlint // it must be unchanged
		t.Errorf("Locate changed another error: %v", err)
	}
}

func TestLoadMissingFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "none.yaml")
	_, err := load(path, nil)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("error = %v, want fs.ErrNotExist with the path %s", err, path)
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "countersign.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAccessors(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.Database = "sqlite:data/file:name.db"
	c.TrustedProxies = []string{"10.1.2.3/8", "192.0.2.1", "2001:db8::/32", "::1"}
	c.Log.Level = "warn"

	if got, err := c.StoreDatabase(); err != nil || got != "data/file:name.db" {
		t.Errorf("StoreDatabase = %q, %v", got, err)
	}
	for _, url := range []string{"postgres://u:p%40@db.example:5433/name?sslmode=verify-full", "postgresql:///name?host=/run/postgresql"} {
		c.Database = url
		if got, err := c.StoreDatabase(); err != nil || got != url {
			t.Errorf("StoreDatabase = %q, %v, want %q", got, err, url)
		}
	}
	if got, err := c.Log.MinLevel(); err != nil || got != slog.LevelWarn {
		t.Errorf("MinLevel = %v, %v", got, err)
	}
	want := []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"),
		netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("::1/128"),
	}
	if got, err := c.ProxyPrefixes(); err != nil || !slices.Equal(got, want) {
		t.Errorf("ProxyPrefixes = %v, %v; want %v", got, err, want)
	}
	c.TrustedProxies = []string{"10.0.0.1", "nobody"}
	if _, err := c.ProxyPrefixes(); err == nil || !strings.Contains(err.Error(), "trusted_proxies[1]") {
		t.Errorf("ProxyPrefixes error = %v, want one for trusted_proxies[1]", err)
	}
}

// TestDurations: durations may have days and weeks, and errors list the formats.
func TestDurations(t *testing.T) {
	t.Parallel()
	c, err := load("", []string{"COUNTERSIGN_RETENTION_HISTORY=2w", "COUNTERSIGN_RETENTION_NUMBERS=1d12h"})
	if err != nil || c.Retention.History != 14*24*time.Hour || c.Retention.Numbers != 36*time.Hour {
		t.Errorf("got %+v (%v)", c.Retention, err)
	}
	_, err = load("", []string{"COUNTERSIGN_RETENTION_CODES=1y"})
	if want := `COUNTERSIGN_RETENTION_CODES: must be a duration such as 500ms, 5s, 2h, 30d, 2w or 1d12h, not "1y"`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	a, b := config.Default(), config.Default()
	if got := a.Changes(b); got != nil {
		t.Errorf("got %q for equal configurations", got)
	}
	b.Log.Level, b.Carriers[0].SMPP.Rate, b.TrustedProxies = "debug", 7, []string{"10.0.0.1"}
	if got, want := a.Changes(b), []string{"carriers[0].smpp.rate", "log.level", "trusted_proxies"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	b = config.Default()
	b.Carriers = append(b.Carriers, config.Carrier{Name: "b"})
	if got, want := a.Changes(b), []string{"carriers"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
