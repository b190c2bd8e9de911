// Package phone parses phone numbers and returns their country and, if the numbering plan
// distinguishes them, their type: mobile or landline.
//
// The plans are from libphonenumber. They become outdated, since ranges are opened every
// month, so a number outside the known ranges is accepted if its length is possible.
//
// The package does not depend on accounts, prices, routes or any API. Other packages decide
// whether a number may be verified.
package phone

import (
	"errors"
	"log/slog"

	"github.com/nyaruka/phonenumbers"
)

// The kinds of error that Parse returns, by the invalid parameter.
var (
	ErrNumber  = errors.New("not a phone number")
	ErrCountry = errors.New("not a country")
)

// Error is the reason for which Parse refuses a number or a country.
type Error struct {
	Kind   error  // ErrNumber or ErrCountry
	Reason string // phrase without the number, such as "too short for FR"
}

func (e *Error) Error() string { return e.Kind.Error() + ": " + e.Reason }

// Unwrap returns the kind.
func (e *Error) Unwrap() error { return e.Kind }

// Bounds on the digits of an international number. The maximum is from ITU-T E.164. The
// minimum excludes service codes and internal extensions, which some plans count as
// possible numbers.
const (
	MinDigits = 7
	MaxDigits = 15
)

// Type is the type of line of a number.
type Type string

// The types. Unknown includes the numbers of plans that do not distinguish mobiles from
// landlines, such as North America's, and toll-free numbers, pagers and so on.
const (
	Unknown  Type = ""
	Mobile   Type = "mobile"
	Landline Type = "landline"
)

// Number is a phone number in international form.
type Number struct {
	Digits  string // E.164 without "+"
	Country string // ISO 3166-1 alpha-2; "" for a number without a country, such as +883
	Type    Type
	Premium bool // see Expensive
}

// LogValue shows the masked number to slog.
func (n Number) LogValue() slog.Value { return slog.StringValue(Mask(n.Digits)) }

// Parse parses a number as typed or pasted. Digits may be from any script. White space,
// dashes, dots, slashes, brackets, invisible characters and one leading plus are ignored,
// as is a trunk zero in brackets: "+44 (0)7700 900123".
//
// country is an ISO 3166-1 alpha-2 code in any letter case. Without it the number must be
// international, with or without the plus. With it, a number without a plus, or with an
// international prefix (the country's prefix or 00), must belong to that country's plan: in
// national form, or with its calling code. Otherwise a mistyped digit could turn it into a
// number of another country. A number with a plus is always international.
//
// Parse accepts a number if its calling code exists and its length is possible there. It
// rewrites forms that a plan has dropped, such as +52 1 55… (see [dropped]), but never adds
// missing digits. The error is an [*Error]; it wraps [ErrNumber] or [ErrCountry].
func Parse(number, country string) (Number, error) {
	w, err := strip(number)
	if err != nil {
		return Number{}, err
	}
	region, err := regionOf(country)
	if err != nil {
		return Number{}, err
	}
	if region != "" && !hasPlan(region) {
		if !w.complete(region) {
			return Number{}, &Error{ErrCountry, region + " has no numbering plan: write the number with + and calling code"}
		}
		region = ""
	}
	if w.plus {
		region = ""
	}
	parsed, err := w.read(region)
	if err != nil {
		return Number{}, err
	}

	e164 := format(parsed)
	if e164 != w.digits {
		// A calling code was added or a prefix removed. If another prefix could be removed,
		// each parsing would change the number, and a caller could evade per-number limits.
		again, err := international(e164)
		if err != nil || format(again) != e164 {
			return Number{}, &Error{ErrNumber, "ambiguous prefix"}
		}
		parsed = again
	}
	if n, ok := fictional(e164); ok {
		return n, nil
	}
	kind := phonenumbers.GetNumberType(parsed)
	return Number{Digits: e164, Country: countryOf(parsed), Type: typeOf(kind), Premium: expensive(parsed, kind)}, nil
}

// Country validates an ISO 3166-1 alpha-2 code in any letter case and returns it in
// capitals. The error wraps [ErrCountry].
func Country(code string) (string, error) {
	if code == "" {
		return "", &Error{ErrCountry, "empty"}
	}
	return regionOf(code)
}

// countryOf returns the country of the number's range. For an unassigned range it
// returns the main country of the calling code.
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

// Expensive reports whether a call to an international number (digits) may cost much more
// than an ordinary call. This applies to premium rate, shared cost, personal and
// company-wide (UAN) numbers, and to numbers without a country, such as satellite phones
// and the +88 codes. Toll-free +800 is not expensive. A number outside every plan is.
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
