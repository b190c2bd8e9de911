// Package config defines the [Config] of "countersign serve" and its defaults. It reads
// the configuration from a YAML file and the environment, and validates it.
//
// The package must not depend on the parts that it configures. It opens only the given
// file. The caller creates listeners, carriers and routes from the settings.
package config

import (
	"fmt"
	"time"

	"countersign/internal/verify"
)

// Config holds all settings. The key of a setting in the file and in errors consists of
// the yaml names, such as limits.body_bytes. Omitted settings have the value of
// [Default].
type Config struct {
	Listen         string   `yaml:"listen"`     // host:port of the API
	OpsListen      string   `yaml:"ops_listen"` // host:port of /healthz, /readyz and /metrics; "" to disable them
	Database       string   `yaml:"database"`   // "sqlite:" and the path of the file, or a postgres:// URL
	KeyFile        string   `yaml:"key_file"`   // path of the key that encrypts PINs: 32 random bytes in hexadecimal
	TLS            TLS      `yaml:"tls"`        // certificate of the API
	Server         Server   `yaml:"server"`
	TrustedProxies []string `yaml:"trusted_proxies"` // addresses and CIDR ranges of proxies whose X-Forwarded-For is trusted
	Log            Log      `yaml:"log"`
	Limits         Limits   `yaml:"limits"`
	V1             V1       `yaml:"v1"`
	Billing        Billing  `yaml:"billing"`
	Admin          Admin    `yaml:"admin"`

	Clock     Clock     `yaml:"clock"`
	Retention Retention `yaml:"retention"`
	Fraud     Fraud     `yaml:"fraud"`

	// LocaleOfCountry maps a country (ISO 3166-1 alpha-2) to its locale for requests
	// without lg. Other countries keep their built-in locale.
	LocaleOfCountry map[string]string `yaml:"locale_of_country"`

	// LocaleFiles is the list of files with the texts of a locale. Each adds a locale or
	// replaces a built-in one.
	LocaleFiles []string `yaml:"locale_files"`

	Templates Templates `yaml:"templates"`
	Outbound  Outbound  `yaml:"outbound"`

	Carriers []Carrier `yaml:"carriers"` // if empty, no message can be sent
	Routes   []Route   `yaml:"routes"`   // in any order
	Networks Networks  `yaml:"networks"`
	TTS      TTS       `yaml:"tts"`
	Voice    Calls     `yaml:"voice"`
}

// TLS holds the certificate of the API. Both paths are empty for plain HTTP.
type TLS struct {
	Cert string `yaml:"cert"` // path of a PEM file with the certificate chain
	Key  string `yaml:"key"`  // path of a PEM file
}

// Server describes how clients address this server.
type Server struct {
	// Names is the list of DNS names and IP addresses accepted in the Host header;
	// "*.example.com" matches any subdomain. Loopback names and addresses need no entry.
	// If the list is empty, the API accepts every name, and pages only loopback names.
	Names []string `yaml:"names"`
	// PublicURL is the base URL for gateways and clients; "" if unknown. Only checks of
	// the configuration use it.
	PublicURL string `yaml:"public_url"`
}

// Log configures the log.
type Log struct {
	Level  string `yaml:"level"`  // minimum level: debug, info, warn or error
	Format string `yaml:"format"` // json or text
}

// V1 holds texts of the v1 API that clients compare and that differ between versions of
// the original.
type V1 struct {
	PlatformName  string `yaml:"platform_name"`   // name in the texts of status 6 and 29; newer clients expect Vonage
	WrongCodeText string `yaml:"wrong_code_text"` // text of status 16

	TooManyCodesText string `yaml:"too_many_codes_text"` // text of status 17
}

// Billing configures charges and currency.
type Billing struct {
	Currency   string `yaml:"currency"`    // USD or EUR
	Charge     string `yaml:"charge"`      // ChargeSent or ChargeSuccess
	LowBalance string `yaml:"low_balance"` // balance below which a warning is logged; 0 for no warning
}

// Values of Billing.Charge.
const (
	ChargeSent    = "sent"    // charge when a verification is accepted
	ChargeSuccess = "success" // charge when it succeeds
)

