package phone

import (
	"errors"
	"strconv"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// withoutPlan lists the ISO 3166-1 codes of territories without a calling code. They use
// the plans of other countries, or are uninhabited.
const withoutPlan = "AQ BV GS HM PN TF UM"

// hasPlan reports whether a region has a calling code.
func hasPlan(region string) bool { return !strings.Contains(withoutPlan, region) }

// regionOf validates a country and returns it in capitals; "" for "".
func regionOf(country string) (string, error) {
	if country == "" {
		return "", nil
	}
	region := strings.ToUpper(country)
	known := len(country) == 2 && strings.Trim(region, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" &&
		(!hasPlan(region) || phonenumbers.GetCountryCodeForRegion(region) != 0)
	if !known {
		return "", &Error{ErrCountry, "not an ISO 3166-1 code of two letters"}
	}
	return region, nil
}

// international parses digits that begin with a calling code.
func international(digits string) (*phonenumbers.PhoneNumber, error) {
	return parse("+"+digits, "")
}

// national parses digits as dialled in region: in national form, with its calling code, or
// with an international prefix (its own or 00) and its calling code.
//
// In plans with many lengths, a number that begins with the plan's calling code is often
// possible in both forms. With DE, 4915123456789 is a mobile, but also matches area codes
// 049… without their zero. It is parsed as national if that makes it a mobile (9118001234
// with IN), otherwise as international if assigned.
func national(digits, region string) (*phonenumbers.PhoneNumber, error) {
	code := phonenumbers.GetCountryCodeForRegion(region)
	n, err := parse(digits, region)
	// 00 is dialled as the international prefix in most countries, and written in all.
	own := strconv.Itoa(code)
	if rest, abroad := strings.CutPrefix(digits, "00"); abroad && strings.HasPrefix(rest, own) && (err != nil || int(n.GetCountryCode()) != code || !assigned(n)) {
		if i, e := international(rest); e == nil && int(i.GetCountryCode()) == code {
			return i, nil
		}
	}
	if err == nil && int(n.GetCountryCode()) != code {
		return nil, &Error{ErrNumber, "not a number of " + region + ": write a number of another country with +"}
	}
	if err == nil && phonenumbers.GetNumberType(n) == phonenumbers.MOBILE {
		return n, nil
	}
	if strings.HasPrefix(digits, own) {
		if i, e := international(digits); e == nil && (n == nil || assigned(i)) {
			return i, nil
		}
	}
	if err != nil && strings.HasPrefix(digits, "00") {
		return nil, &Error{ErrNumber, "unknown international prefix: write the number with +"}
	}
	return n, err
}

// parse parses a number with a plus, or as dialled in region. The result has a possible
// length and the current form of its plan.
func parse(number, region string) (*phonenumbers.PhoneNumber, error) {
	n, err := phonenumbers.Parse(number, region)
	if err != nil {
		return nil, &Error{ErrNumber, reason(err, region)}
	}
	err = possible(n)
	if err == nil && assigned(n) {
		return n, nil
	}
	if modern, ok := current(n); ok {
		return modern, nil
	}
	if err == nil && incomplete(n) {
		err = errTooShort
	}
	if err != nil {
		if region == "" {
			region = phonenumbers.GetRegionCodeForCountryCode(int(n.GetCountryCode()))
		}
		return nil, &Error{ErrNumber, reason(err, region)}
	}
	return n, nil
}

// Reasons why a number cannot exist in its plan.
var (
	errTooShort = errors.New("too short")
	errTooLong  = errors.New("too long")
	errLength   = errors.New("wrong length")
)

// possible checks the length of a number. It refuses lengths that are only dialled within a
// town.
func possible(n *phonenumbers.PhoneNumber) error {
	length := len(format(n))
	switch phonenumbers.IsPossibleNumberWithReason(n) {
	case phonenumbers.IS_POSSIBLE:
		switch {
		case length < MinDigits:
			return errTooShort
		case length > MaxDigits:
			return errTooLong
		}
		return nil
	case phonenumbers.TOO_SHORT, phonenumbers.IS_POSSIBLE_LOCAL_ONLY:
		return errTooShort
	case phonenumbers.TOO_LONG:
		return errTooLong
	default:
		return errLength
	}
}

// reason returns the text of an error, with the region unless it is "".
func reason(err error, region string) string {
	switch {
	case errors.Is(err, phonenumbers.ErrInvalidCountryCode):
		return "unknown calling code"
	case errors.Is(err, phonenumbers.ErrTooShortAfterIDD), errors.Is(err, phonenumbers.ErrTooShortNSN), errors.Is(err, phonenumbers.ErrNotANumber):
		err = errTooShort
	case errors.Is(err, phonenumbers.ErrNumTooLong):
		err = errTooLong
	}
	if region == "" || region == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY {
		return err.Error()
	}
	return err.Error() + " for " + region
}

// assigned reports whether the plan has assigned the range of n, or reserves it for
// fiction.
func assigned(n *phonenumbers.PhoneNumber) bool {
	if _, ok := fictional(format(n)); ok {
		return true
	}
	return phonenumbers.IsValidNumber(n)
}

// format returns n in E.164 form without the plus.
func format(n *phonenumbers.PhoneNumber) string {
	return strings.TrimPrefix(phonenumbers.Format(n, phonenumbers.E164), "+")
}
