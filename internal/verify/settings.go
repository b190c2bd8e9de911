package verify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Settings are what an operator lays down for one account beyond what every account
// has. They are stored as JSON with the account, shown and taken by the admin API
// under the same names, and the zero value of each means "as for the installation": to
// add one, add a field here with a name in JSON and omitempty, use it where it is
// decided on, and check it in package account.
type Settings struct {
	// Countries are those whose numbers the account may verify (ISO 3166-1 alpha-2
	// in capitals); none for all.
	Countries []string `json:"countries,omitempty"`
	// Workflows are the workflow_ids that the account may ask for; none for all.
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
	// Strict holds PINs to the limits of NIST SP 800-63B, section 5.1.3.2: at least
	// StrictPINLength digits, good for at most StrictPINLife.
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

// The limits of a strict account.
const (
	StrictPINLength = 6
	StrictPINLife   = 10 * time.Minute
)

// LeastCodeLength is how many characters a PIN must have.
func (s Settings) LeastCodeLength() int {
	least := max(MinPINLength, s.MinCodeLength)
	if s.Strict {
		least = max(least, StrictPINLength)
	}
	return least
}

// MayLive reports whether a PIN may be good for so long.
func (s Settings) MayLive(life time.Duration) bool { return !s.Strict || life <= StrictPINLife }

// AllowsCountry reports whether numbers of a country may be verified; "" is a number
// of none.
func (s Settings) AllowsCountry(country string) bool {
	return len(s.Countries) == 0 || slices.Contains(s.Countries, country)
}

// AllowsWorkflow reports whether a workflow_id may be asked for.
func (s Settings) AllowsWorkflow(id int) bool {
	return len(s.Workflows) == 0 || slices.Contains(s.Workflows, id)
}

// AllowsSender reports whether an SMS may name a sender; "" is the installation's.
func (s Settings) AllowsSender(sender string) bool {
	return sender == "" || len(s.Senders) == 0 || slices.Contains(s.Senders, sender)
}

// AllowsLinkBrand reports whether a name may look like a link because it is one of
// LinkBrands. Letter case and surrounding or repeated white space do not count.
func (s Settings) AllowsLinkBrand(name string) bool {
	if len(s.LinkBrands) == 0 {
		return false
	}
	name = SingleSpaced(name)
	return slices.ContainsFunc(s.LinkBrands, func(allowed string) bool {
		return strings.EqualFold(SingleSpaced(allowed), name)
	})
}

// SingleSpaced returns text without surrounding white space and with a single space for
// each run of white space inside.
func SingleSpaced(text string) string { return strings.Join(strings.Fields(text), " ") }

// AllowsSource reports whether requests may come from an address.
func (s Settings) AllowsSource(address string) bool {
	if len(s.Sources) == 0 {
		return true
	}
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(s.Sources, func(source string) bool {
		network, err := netip.ParsePrefix(source)
		return err == nil && network.Contains(addr)
	})
}

// TestPIN is the PIN of a test number; ok is false for any other number.
func (s Settings) TestPIN(number string) (pin PIN, ok bool) {
	for _, test := range s.TestNumbers {
		if test.Number == number {
			return ParsePIN(test.Code)
		}
	}
	return PIN{}, false
}

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
