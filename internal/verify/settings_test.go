package verify_test

import (
	"testing"
	"time"

	"countersign/internal/verify"
)

func TestSettingsSources(t *testing.T) {
	t.Parallel()
	some := verify.Settings{Sources: []string{"192.0.2.0/24", "2001:db8::/32", "198.51.100.7/32"}}
	for address, want := range map[string]bool{
		"192.0.2.0": true, "192.0.2.255": true, "192.0.3.0": false, "198.51.100.7": true, "198.51.100.8": false,
		"::ffff:192.0.2.9": true, "2001:db8::1": true, "2001:db9::1": false, "2001:db8::1%eth0": true, "": false, "example.com": false,
	} {
		if got := some.AllowsSource(address); got != want {
			t.Errorf("%q is allowed: %v, want %v", address, got, want)
		}
		if !(verify.Settings{}).AllowsSource(address) {
			t.Errorf("%q is not allowed though nothing was laid down", address)
		}
	}
	if (verify.Settings{Sources: []string{"broken"}}).AllowsSource("192.0.2.1") {
		t.Error("a list that nobody can read allows all")
	}
}

func TestSettingsLists(t *testing.T) {
	t.Parallel()
	none, some := verify.Settings{}, verify.Settings{Countries: []string{"GB"}, Workflows: []int{6}, Senders: []string{"Acme"}}
	for name, tt := range map[string]struct{ got, want bool }{
		"a country":            {some.AllowsCountry("GB"), true},
		"another country":      {some.AllowsCountry("FR"), false},
		"no country":           {some.AllowsCountry(""), false},
		"any country":          {none.AllowsCountry(""), true},
		"a workflow":           {some.AllowsWorkflow(6), true},
		"another workflow":     {some.AllowsWorkflow(1), false},
		"any workflow":         {none.AllowsWorkflow(1), true},
		"a sender":             {some.AllowsSender("Acme"), true},
		"another sender":       {some.AllowsSender("ACME"), false},
		"no sender":            {some.AllowsSender(""), true},
		"any sender":           {none.AllowsSender("x"), true},
		"a long life":          {none.MayLive(time.Hour), true},
		"a strict life":        {verify.Settings{Strict: true}.MayLive(10 * time.Minute), true},
		"longer than strict":   {verify.Settings{Strict: true}.MayLive(10*time.Minute + time.Second), false},
		"a sender with signs":  {verify.ValidSender("A b.-_+&9"), true},
		"a sender of 11":       {verify.ValidSender("12345678901"), true},
		"a sender of 12":       {verify.ValidSender("123456789012"), false},
		"a sender with an end": {verify.ValidSender("Acme "), false},
		"a sender with é":      {verify.ValidSender("Café"), false},
		"a broken sender":      {verify.ValidSender("\xff"), false},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %v, want %v", name, tt.got, tt.want)
		}
	}
}

func TestSettingsLinkBrands(t *testing.T) {
	t.Parallel()
	some := verify.Settings{LinkBrands: []string{"Booking.com", "Müller & Co.de"}}
	for name, want := range map[string]bool{
		"Booking.com": true, "BOOKING.COM": true, " booking.com\u00a0": true, "MÜLLER  &\tCO.DE": true,
		"Booking.co": false, "Booking.com.": false, "": false, "Book ing.com": false, "Müller&Co.de": false,
	} {
		if got := some.AllowsLinkBrand(name); got != want {
			t.Errorf("%q is allowed: %v, want %v", name, got, want)
		}
	}
	if (verify.Settings{}).AllowsLinkBrand("") || (verify.Settings{}).AllowsLinkBrand("Booking.com") {
		t.Error("an account without the setting is allowed a link")
	}
}

func TestSettingsCodeLength(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		least  int
		strict bool
		want   int
	}{{0, false, 4}, {5, false, 5}, {10, false, 10}, {0, true, 6}, {4, true, 6}, {8, true, 8}} {
		if got := (verify.Settings{MinCodeLength: tt.least, Strict: tt.strict}).LeastCodeLength(); got != tt.want {
			t.Errorf("%+v: %d", tt, got)
		}
	}
}

func TestSettingsTestPIN(t *testing.T) {
	t.Parallel()
	s := verify.Settings{TestNumbers: []verify.TestNumber{{Number: "447700900000", Code: "123456"}, {Number: "447700900001", Code: "?"}}}
	if pin, ok := s.TestPIN("447700900000"); !ok || pin.Reveal() != "123456" {
		t.Errorf("got %v, %q", ok, pin.Reveal())
	}
	for _, other := range []string{"447700900001", "447700900002", "", "4477009000000"} {
		if _, ok := s.TestPIN(other); ok {
			t.Errorf("%q is a test number", other)
		}
	}
}

func TestPayer(t *testing.T) {
	t.Parallel()
	own, child := verify.Account{Key: "own00001"}, verify.Account{Key: "child001", Parent: "parent01"}
	if own.Payer() != "own00001" || child.Payer() != "parent01" {
		t.Errorf("%s and %s pay", own.Payer(), child.Payer())
	}
	if own.OnCredit() || !(verify.Account{Unlimited: true}).OnCredit() || !(verify.Account{PayerUnlimited: true}).OnCredit() {
		t.Error("on credit is who is unlimited, or whose payer is")
	}
}
