// Package config is what an operator may set: the [Config] of "countersign
// serve", its defaults, how it is read from a YAML file and from the
// environment, and which settings cannot work.
//
// The package must not know the parts that it configures. It opens nothing but
// the file it is given, and whoever starts the server turns settings into
// listeners, carriers and routes.
package config

import (
	"fmt"
	"time"

	"countersign/internal/verify"
)

// Config holds every setting. The key of a setting in the file, and in every
// error, is made of the yaml names: limits.body_bytes. A setting that is not
// given keeps the value of [Default].
type Config struct {
	Listen         string   `yaml:"listen"`     // host:port of the API
	OpsListen      string   `yaml:"ops_listen"` // host:port of /healthz, /readyz and /metrics; "" for none
	Database       string   `yaml:"database"`   // "sqlite:" and the path of the file, or a postgres:// URL
	KeyFile        string   `yaml:"key_file"`   // path of the key that seals PINs: 32 random bytes in hexadecimal
	TLS            TLS      `yaml:"tls"`        // of the API
	Server         Server   `yaml:"server"`
	TrustedProxies []string `yaml:"trusted_proxies"` // addresses and CIDR ranges whose X-Forwarded-For is believed
	Log            Log      `yaml:"log"`
	Limits         Limits   `yaml:"limits"`
	V1             V1       `yaml:"v1"`
	Billing        Billing  `yaml:"billing"`
	Admin          Admin    `yaml:"admin"`

	Clock     Clock     `yaml:"clock"`
	Retention Retention `yaml:"retention"`
	Fraud     Fraud     `yaml:"fraud"`

	// LocaleOfCountry are locales by country (ISO 3166-1 alpha-2), for requests without
	// lg. Other countries keep the locale that the program gives them.
	LocaleOfCountry map[string]string `yaml:"locale_of_country"`

	// LocaleFiles are paths of files with texts of a locale, which add a locale or
	// replace one of the program.
	LocaleFiles []string `yaml:"locale_files"`

	Templates Templates `yaml:"templates"`
	Outbound  Outbound  `yaml:"outbound"`

	Carriers []Carrier `yaml:"carriers"` // none: nothing can be sent
	Routes   []Route   `yaml:"routes"`   // in any order
	Networks Networks  `yaml:"networks"`
	TTS      TTS       `yaml:"tts"`
	Voice    Calls     `yaml:"voice"`
}

// TLS names the certificate of the API. Both paths are empty for plain HTTP.
type TLS struct {
	Cert string `yaml:"cert"` // path of a PEM file, the chain included
	Key  string `yaml:"key"`  // path of a PEM file
}

// Server describes how clients address this server.
type Server struct {
	// Names are the DNS names and IP addresses in the Host header of requests;
	// "*.example.com" is any subdomain. Names and addresses of the loopback need no
	// entry. Empty: beyond the loopback every name, except for pages.
	Names []string `yaml:"names"`
	// PublicURL is the URL by which gateways and clients reach this server; "" if
	// unknown. Only checks of the configuration use it.
	PublicURL string `yaml:"public_url"`
}

// Log says what is logged, and how.
type Log struct {
	Level  string `yaml:"level"`  // the least that is logged: debug, info, warn or error
	Format string `yaml:"format"` // json or text
}

// V1 holds the words of the v1 API that clients compare and that differ between
// the ages of the original.
type V1 struct {
	PlatformName  string `yaml:"platform_name"`   // in the texts of status 6 and 29; newer clients expect Vonage
	WrongCodeText string `yaml:"wrong_code_text"` // of status 16

	TooManyCodesText string `yaml:"too_many_codes_text"` // of status 17
}

// Billing says what is charged when, and how prices are shown.
type Billing struct {
	Currency   string `yaml:"currency"`    // USD or EUR
	Charge     string `yaml:"charge"`      // sent: when a verification is accepted; success: when its right code came
	LowBalance string `yaml:"low_balance"` // amount below which a balance is warned of; 0 for no warning
}

// When a verification is charged.
const (
	ChargeSent    = "sent"
	ChargeSuccess = "success"
)

// LowBalanceAmount is LowBalance as an amount.
func (b Billing) LowBalanceAmount() (verify.Money, error) {
	amount, err := verify.ParseMoney(b.LowBalance)
	if err == nil && amount < 0 {
		err = fmt.Errorf("must not be negative: %q", b.LowBalance)
	}
	return amount, err
}

// Clock holds the settings of the program's time.
type Clock struct {
	// MaxSkew is the largest difference between the local wall clock and the clock of the
	// PostgreSQL server with which a node is ready and takes due steps.
	MaxSkew time.Duration `yaml:"max_skew"`
}

