package verify_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"countersign/internal/verify"
)

func TestMasked(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		kind        verify.AddressKind
		given, want string
	}{
		{verify.Phone, "447700900004", "4477••••04"},
		{verify.Phone, "1234567890", "1234••••90"},
		{verify.Phone, "123456789", "••••"},
		{verify.Phone, "+447700900004", "••••"},
		{verify.Phone, "jane@example.com", "••••"},
		{verify.Phone, "", "••••"},
		{verify.Email, "jane@example.com", "j••••@example.com"},
		{verify.Email, "élan@example.com", "é••••@example.com"},
		{verify.Email, `"a@b"@example.com`, `"••••@example.com`},
		{verify.Email, "j@example.com", "••••@example.com"},
		{verify.Email, "@example.com", "••••"},
		{verify.Email, "447700900004", "••••"},
		{verify.Email, "", "••••"},
		{"", "447700900004", "••••"},
	} {
		a := verify.Address{Kind: tt.kind, Given: tt.given, Canonical: tt.given}
		if got := a.Masked(); got != tt.want {
			t.Errorf("%s %q is masked as %q, want %q", tt.kind, tt.given, got, tt.want)
		}
	}
}

func TestAddressNumber(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		address verify.Address
		want    string
	}{
		{verify.PhoneAddress("5491123456789", ""), "5491123456789"}, // as given, not the canonical form
		{verify.Address{Kind: verify.Email, Given: "447700900004", Canonical: "447700900004"}, ""},
		{verify.Address{}, ""},
	} {
		if got := tt.address.Number(); got != tt.want {
			t.Errorf("number of %s %v is %q, want %q", tt.address.Kind, tt.address, got, tt.want)
		}
	}
}

// TestAddressIsMaskedInLogs checks that neither fmt nor slog shows an address that is a
// value or part of one.
func TestAddressIsMaskedInLogs(t *testing.T) {
	t.Parallel()
	const number = "447700900004"
	to := verify.PhoneAddress(number, "")
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("sent", "to", to)
	message := struct{ To verify.Address }{to}
	for _, text := range []string{out.String(), fmt.Sprint(to), fmt.Sprintf("%v %+v %#v", message, message, message)} {
		if strings.Contains(text, number) || !strings.Contains(text, "4477••••04") {
			t.Errorf("the text shows the number, or not its masked form: %s", text)
		}
	}
}
