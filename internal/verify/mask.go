package verify

import (
	"log/slog"
	"strings"
)

const mask = "••••"

// Masked returns the form of the address for logs: 4477••••04 for a phone, with the network
// visible, and j••••@example.com for an e-mail address. The number of dots is always four.
// An address of another form, or one that would have fewer than four digits hidden, is
// hidden whole.
func (a Address) Masked() string {
	switch a.Kind {
	case Phone:
		return maskNumber(a.Given)
	case Email:
		return maskEmail(a.Given)
	}
	return mask
}

func maskNumber(digits string) string {
	const head, tail, hidden = 4, 2, 4
	if len(digits) < head+hidden+tail || strings.Trim(digits, "0123456789") != "" {
		return mask
	}
	return digits[:head] + mask + digits[len(digits)-tail:]
}

// maskEmail shows the first character of the local part unless it is the only one.
func maskEmail(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 1 {
		return mask
	}
	local, domain := []rune(address[:at]), address[at:]
	if len(local) < 2 {
		return mask + domain
	}
	return string(local[:1]) + mask + domain
}

// String returns the masked form, so that fmt shows no full address.
func (a Address) String() string { return a.Masked() }

// GoString returns the masked form for the %#v verb.
func (a Address) GoString() string { return a.Masked() }

// LogValue returns the masked form for slog.
func (a Address) LogValue() slog.Value { return slog.StringValue(a.Masked()) }
