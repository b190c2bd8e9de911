package phone

import (
	"strings"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"

	"countersign/internal/digits"
)

// maxInput bounds the characters of a number as written: the longest number after the
// longest international prefix, with a separator after every digit.
const maxInput = 40

const (
	pluses      = "+\uff0b\ufe62\u207a\u208a\u2795" // +＋﹢⁺₊➕
	opening     = "([{\uff08\uff3b\ufe59"           // ([{（［﹙
	closing     = ")]}\uff09\uff3d\ufe5a"           // )]}）］﹚
	punctuation = "./\u00b7\u2024\u2027\u2043\u2044\u2215\u30fb\u30fc\uff0e\uff0f\uff65\uff70" + opening + closing
)

// written is a number reduced to its digits.
type written struct {
	digits string // ASCII
	plus   bool   // whether a plus precedes them
	// zero is the index in digits of a trunk zero in brackets, as in "+44 (0)7700…"; -1 if
	// absent.
	zero int
}

// strip reduces a number to its digits. It refuses letters, a second plus, and
// extensions.
func strip(number string) (written, error) {
	if isDigits(number) && len(number) <= maxInput {
		return written{digits: number, zero: -1}, nil
	}
	if utf8.RuneCountInString(number) > maxInput {
		return written{}, &Error{ErrNumber, "too long"}
	}
	w := written{zero: -1}
	buf := make([]byte, 0, maxInput)
	open := -1 // digits before the last opening bracket; -1 after a closing one
	for _, r := range number {
		d, ok := digits.Value(r)
		switch {
		case ok:
			buf = append(buf, '0'+d)
		case digits.Filler(r):
		case strings.ContainsRune(punctuation, r):
			switch {
			case strings.ContainsRune(opening, r):
				open = len(buf)
			case strings.ContainsRune(closing, r):
				if open >= 0 && string(buf[open:]) == "0" && w.zero < 0 {
					w.zero = open
				}
				open = -1
			}
		case strings.ContainsRune(pluses, r) && len(buf) == 0 && !w.plus:
			w.plus = true
		case strings.ContainsRune(";#*xX", r) && len(buf) > 0:
			return written{}, &Error{ErrNumber, "not a number: extensions are not supported"}
		default:
			return written{}, &Error{ErrNumber, "not a number"}
		}
	}
	if len(buf) == 0 {
		return written{}, &Error{ErrNumber, "not a number"}
	}
	w.digits = string(buf)
	return w, nil
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// complete reports whether w, given with a territory without a plan, is certainly
// international. It must have a plus, or be assigned and either longer than 10 digits or
// begin with the calling code used by the territory. National numbers there have at most 10
// digits; a 10-digit US number can equal a number of Singapore.
func (w written) complete(territory string) bool {
	const longestNational = 10
	if w.plus {
		return true
	}
	code, short := map[string]string{"BV": "47", "GS": "500", "PN": "64"}[territory] // their national numbers are shorter
	n, err := international(w.digits)
	return err == nil && assigned(n) && (len(w.digits) > longestNational || short && strings.HasPrefix(w.digits, code))
}

// read parses w as a number of a region, or as international if region is "".
func (w written) read(region string) (*phonenumbers.PhoneNumber, error) {
	interpret := func(digits string) (*phonenumbers.PhoneNumber, error) {
		if region != "" {
			return national(digits, region)
		}
		if !w.plus && digits[0] == '0' {
			return nil, &Error{ErrNumber, "no calling code: add it, or set country"}
		}
		return international(digits)
	}
	n, err := interpret(w.digits)
	if w.zero < 0 || err == nil && assigned(n) {
		return n, err // Italian numbers keep the zero: +39 (0)6…
	}
	if without := w.digits[:w.zero] + w.digits[w.zero+1:]; without != "" {
		if n, err := interpret(without); err == nil {
			return n, nil
		}
	}
	return n, err
}
