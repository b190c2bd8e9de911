package verify_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"

	"countersign/internal/verify"
)

const (
	digits  = "0123456789"
	lower   = "abcdefghijklmnopqrstuvwxyz"
	letters = lower + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// TestCharacters: exactly the characters of each alphabet are accepted.
func TestCharacters(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		allowed string
		valid   func(char string) bool
	}{
		{"PIN", digits + letters, func(c string) bool { _, ok := verify.ParsePIN("123" + c); return ok }},
		{"sender", digits + letters + " .-_+&", func(c string) bool { return verify.ValidSender("A" + c + "z") }},
		{"name of a carrier value", digits + lower + "_", func(c string) bool { return verify.ValidValueName("a" + c) }},
		{"app hash", digits + letters + "+/", func(c string) bool { return verify.Autofill{AppHash: "FA+9qCX9VS" + c}.Check() == nil }},
		{"first of a domain", digits + lower, func(c string) bool { return verify.Autofill{Domain: c + "x.example.com"}.Check() == nil }},
		{"inside a domain", digits + lower + "-.", func(c string) bool { return verify.Autofill{Domain: "a" + c + "x.example.com"}.Check() == nil }},
		{"first of a top-level domain", lower + ".", func(c string) bool { return verify.Autofill{Domain: "example." + c + "zz"}.Check() == nil || c == "." }},
		{"last of a domain", digits + lower, func(c string) bool { return verify.Autofill{Domain: "example.co" + c}.Check() == nil }},
		{"id", digits + "abcdefABCDEF", func(c string) bool { _, ok := verify.ParseID(strings.Repeat("0", 31) + c); return ok }},
		{"amount", digits, func(c string) bool { _, ok := verify.ParseAmount("1" + c); return ok }},
		{"money", digits + ".", func(c string) bool { _, err := verify.ParseMoney("1" + c); return err == nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for r := range rune(0x180) {
				if got, want := tt.valid(string(r)), strings.ContainsRune(tt.allowed, r); got != want {
					t.Errorf("%q is accepted: %v", r, got)
				}
			}
			if tt.valid("\xff") {
				t.Error("a broken octet is accepted")
			}
		})
	}
}

func TestAutofill(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("a", n-len(".com")) + ".com" }
	for _, tt := range []struct {
		fill verify.Autofill
		want string // part of the error; "" if the setting is valid
	}{
		{verify.Autofill{}, ""},
		{verify.Autofill{Domain: "a.zz"}, ""},
		{verify.Autofill{Domain: "shop.example.com"}, ""},
		{verify.Autofill{Domain: "xn--mller-kva.example"}, ""},
		{verify.Autofill{Domain: long(64)}, ""},
		{verify.Autofill{Domain: long(65)}, "domain must be a lower-case name such as example.com"},
		{verify.Autofill{Domain: "localhost"}, "domain must be a lower-case name such as example.com"},
		{verify.Autofill{Domain: "example.c"}, "domain must be a lower-case name such as example.com"},
		{verify.Autofill{Domain: "example.com."}, "domain must be a lower-case name such as example.com"},
		{verify.Autofill{Domain: "example.com\n"}, "domain must be a lower-case name such as example.com"},
		{verify.Autofill{Domain: "example..com"}, "domain must be a lower-case name such as example.com"},
		{verify.Autofill{Domain: "a-.example.com"}, "domain must be a lower-case name such as example.com"},
		{verify.Autofill{AppHash: "FA+9qCX9VSu"}, ""},
		{verify.Autofill{AppHash: "FA+9qCX9VS"}, "app_hash must have 11 characters: letters, digits, + or /"},
		{verify.Autofill{AppHash: "FA+9qCX9VSuu"}, "app_hash must have 11 characters: letters, digits, + or /"},
		{verify.Autofill{Domain: "example.com", AppHash: "FA+9qCX9VSu"}, "set domain or app_hash, not both"},
	} {
		err := tt.fill.Check()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.fill, err, tt.want)
		}
	}
	pin, _ := verify.ParsePIN("4711")
	for want, fill := range map[string]verify.Autofill{
		"": {}, "@example.com #4711": {Domain: "example.com"}, "FA+9qCX9VSu": {AppHash: "FA+9qCX9VSu"},
	} {
		if got := fill.Line(pin); got != want {
			t.Errorf("%+v: the line is %q, want %q", fill, got, want)
		}
	}
}

