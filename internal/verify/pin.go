package verify

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// Bounds on the length of a PIN, generated or chosen by the application.
const (
	MinPINLength = 4
	MaxPINLength = 10
)

const redacted = "[PIN]"

// PIN is a secret code: a generated or chosen PIN, or a submitted code, which is as secret
// since a wrong code is often a near miss. Only [PIN.Reveal] returns the code; fmt, slog
// and encoding/json print a placeholder.
type PIN struct{ code string }

// ParsePIN parses a code of 4 to 10 ASCII letters or digits.
func ParsePIN(s string) (PIN, bool) {
	if len(s) < MinPINLength || len(s) > MaxPINLength {
		return PIN{}, false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		default:
			return PIN{}, false
		}
	}
	return PIN{s}, true
}

// NewPIN generates n digits; each of the 10ⁿ codes is equally likely. Bytes above 249 are
// discarded, since they would favour the digits 0 to 5. It panics if rnd fails.
func NewPIN(rnd io.Reader, n int) PIN {
	digits := make([]byte, 0, n)
	buf := make([]byte, n)
	for len(digits) < n {
		if _, err := io.ReadFull(rnd, buf); err != nil {
			panic(fmt.Sprintf("verify: source of randomness failed: %v", err))
		}
		for _, b := range buf {
			if b < 250 && len(digits) < n {
				digits = append(digits, '0'+b%10)
			}
		}
	}
	return PIN{string(digits)}
}

// Equal compares in constant time. The zero PIN equals no PIN, itself included, so a
// verification with a destroyed PIN cannot succeed.
func (p PIN) Equal(other PIN) bool {
	if p.IsZero() || other.IsZero() {
		return false
	}
	// Padded to one length, so that the time does not depend on the length of the PIN.
	var a, b [MaxPINLength + 1]byte
	a[0], b[0] = byte(len(p.code)), byte(len(other.code))
	copy(a[1:], p.code)
	copy(b[1:], other.code)
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// IsZero reports whether p has no code.
func (p PIN) IsZero() bool { return p.code == "" }

// Len returns the number of characters of the code.
func (p PIN) Len() int { return len(p.code) }

// Reveal returns the code, for its encryption and for the message to the user.
func (p PIN) Reveal() string { return p.code }

// String hides the code from fmt.
func (p PIN) String() string { return redacted }

// GoString hides the code from the %#v verb.
func (p PIN) GoString() string { return redacted }

// LogValue hides the code from slog.
func (p PIN) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText hides the code from encoding/json and encoding/xml.
func (p PIN) MarshalText() ([]byte, error) { return []byte(redacted), nil }