// LowBalanceAmount returns LowBalance as an amount.
func (b Billing) LowBalanceAmount() (verify.Money, error) {
	amount, err := verify.ParseMoney(b.LowBalance)
	if err == nil && amount < 0 {
		err = fmt.Errorf("must not be negative: %q", b.LowBalance)
	}
	return amount, err
}

// Clock configures the check of the local clock.
type Clock struct {
	// MaxSkew is the maximum difference between the local clock and the clock of the
	// PostgreSQL server. Beyond it the node is not ready and processes no due steps.
	MaxSkew time.Duration `yaml:"max_skew"`
}

// Retention sets how long each kind of data is kept. 0 means indefinitely.
type Retention struct {
	Codes   time.Duration `yaml:"codes"`   // codes that users entered, from the end of their verification
	Numbers time.Duration `yaml:"numbers"` // numbers and other personal data, from the end of the verification
	History time.Duration `yaml:"history"` // verifications, from their end
	Ledger  time.Duration `yaml:"ledger"`  // individual ledger entries; their sum is kept

	Refusals time.Duration `yaml:"refusals"` // refused starts, from the last one
}

// Templates configures the approval of templates submitted by accounts.
type Templates struct {
	Approve bool `yaml:"approve"` // approve immediately, without an operator
}

// Outbound extends the allow-list for URLs given by customers. Public addresses with
// ports 80 and 443 are always allowed.
type Outbound struct {
	Networks []string `yaml:"networks"` // addresses and CIDR ranges
	Ports    []int    `yaml:"ports"`
}

// Route selects the carriers of messages that match all its non-empty conditions. The
// most specific route applies: account before sender, then network, longer prefix,
// country, channel.
type Route struct {
	Account string         `yaml:"account"` // api_key
	Sender  string         `yaml:"sender"`  // sender requested by the application
	Network string         `yaml:"network"` // name in networks.known
	Prefix  string         `yaml:"prefix"`  // first digits of the E.164 number, without "+"
	Country string         `yaml:"country"` // ISO 3166-1 alpha-2
	Channel verify.Channel `yaml:"channel"`

	Carriers []string `yaml:"carriers"` // names, tried in this order; empty: not routable
	Weights  []int    `yaml:"weights"`  // shares of the carriers; empty: always in order
}

// Networks defines destinations by the first digits of their E.164 numbers.
type Networks struct {
	Unsupported []string  `yaml:"unsupported"` // prefixes that are refused with status 15
	Known       []Network `yaml:"known"`       // networks for use in routes
}

// Network is a mobile network's range of numbers.
type Network struct {
	Name     string   `yaml:"name"`     // such as its MCC and MNC
	Prefixes []string `yaml:"prefixes"` // first digits of its numbers; the longest match of all networks applies
}

// TTS configures the synthesis of announcements.
type TTS struct {
	Espeak string `yaml:"espeak"` // path of espeak-ng; "" to search PATH

	// Command replaces espeak-ng: a program and its arguments, in which {voice} and
	// {locale} are replaced. It reads text and writes WAV.
	Command []string `yaml:"command"`
	Voices  []Voice  `yaml:"voices"` // Command's voices; default the name of the locale

	// Digits maps a locale to a variant of its recorded digits, such as "meia" for pt-br.
	Digits map[string]string `yaml:"digits"`

	Timeout   time.Duration `yaml:"timeout"`   // for the words of a call
	Processes int           `yaml:"processes"` // concurrent processes
	MemoryMB  int           `yaml:"memory_mb"` // address space per process, in MiB
}

// Calls configures calls over all SIP trunks.
type Calls struct {
	RequireMedia bool `yaml:"require_media"` // an answered call without RTP or RTCP from the callee counts as failed
}

// Voice maps a locale to the name of its voice for [TTS.Command].
type Voice struct {
	Locale string `yaml:"locale"` // such as en-gb
	Name   string `yaml:"name"`
}

// Default returns the default configuration: one machine, and the virtual phone as the
// only carrier.
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