// Retention says for how long what is kept. 0 means for ever.
type Retention struct {
	Codes   time.Duration `yaml:"codes"`   // that people typed, after the end of their verification
	Numbers time.Duration `yaml:"numbers"` // and what else tells of a person, after the end
	History time.Duration `yaml:"history"` // verifications, after the end
	Ledger  time.Duration `yaml:"ledger"`  // entries of the ledger by themselves

	Refusals time.Duration `yaml:"refusals"` // refused starts, after the last
}

// Templates says what becomes of templates that accounts hand in.
type Templates struct {
	Approve bool `yaml:"approve"` // at once, without an operator
}

// Outbound says whom the server asks beyond the public internet on ports 80 and 443,
// where a customer names a URL.
type Outbound struct {
	Networks []string `yaml:"networks"` // addresses and CIDR ranges
	Ports    []int    `yaml:"ports"`
}

// Route says which carriers take a destination: one for which every condition
// holds that is given. The most specific route decides: one for an account before
// one for a sender, then network, longer prefix, country, channel.
type Route struct {
	Account string         `yaml:"account"` // api_key
	Sender  string         `yaml:"sender"`  // that the application asked for
	Network string         `yaml:"network"` // name under networks.known
	Prefix  string         `yaml:"prefix"`  // first digits of the E.164 number, without "+"
	Country string         `yaml:"country"` // ISO 3166-1 alpha-2
	Channel verify.Channel `yaml:"channel"`

	Carriers []string `yaml:"carriers"` // names, tried in this order; none: not routable
	Weights  []int    `yaml:"weights"`  // shares of the carriers; none: always in order
}

// Networks names destinations by the first digits of their E.164 numbers.
type Networks struct {
	Unsupported []string  `yaml:"unsupported"` // answered with status 15
	Known       []Network `yaml:"known"`       // that routes may name
}

// Network is an operator's range of numbers.
type Network struct {
	Name     string   `yaml:"name"`     // such as its MCC and MNC
	Prefixes []string `yaml:"prefixes"` // first digits of its numbers; the longest of all networks decides
}

// TTS says how calls get their voice.
type TTS struct {
	Espeak string `yaml:"espeak"` // path of espeak-ng; "" to look on PATH

	// Command speaks in its place: a program and its arguments, in which {voice}
	// and {locale} are filled in. It reads text and writes WAV.
	Command []string `yaml:"command"`
	Voices  []Voice  `yaml:"voices"` // of Command; those not named go by the locale

	// Digits are variants of the recorded digits by locale, such as "meia" for pt-br.
	Digits map[string]string `yaml:"digits"`

	Timeout   time.Duration `yaml:"timeout"`   // for the words of a call
	Processes int           `yaml:"processes"` // most at a time
	MemoryMB  int           `yaml:"memory_mb"` // of each, in MiB
}

// Calls holds the settings of calls over every SIP trunk.
type Calls struct {
	RequireMedia bool `yaml:"require_media"` // an answered call without RTP or RTCP from the callee counts as failed
}

// Voice is what [TTS.Command] calls the voice of a locale.
type Voice struct {
	Locale string `yaml:"locale"` // such as en-gb
	Name   string `yaml:"name"`
}

// Default is the configuration of an operator who sets nothing: one machine, and
// the virtual phone as the only carrier.
func Default() Config {
	return Config{
		Listen:    "127.0.0.1:8080",
		OpsListen: "127.0.0.1:9090",
		Database:  "sqlite:/var/lib/countersign/countersign.db",
		KeyFile:   "/var/lib/countersign/key",
		Log:       Log{Level: "info", Format: "json"},
		Limits:    defaultLimits(),
		V1: V1{
			PlatformName:  "Nexmo",
			WrongCodeText: "The code inserted does not match the expected value",

			TooManyCodesText: "The wrong code was provided too many times. Request terminated",
		},
		Billing: Billing{Currency: "USD", Charge: ChargeSent, LowBalance: "0"},
		Admin:   Admin{TokenFile: "/var/lib/countersign/admin-token"}, //nolint:gosec // a path
		Clock:   Clock{MaxSkew: 5 * time.Second},
		Retention: Retention{
			Codes: 24 * time.Hour, Numbers: 90 * 24 * time.Hour,
			History: 396 * 24 * time.Hour, Ledger: 396 * 24 * time.Hour,
			Refusals: 30 * 24 * time.Hour,
		},
		Fraud:    defaultFraud(),
		Carriers: []Carrier{{Name: "phone", Type: CarrierVirtual}},
		Routes:   []Route{{Carriers: []string{"phone"}}},
		TTS:      TTS{Timeout: 3 * time.Second, Processes: 4, MemoryMB: 1024},
	}
}
