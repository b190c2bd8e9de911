// Package phone reads the phone numbers that people and applications write, and
// tells what the numbering plans say of them: the country and, where it is
// certain, whether it is a mobile or a landline.
//
// The plans are those of libphonenumber. They age: ranges are opened every
// month, so a number is never refused for lying outside the ranges that are
// known, only when it cannot be a number at all.
//
// The package must not know accounts, prices, routes or any API: whether a
// number may be verified is decided elsewhere.
package phone

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// The parameter that Parse could not use. Errors of Parse wrap one of them.
var (
	ErrNumber  = errors.New("not a phone number")
	ErrCountry = errors.New("not a country")
)

// Bounds on a number in international form. The upper one is that of ITU-T
// E.164; the lower one keeps out the service codes and internal extensions that
// some plans count as possible numbers.
const (
	MinDigits = 7
	MaxDigits = 15
)

// maxInput bounds what Parse looks at: the longest number behind the longest
// international prefix, with a separator after every digit.
const maxInput = 40

// Type is the kind of line behind a number.
type Type string

// The types. Many plans, that of North America among them, number mobiles and
// landlines alike: those are Unknown, as are toll-free numbers, pagers and so on.
const (
	Unknown  Type = ""
	Mobile   Type = "mobile"
	Landline Type = "landline"
)

// Number is a phone number in its one international form.
type Number struct {
	Digits  string // E.164 without "+"
	Country string // ISO 3166-1 alpha-2; "" for a number of no country, such as +883
	Type    Type
	Premium bool // it may cost much more than others, see Expensive
}

// LogValue shows the masked number to slog.
func (n Number) LogValue() slog.Value { return slog.StringValue(Mask(n.Digits)) }

// Parse reads a number as it was written. Spaces, hyphens and one leading "+"
// are ignored. Without country the number must be international, with or
// without the "+". With country (ISO 3166-1 alpha-2, in any letter case) it is
// read as it would be dialled there and, when that cannot be, as international.
//
// A number is accepted when its calling code exists and it has a possible
// length. The error wraps [ErrNumber] or [ErrCountry].
func Parse(number, country string) (Number, error) {
	digits, international, err := strip(number)
	if err != nil {
		return Number{}, err
	}
	region, err := regionOf(country)
	if err != nil {
		return Number{}, err
	}
	if international {
		region = ""
	}
	parsed, ok := read(digits, region)
	if !ok {
		return Number{}, fmt.Errorf("%w: no calling code or impossible length", ErrNumber)
	}

	e164 := format(parsed)
	if e164 != digits {
		// A calling code was added or a trunk prefix taken off. If another one
		// could be, the number would change each time it is read, and limits
		// that are kept by number could be walked around.
		again, ok := possible("+"+e164, "")
		if !ok || format(again) != e164 {
			return Number{}, fmt.Errorf("%w: ambiguous prefix", ErrNumber)
		}
		parsed = again
	}
	if n, ok := fictional(e164); ok {
		return n, nil
	}
	kind := phonenumbers.GetNumberType(parsed)
	return Number{Digits: e164, Country: countryOf(parsed), Type: typeOf(kind), Premium: expensive(parsed, kind)}, nil
}

