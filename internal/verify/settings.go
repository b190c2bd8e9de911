package verify

import (
	"fmt"
	"strings"
)

// Settings are what an operator lays down for one account beyond what every account
// has. They are stored as JSON with the account, shown and taken by the admin API
// under the same names, and the zero value of each means "as for the installation": to
// add one, add a field here with a name in JSON and omitempty. Package account checks its
// values and, if it limits requests, decides on it (Policy).
type Settings struct {
	// Countries are those whose numbers the account may verify (ISO 3166-1 alpha-2
	// in capitals); none for all.
	Countries []string `json:"countries,omitempty"`
	// Workflows are the published workflows (workflow_id) that the account may use; none for
	// all.
	Workflows []int `json:"workflows,omitempty"`
	// Senders are what the account may name as the sender of an SMS (sender_id);
	// none for any.
	Senders []string `json:"senders,omitempty"`
	// LinkBrands are names that the account may use as brand or payee although they look
	// like links, such as Booking.com. They do not limit other names.
	LinkBrands []string `json:"link_brands,omitempty"`
	// Sources are the networks that the account's requests may come from, such as
	// 192.0.2.0/24; none for any.
	Sources []string `json:"sources,omitempty"`
	// MinCodeLength is the least number of characters of a PIN; 0 for the least that
	// there is.
	MinCodeLength int `json:"min_code_length,omitempty"`
	// Strict holds PINs to the limits of NIST SP 800-63B, section 5.1.3.2: at least 6
	// digits, valid for at most 10 minutes.
	Strict bool `json:"strict,omitempty"`
	// TestNumbers are numbers that nothing is ever sent to.
	TestNumbers []TestNumber `json:"test_numbers,omitempty"`
	// LowBalance is the amount below which the operator is warned of the balance; ""
	// for that of the installation.
	LowBalance string `json:"low_balance,omitempty"`
	// Fraud are the account's own limits of the velocity rules.
	Fraud FraudSettings `json:"fraud,omitzero"`
	// Autofill is how the account's SMS end.
	Autofill Autofill `json:"autofill,omitzero"`
	// CarrierValues are what carriers put into the account's messages.
	CarrierValues CarrierValues `json:"carrier_values,omitempty"`
	// SpokenBrands are the names that calls say, by brand or payee of a request.
	SpokenBrands SpokenBrands `json:"spoken_brands,omitempty"`
}

// TestNumber is a number that nothing is ever sent to, with the PIN that each of its
// verifications has: for those who review an app, and for tests. The PIN protects
// nothing, and is no secret.
type TestNumber struct {
	Number string `json:"number"` // E.164 digits without "+"
	Code   string `json:"code"`
}

// SingleSpaced returns text without surrounding white space and with a single space for
// each run of white space inside.
func SingleSpaced(text string) string { return strings.Join(strings.Fields(text), " ") }

// MaxSenderLength is what carriers take in an alphanumeric sender.
const MaxSenderLength = 11

// ValidSender reports whether carriers take s as an alphanumeric sender.
func ValidSender(s string) bool { return SenderDefect(s) == "" }

// SenderDefect returns why carriers do not take s as an alphanumeric sender; "" if they
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