// TestIDForms: an id has dashes in exactly four places.
func TestIDForms(t *testing.T) {
	t.Parallel()
	id := verify.NewID(rand.Reader)
	text := id.String()
	if got, ok := verify.ParseID(strings.ToUpper(text)); !ok || got != id || id.IsZero() || !(verify.ID{}).IsZero() {
		t.Errorf("%s is read as %s, %v", strings.ToUpper(text), got, ok)
	}
	if strings.ReplaceAll(text, "-", "") != id.Hex() {
		t.Errorf("%s and %s are different ids", text, id.Hex())
	}
	for i := range text {
		other := "-"
		if text[i] == '-' {
			other = "0"
		}
		if got, ok := verify.ParseID(text[:i] + other + text[i+1:]); ok || !got.IsZero() {
			t.Errorf("with %s at %d it is %s", other, i, got)
		}
	}
	for octet, want := range map[byte]string{0: "00000000-0000-4000-8000-000000000000", 255: "ffffffff-ffff-4fff-bfff-ffffffffffff"} {
		if got := verify.NewID(bytes.NewReader(bytes.Repeat([]byte{octet}, 16))).String(); got != want {
			t.Errorf("of octets %d NewID makes %s, want %s (version 4, variant 10)", octet, got, want)
		}
	}
	if got := (verify.EventKey{Verification: id, Seq: 3}).String(); got != id.String()+"/3" {
		t.Errorf("the key of an event is %s", got)
	}
}

// TestNewPIN: digits are the octets below 250, in order.
func TestNewPIN(t *testing.T) {
	t.Parallel()
	if got := verify.NewPIN(bytes.NewReader([]byte{255, 250, 249, 0, 11, 12, 13, 14}), 4).Reveal(); got != "9012" {
		t.Errorf("drew %s", got)
	}
	for n := verify.MinPINLength; n <= verify.MaxPINLength; n++ {
		if pin := verify.NewPIN(rand.Reader, n); pin.Len() != n || pin.IsZero() || len(pin.Reveal()) != n {
			t.Errorf("a PIN of %d digits has %d", n, pin.Len())
		}
	}
}

// TestBrokenRandomness: without randomness there is no id and no PIN.
func TestBrokenRandomness(t *testing.T) {
	t.Parallel()
	for name, draw := range map[string]func(io.Reader){
		"NewID":  func(r io.Reader) { verify.NewID(r) },
		"IDAt":   func(r io.Reader) { verify.IDAt(t0, r) },
		"NewPIN": func(r io.Reader) { verify.NewPIN(r, 4) },
	} {
		func() {
			defer func() {
				if text, ok := recover().(string); !ok || !strings.Contains(text, "source of randomness failed") {
					t.Errorf("%s: %v", name, text)
				}
			}()
			draw(io.LimitReader(rand.Reader, 3))
		}()
	}
}

func TestPINEqual(t *testing.T) {
	t.Parallel()
	parse := func(s string) verify.PIN { p, _ := verify.ParsePIN(s); return p }
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"1234", "1234", true},
		{"abCD567890", "abCD567890", true},
		{"1234", "1235", false},
		{"1234", "12345", false},
		{"12345", "1234", false},
		{"abcd", "ABCD", false},
		{"", "", false},
		{"1234", "", false},
		{"", "1234", false},
	} {
		if got := parse(tt.a).Equal(parse(tt.b)); got != tt.want {
			t.Errorf("%q equals %q: %v", tt.a, tt.b, got)
		}
	}
}

func TestSenderDefect(t *testing.T) {
	t.Parallel()
	for sender, want := range map[string]string{
		"": "", "A": "", "12345678901": "", "A b.-_+&9": "",
		"123456789012": "12 characters, at most 11", " Acme": "begins or ends with a space", "Acme ": "begins or ends with a space",
		"Café": "must be letters A to Z, digits, space and .-_+&",
	} {
		if got := verify.SenderDefect(sender); got != want || verify.ValidSender(sender) != (want == "") {
			t.Errorf("%q: %q, want %q", sender, got, want)
		}
	}
}

func TestCarrierValueBounds(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"": false, "a": true, strings.Repeat("a", 32): true, strings.Repeat("a", 33): false} {
		if got := verify.ValidValueName(name); got != want {
			t.Errorf("name of %d characters: %v", len(name), got)
		}
	}
	for value, want := range map[string]bool{
		"": true, strings.Repeat("é", 127) + "x": true, strings.Repeat("é", 128): false, "a\nb": false, "a\x7f": false, "\xff": false, "two words": true,
	} {
		if got := verify.ValidValue(value); got != want {
			t.Errorf("value %q: %v", value, got)
		}
	}
	values := verify.CarrierValues{"b": "2"}
	if err := values.UnmarshalJSON([]byte(`{"a":"1"}`)); err != nil || len(values) != 1 || values["a"] != "1" {
		t.Errorf("read as %v (%v)", values, err)
	}
	values = nil
	if err := values.UnmarshalJSON([]byte(`{"a":1}`)); err == nil || values != nil {
		t.Errorf("a number is read as %v", values)
	}
}

