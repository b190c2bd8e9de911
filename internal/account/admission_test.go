package account_test

import (
	"errors"
	"testing"

	"countersign/internal/account"
	"countersign/internal/message"
	"countersign/internal/verify"
)

func TestSources(t *testing.T) {
	t.Parallel()
	some := verify.Settings{Sources: []string{"192.0.2.0/24", "2001:db8::/32", "198.51.100.7/32"}}
	for address, want := range map[string]bool{
		"192.0.2.0": true, "192.0.2.255": true, "192.0.3.0": false, "198.51.100.7": true, "198.51.100.8": false,
		"::ffff:192.0.2.9": true, "2001:db8::1": true, "2001:db9::1": false, "2001:db8::1%eth0": true, "": false, "example.com": false,
	} {
		if got := account.AllowsSource(some, address); got != want {
			t.Errorf("%q is allowed: %v, want %v", address, got, want)
		}
		if !account.AllowsSource(verify.Settings{}, address) {
			t.Errorf("%q is refused without a limit", address)
		}
	}
	if account.AllowsSource(verify.Settings{Sources: []string{"broken"}}, "192.0.2.1") {
		t.Error("an unreadable list permits every address")
	}
}

// TestRate: an account's rate precedes the installation's, and no limit applies to an
// unlimited account.
func TestRate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		installation int
		account      verify.Account
		want         int
	}{
		{30, verify.Account{}, 30},
		{0, verify.Account{}, 0},
		{30, verify.Account{Rate: 7}, 7},
		{30, verify.Account{Rate: 70}, 70},
		{0, verify.Account{Rate: 7}, 7},
		{30, verify.Account{Rate: 7, Unlimited: true}, 0},
		{30, verify.Account{PayerUnlimited: true}, 30},
	} {
		if got := (account.Policy{RequestsPerSecond: tt.installation}).Rate(tt.account); got != tt.want {
			t.Errorf("%+v: %d", tt, got)
		}
	}
}

func TestTemplate(t *testing.T) {
	t.Parallel()
	p := account.Policy{Denied: message.NewDenied([]string{"PayPal"})}
	for _, tt := range []struct {
		account verify.Account
		text    string
		want    *verify.Error
	}{
		{verify.Account{}, "${pin}", nil},
		{verify.Account{Barred: true}, "PayPal ${pin}", &verify.Error{Kind: verify.KindBarred}},
		{verify.Account{}, "PayPal ${pin}", verify.Refused(verify.FieldTemplate, "denied name: paypal")},
	} {
		err := p.Template(tt.account, tt.text)
		got, _ := errors.AsType[*verify.Error](err)
		if (got == nil) != (tt.want == nil) || got != nil && *got != *tt.want || got == nil && err != nil {
			t.Errorf("%q: %v, want %v", tt.text, err, tt.want)
		}
	}
	if err := account.MaySend(verify.Account{}); err != nil {
		t.Errorf("an account may not send: %v", err)
	}
	if e, ok := errors.AsType[*verify.Error](account.MaySend(verify.Account{Barred: true})); !ok || e.Kind != verify.KindBarred {
		t.Errorf("a barred account: %v", e)
	}
}
