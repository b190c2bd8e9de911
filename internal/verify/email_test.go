package verify_test

import (
	"strings"
	"testing"

	"countersign/internal/verify"
)

func TestEmailAddress(t *testing.T) {
	t.Parallel()
	domain190 := strings.Repeat("d", 63) + "." + strings.Repeat("e", 63) + "." + strings.Repeat("f", 62)
	longest := strings.Repeat("l", 63) + "@" + domain190 // 254 octets
	for _, tt := range []struct{ given, canonical string }{
		{"jane@example.com", "jane@example.com"},
		{"Jane.Doe@Example.COM", "jane.doe@example.com"},
		{"jane+news@mail.example.co.uk", "jane+news@mail.example.co.uk"},
		{"o'neil_1-2/3=4@xn--bcher-kva.example", "o'neil_1-2/3=4@xn--bcher-kva.example"},
		{"447700900004@example.com", "447700900004@example.com"},
		{"a@b.co", "a@b.co"},
		{strings.Repeat("l", 64) + "@example.com", strings.Repeat("l", 64) + "@example.com"},
		{longest, longest},
	} {
		want := verify.Address{Kind: verify.Email, Given: tt.given, Canonical: tt.canonical}
		if got, err := verify.EmailAddress(tt.given); err != nil || got != want {
			t.Errorf("%q is %q, canonical %q (%v)", tt.given, got.Given, got.Canonical, err)
		}
	}
	for _, tt := range []struct{ text, reason string }{
		{"", `"@"`}, {"jane", `"@"`}, {"447700900004", `"@"`},
		{"@example.com", "1 to 64"}, {strings.Repeat("l", 65) + "@example.com", "1 to 64"},
		{"l" + longest, "254"},
		{".jane@example.com", "dots"}, {"jane.@example.com", "dots"}, {"ja..ne@example.com", "dots"},
		{"jane doe@example.com", "only ASCII"}, {`"jane"@example.com`, "only ASCII"}, {"jane\r\nBcc: x@example.com", "only ASCII"},
		{"jane\x00@example.com", "only ASCII"}, {"jané@example.com", "only ASCII"}, {"Jane <jane@example.com>", "only ASCII"},
		{"jane,joe@example.com", "only ASCII"}, {"ja\xffne@example.com", "only ASCII"},
		{"jane@", "fully qualified"}, {"jane@localhost", "fully qualified"},
		{"jane@example..com", "parts of the domain"}, {"jane@example.com.", "parts of the domain"}, {"jane@.example.com", "parts of the domain"},
		{"jane@-a.example", "parts of the domain"}, {"jane@a-.example", "parts of the domain"}, {"jane@bücher.example", "parts of the domain"},
		{"jane@joe@example.com", "parts of the domain"}, {"jane@example.com\r\nRCPT TO:<x>", "parts of the domain"},
		{"jane@exa mple.com", "parts of the domain"}, {"jane@[192.0.2.1]", "parts of the domain"},
		{"jane@" + strings.Repeat("d", 64) + ".example", "parts of the domain"},
		{"jane@192.0.2.1", "IP address"},
	} {
		got, err := verify.EmailAddress(tt.text)
		if err == nil || !strings.Contains(err.Error(), tt.reason) || !got.IsZero() {
			t.Errorf("%q is %q, error %v; want an error with %q", tt.text, got.Given, err, tt.reason)
		}
		if err != nil && len(tt.text) > 12 && strings.Contains(err.Error(), tt.text) {
			t.Errorf("the error shows the address: %v", err)
		}
	}
}
