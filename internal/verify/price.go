package verify

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Money is an amount in units of 10⁻⁸ of the installation's currency. Integers keep sums
// exact; 64 bits hold up to 92 thousand million.
type Money int64

// Unit is one unit of the currency, such as 1 USD.
const Unit Money = 100_000_000

var errMoney = errors.New("not an amount with at most 8 decimals")

// ParseMoney parses a decimal number such as "0.1205" exactly.
func ParseMoney(s string) (Money, error) {
	digits, negative := strings.CutPrefix(s, "-")
	whole, frac, _ := strings.Cut(digits, ".")
	if whole == "" || len(frac) > 8 || !allDigits(whole) || !allDigits(frac) {
		return 0, fmt.Errorf("amount %q: %w", s, errMoney)
	}
	n, err := strconv.ParseInt(whole+frac+strings.Repeat("0", 8-len(frac)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("amount %q: %w", s, errMoney)
	}
	if negative {
		n = -n
	}
	return Money(n), nil
}

// String formats all 8 decimals, as the v1 API does: "0.12050000".
func (m Money) String() string {
	sign := ""
	u := uint64(m)
	if m < 0 {
		sign = "-"
		u = uint64(-(m + 1)) + 1 // -m overflows for the smallest int64
	}
	return fmt.Sprintf("%s%d.%08d", sign, u/uint64(Unit), u%uint64(Unit))
}

func allDigits(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}
