package verify

import (
	"fmt"
	"strings"
)

// Settings are an operator's settings for one account. They are stored as JSON with the
// account and have the same names in the admin API. Each zero value means the default of
// the installation. A new setting is a field here with a JSON name and omitempty. Package
// account validates the values, and its Policy applies those that limit requests.
type Settings struct {
	// Countries is the allow-list of countries of numbers (ISO 3166-1 alpha-2 in capitals);
	// empty for all countries.
	Countries []string `json:"countries,omitempty"`
	// Workflows is the allow-list of published workflows (workflow_id); empty for all
	// workflows.
	Workflows []int `json:"workflows,omitempty"`
	// Senders is the allow-list of SMS senders (sender_id); empty for any sender.
	Senders []string `json:"senders,omitempty"`
	// LinkBrands are permitted brands and payees that look like links, such as Booking.com.
	// Other names are not restricted.
	LinkBrands []string `json:"link_brands,omitempty"`
	// Sources is the allow-list of client networks, such as 192.0.2.0/24; empty for any
	// network.
	Sources []string `json:"sources,omitempty"`
	// MinCodeLength is the minimum length of a PIN; 0 for MinPINLength.
	MinCodeLength int `json:"min_code_length,omitempty"`
	// Strict applies the limits of NIST SP 800-63B, section 5.1.3.2, to PINs: at least 6
	// digits, valid for at most 10 minutes.
	Strict bool `json:"strict,omitempty"`
	// TestNumbers are numbers to which messages are never sent.
	TestNumbers []TestNumber `json:"test_numbers,omitempty"`
	// LowBalance is the balance below which the operator is warned; "" for the default of
	// the installation.
	LowBalance string `json:"low_balance,omitempty"`
	// Fraud overrides limits of the velocity rules.
	Fraud FraudSettings `json:"fraud,omitzero"`
	// Autofill configures the last line of the account's SMS.
	Autofill Autofill `json:"autofill,omitzero"`
	// CarrierValues are inserted into the account's messages by carriers.
	CarrierValues CarrierValues `json:"carrier_values,omitempty"`
	// SpokenBrands maps brands and payees to their spoken forms in calls.
	SpokenBrands SpokenBrands `json:"spoken_brands,omitempty"`
}

// TestNumber is a number to which messages are never sent, with the fixed PIN of its
// verifications: for app reviewers and tests. The PIN is not secret.
type TestNumber struct {
	Number string `json:"number"` // E.164 digits without "+"
	Code   string `json:"code"`
}

// SingleSpaced returns text without surrounding white space and with a single space for
// each run of white space inside.
func SingleSpaced(text string) string { return strings.Join(strings.Fields(text), " ") }

// MaxSenderLength is the maximum length of an alphanumeric sender.
const MaxSenderLength = 11

// ValidSender reports whether carriers accept s as an alphanumeric sender.
func ValidSender(s string) bool { return SenderDefect(s) == "" }

// SenderDefect returns why carriers do not accept s as an alphanumeric sender; "" if they
// do.
func SenderDefect(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && !strings.ContainsRune(" .-_+&", r)
	}) {
		return "must be letters A to Z, digits, space and .-_+&"
	}
	if len(s) > MaxSenderLength {
		return fmt.Sprintf("%d characters, at most %d", len(s), MaxSenderLength)
	}
	if s != strings.TrimSpace(s) {
		return "begins or ends with a space"
	}
	return ""
}
