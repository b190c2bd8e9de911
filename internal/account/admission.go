package account

import (
	"net/netip"
	"slices"

	"countersign/internal/verify"
)

// The rules on calls other than a start. A start also applies the bar, see
// [Policy.Decide].

// MaySend returns [verify.KindBarred] for an account that must not cause messages.
func MaySend(a verify.Account) error {
	if e := barred(&question{account: a}); e != nil {
		return e
	}
	return nil
}

// Template returns the refusal of a new template with the given text: [verify.KindBarred]
// or an invalid [verify.FieldTemplate].
func (p Policy) Template(a verify.Account, text string) error {
	if err := MaySend(a); err != nil {
		return err
	}
	if word := p.Denied.Find(text); word != "" {
		return verify.Refused(verify.FieldTemplate, deniedName(word))
	}
	return nil
}

// Rate returns the account's limit in requests per second; 0 means unlimited.
func (p Policy) Rate(a verify.Account) int {
	switch {
	case a.Unlimited:
		return 0
	case a.Rate > 0:
		return a.Rate
	}
	return p.RequestsPerSecond
}

// AllowsSource reports whether requests of the account may come from an IP address.
func AllowsSource(s verify.Settings, address string) bool {
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
