package verify_test

import (
	"testing"

	"countersign/internal/verify"
)

func TestParseAmount(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"48": "48.00", "48.5": "48.50", "48.50": "48.50", "0.01": "0.01", "0.1": "0.10", "007": "7.00",
		"999999999999.99": "999999999999.99", "0001000000000000": "",
		"0": "", "0.00": "", "000": "", "0.001": "",
		"": "", ".": "", ".5": "", "48.": "", "48.505": "", "1000000000000": "", "-1": "", "+1": "", "1e3": "", "1,000": "", "4.8.5": "", " 48": "", "٤٨": "",
	} {
		got, ok := verify.ParseAmount(text)
		if got != want || ok != (want != "") {
			t.Errorf("%q: got %q, %v; want %q", text, got, ok, want)
		}
	}
}
