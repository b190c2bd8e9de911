package apiv1_test

import (
	"testing"

	"countersign/internal/server"
	"countersign/internal/servertest"
)

// TestDeniedBrands checks that the operator's denied words are refused as brand and
// payee, like other invalid names.
func TestDeniedBrands(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, func(o *server.Options) { o.Config.Limits.DeniedBrands = []string{"paypal"} })
	for path, param := range map[string]string{"/verify/json": "brand", "/verify/psd2/json": "payee"} {
		for name, want := range map[string]string{"My PAYPAL": "3 " + textInvalid + param, "Paypalette": "0 "} {
			got := call(t, s, path, form("number", "447700900"+map[string]string{"brand": "1", "payee": "2"}[param]+"00", "amount", "1", param, name))
			if text := got["status"] + " " + published(got["error_text"]); text != want {
				t.Errorf("%s %q: %s, want %s", param, name, text, want)
			}
		}
	}
}
