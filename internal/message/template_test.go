package message

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/language"
)

// A mistake in a locale file must prevent the program from starting. The embedded files are
// correct, so this test uses the internals of the package.
func TestBrokenTemplates(t *testing.T) {
	t.Parallel()
	known := map[variable]bool{varBrand: true, varPIN: true, varExpiry: true}
	for _, tt := range []struct {
		name, text string
		sms, call  bool // valid for an SMS, or for a call
	}{
		{"good for both", "Code ${pin} from ${brand}", true, true},
		{"single quotes, no slash, ms", "<break time='500ms' />Code ${pin} it is", false, true},
		{"double quotes", `<break time="2s"/> Code ${pin} it is`, false, true},
		{"no PIN", "Code from ${brand}", false, false},
		{"unknown variable", "Code ${pin} of ${payee}", false, false},
		{"misspelt variable", "Code ${pin} ${brnd}", false, false},
		{"open brace", "Code ${pin} ${brand", false, false},
		{"unknown markup", "Code <emphasis>${pin}</emphasis> it is", false, false},
		{"pause without a length", "<break/> Code ${pin} it is", false, false},
		{"pause of nothing", "<break time='0s'/> Code ${pin} it is", false, false},
		{"no word after the PIN", "Code ${pin}", true, false},
		{"no word before the PIN", "${pin} is your code", true, false},
		{"variable after the PIN", "Code ${pin}, ${pin_expiry} minutes", true, false},
		{"variable before the PIN", "Code of ${brand}: ${pin} it is", true, false},
		{"digit after the PIN", "Code ${pin}, 5 minutes", true, false},
		{"digit before the PIN", "Code 1: ${pin} it is", true, false},
		{"only a pause after the PIN", "Code ${pin} <break time='1s' />", false, false},
	} {
		parsed, err := parseTemplate(tt.text, known)
		if got := err == nil && parsed.checkSMS() == nil; got != tt.sms {
			t.Errorf("%s: as an SMS got %v, want %v", tt.name, got, tt.sms)
		}
		if got := err == nil && parsed.checkCall() == nil; got != tt.call {
			t.Errorf("%s: as a call got %v, want %v", tt.name, got, tt.call)
		}
	}
}

// FuzzText: an SMS text that is valid in the syntax for calls has the same meaning in the
// syntax for SMS, so stored templates keep their meaning.
func FuzzText(f *testing.F) {
	for _, text := range []string{
		"Code ${pin} from ${brand}", "${pin}${pin_expiry}", "&lt;${pin}&gt;", "<#> ${pin}", "$5 ${pin", "${pin} <break time='1s'/>", "\xff${pin}\r\n", "${${pin}}",
	} {
		f.Add(text)
	}
	known := map[variable]bool{varBrand: true, varPIN: true, varExpiry: true}
	value := func(v variable) string { return "[" + string(v) + "]" }
	f.Fuzz(func(t *testing.T, text string) {
		now, err := parseText(text, known)
		if err == nil {
			whole := strings.NewReplacer("${pin}", "[pin]", "${brand}", "[brand]", "${pin_expiry}", "[pin_expiry]").Replace(text)
			if got := now.text(value); got != whole {
				t.Errorf("%q became %q, want %q", text, got, whole)
			}
		}
		before, errBefore := parseTemplate(text, known)
		if errBefore != nil || slices.ContainsFunc(before, func(p piece) bool { return p.pause > 0 }) {
			return
		}
		if err != nil || !slices.Equal(now, before) {
			t.Errorf("%q: was %v, is %v, %v", text, before, now, err)
		}
	})
}

// A number without a word must also prevent the program from starting.
func TestBrokenMinutes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		texts map[string]string
		ok    bool
	}{
		{"forms", map[string]string{"one": "${pin_expiry} minute", "other": "${pin_expiry} minutes"}, true},
		{"numbers beside forms", map[string]string{"=1": "a minute", "=60": "an hour", "one": "1 minute", "other": "minutes"}, true},
		{"number in place of a form", map[string]string{"=1": "a minute", "other": "minutes"}, true},
		{"form missing", map[string]string{"one": "a minute", "=2": "two minutes"}, false},
		{"no such form", map[string]string{"other": "minutes", "ones": "a minute"}, false},
		{"number 0", map[string]string{"other": "minutes", "=0": "no time"}, false},
		{"number too large", map[string]string{"other": "minutes", "=61": "an hour"}, false},
		{"no number", map[string]string{"other": "minutes", "=x": "a minute"}, false},
		{"number of no words", map[string]string{"other": "minutes", "=7": ""}, false},
		{"variable", map[string]string{"other": "${minutes}"}, false},
	} {
		if err := newMinutes(language.English).add(tt.texts); (err == nil) != tt.ok {
			t.Errorf("%s: got %v, want good %v", tt.name, err, tt.ok)
		}
	}
}