// strip reduces a number to its digits and tells whether a "+" led them.
func strip(number string) (digits string, international bool, err error) {
	if len(number) > maxInput {
		return "", false, fmt.Errorf("%w: too long", ErrNumber)
	}
	if isDigits(number) {
		return number, false, nil
	}
	buf := make([]byte, 0, maxInput)
	for _, c := range []byte(number) {
		switch {
		case c >= '0' && c <= '9':
			buf = append(buf, c)
		case c == '+' && len(buf) == 0 && !international:
			international = true
		case c == ' ' || c == '-':
		default:
			return "", false, fmt.Errorf("%w: unexpected character", ErrNumber)
		}
	}
	return string(buf), international, nil
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// Country checks an ISO 3166-1 code, in any letter case, and gives it in capitals. The
// error wraps [ErrCountry].
func Country(code string) (string, error) {
	if code == "" {
		return "", fmt.Errorf("%w: no code", ErrCountry)
	}
	return regionOf(code)
}

// regionOf checks the country and gives it as libphonenumber writes it.
func regionOf(country string) (string, error) {
	if country == "" {
		return "", nil
	}
	region := strings.ToUpper(country)
	if len(country) != 2 || phonenumbers.GetCountryCodeForRegion(region) == 0 {
		return "", fmt.Errorf("%w: unknown code", ErrCountry)
	}
	return region, nil
}

// read prefers the national reading, if there is a region and the number is
// possible in it.
//
// In plans of many lengths a number that starts with its own calling code is
// often possible both ways: with DE, 4915123456789 is a mobile, but the area
// codes 049… without their zero fit it too. Such a number is national when that
// makes it a mobile (9118001234 with IN), otherwise international if the plan
// knows it so. Another country's plan never overrules the national reading: the
// numbers of a new North American area code would go abroad until the plans here
// are updated.
func read(digits, region string) (*phonenumbers.PhoneNumber, bool) {
	if region == "" {
		return possible("+"+digits, "")
	}
	national, ok := possible(digits, region)
	if !ok {
		return possible("+"+digits, "")
	}
	ownCode := strconv.Itoa(int(national.GetCountryCode()))
	if strings.HasPrefix(digits, ownCode) && typeOf(phonenumbers.GetNumberType(national)) != Mobile {
		if n, ok := possible("+"+digits, ""); ok && phonenumbers.IsValidNumber(n) {
			return n, true
		}
	}
	return national, true
}

// possible reads a number, national in region or with a "+" international. It
// refuses the lengths that can only be dialled within a town.
func possible(number, region string) (*phonenumbers.PhoneNumber, bool) {
	n, err := phonenumbers.Parse(number, region)
	if err != nil || phonenumbers.IsPossibleNumberWithReason(n) != phonenumbers.IS_POSSIBLE {
		return nil, false
	}
	length := len(format(n))
	return n, length >= MinDigits && length <= MaxDigits
}

func format(n *phonenumbers.PhoneNumber) string {
	return strings.TrimPrefix(phonenumbers.Format(n, phonenumbers.E164), "+")
}

// fictional knows the ranges that regulators keep free for drama, and that
// tests and demonstrations use for the same reason. They are ordinary numbers
// of their country, though no plan assigns them.
//
// Ofcom, "Telephone numbers for use in TV and radio drama programmes": 07700
// 900000 to 900999 are mobiles. NANPA, "555 Line Numbers": 555-0100 to 555-0199
// in every area code; counted as US, whatever the area code.
func fictional(e164 string) (Number, bool) {
	switch {
	case len(e164) == 12 && strings.HasPrefix(e164, "447700900"):
		return Number{Digits: e164, Country: "GB", Type: Mobile}, true
	case len(e164) == 11 && e164[0] == '1' && e164[1] >= '2' && e164[4:9] == "55501":
		return Number{Digits: e164, Country: "US", Type: Unknown}, true
	}
	return Number{}, false
}

// countryOf gives the country whose range the number lies in, or the main one
// of the calling code when it lies in none that is known.
func countryOf(n *phonenumbers.PhoneNumber) string {
	region := phonenumbers.GetRegionCodeForNumber(n)
	if region == "" {
		region = phonenumbers.GetRegionCodeForCountryCode(int(n.GetCountryCode()))
	}
	if region == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY {
		return ""
	}
	return region
}

func typeOf(kind phonenumbers.PhoneNumberType) Type {
	switch kind {
	case phonenumbers.MOBILE:
		return Mobile
	case phonenumbers.FIXED_LINE:
		return Landline
	default:
		return Unknown
	}
}

// Expensive reports whether a call to an international number (digits) may cost
// much more than a call: premium rate, shared cost, personal and company-wide (UAN) numbers, as far as
// the plan tells, and what belongs to no country, such as satellite phones and the
// networks of the +88 codes. Toll-free +800 is not; what no plan knows is.
func Expensive(digits string) bool {
	n, err := phonenumbers.Parse("+"+digits, "")
	if err != nil {
		return true
	}
	return expensive(n, phonenumbers.GetNumberType(n))
}

func expensive(n *phonenumbers.PhoneNumber, kind phonenumbers.PhoneNumberType) bool {
	code := int(n.GetCountryCode())
	return costly(kind) || code != 800 && phonenumbers.GetRegionCodeForCountryCode(code) == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY
}

func costly(kind phonenumbers.PhoneNumberType) bool {
	switch kind {
	case phonenumbers.PREMIUM_RATE, phonenumbers.SHARED_COST, phonenumbers.PERSONAL_NUMBER, phonenumbers.UAN:
		return true
	}
	return false
}