func TestAccountStates(t *testing.T) {
	t.Parallel()
	for value, want := range map[verify.OnUndeliverable]bool{"wait": true, "next_event": true, "": false, "Wait": false} {
		if got := value.Valid(); got != want {
			t.Errorf("%q is valid: %v", value, got)
		}
	}
}

func TestErrorTexts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		kind verify.Kind
		want string
	}{
		{verify.Invalid("lg", "no such locale"), verify.KindInvalidParameter, "verify: refused (invalid_parameter): parameter lg: no such locale"},
		{verify.Invalid("lg", ""), verify.KindInvalidParameter, "verify: refused (invalid_parameter): parameter lg"},
		{verify.Missing("brand"), verify.KindMissingParameter, "verify: refused (missing_parameter): parameter brand"},
		{&verify.Error{Kind: verify.KindBarred, Reason: "not shown"}, verify.KindBarred, "verify: refused (barred)"},
		{verify.Refused(verify.FieldSender, "not allowed"), verify.KindInvalidParameter, "verify: refused (invalid_parameter): parameter sender: not allowed"},
	} {
		e, ok := errors.AsType[*verify.Error](tt.err)
		if !ok || e.Kind != tt.kind || tt.err.Error() != tt.want {
			t.Errorf("got %q, want %q", tt.err, tt.want)
		}
	}
}

// TestKinds: the list has every kind once, in order.
func TestKinds(t *testing.T) {
	t.Parallel()
	kinds := verify.Kinds()
	for i, k := range kinds {
		if int(k) != i {
			t.Errorf("kind %s is at %d", k, i)
		}
	}
	if len(kinds) == 0 || kinds[len(kinds)-1] != verify.KindUnavailable {
		t.Errorf("the kinds are %v", kinds)
	}
}

// TestSumRefusals: equal refusals are added up, with the latest cause and the earliest
// time.
func TestSumRefusals(t *testing.T) {
	t.Parallel()
	refusal := func(number string, rule verify.Rule, detail string, times int64, first, last float64) verify.Refusal {
		return verify.Refusal{
			Account: "demo0001", Number: number, Cause: verify.Cause{Rule: rule, Detail: detail}, Times: times, First: at(first), Last: at(last),
		}
	}
	list := []verify.Refusal{
		refusal("447700900000", verify.RuleCap, "new", 2, 50, 60), refusal("447700900001", verify.RuleCap, "", 1, 40, 40),
		refusal("447700900000", verify.RuleBalance, "", 1, 30, 30), refusal("447700900000", verify.RuleCap, "old", 3, 10, 20),
		refusal("447700900000", verify.RuleCap, "clock", 4, 70, 70),
	}
	other := list[0]
	other.Account = "demo0002"
	got := verify.SumRefusals(append(list, other))
	want := []verify.Refusal{refusal("447700900000", verify.RuleCap, "new", 9, 10, 60), list[1], list[2], other}
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%d: got %+v, want %+v", i, got[i], want[i])
		}
	}
}

// TestDetailBound: a detail keeps 120 octets and no broken character.
func TestDetailBound(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ detail, want string }{
		{strings.Repeat("x", 120), strings.Repeat("x", 120)},
		{strings.Repeat("x", 121), strings.Repeat("x", 120)},
		{strings.Repeat("x", 119) + "é", strings.Repeat("x", 119)},
	} {
		if got := (&verify.Error{By: verify.Cause{Rule: verify.RuleCap, Detail: tt.detail}}).Cause().Detail; got != tt.want {
			t.Errorf("%d octets became %q", len(tt.detail), got)
		}
	}
}

// TestTestingRequest: a test number's request has the fixed PIN and is marked.
func TestTestingRequest(t *testing.T) {
	t.Parallel()
	pin, _ := verify.ParsePIN("123456")
	req := request(300, 125).Testing(pin)
	if v := start(t, req); !v.Workflow.Test || !v.PIN.Equal(pin) {
		t.Errorf("the PIN is %q, a test: %v", v.PIN.Reveal(), v.Workflow.Test)
	}
}
