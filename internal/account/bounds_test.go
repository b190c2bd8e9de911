package account_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"countersign/internal/account"
	"countersign/internal/verify"
)

// list returns a JSON list of n elements, formatted with their indexes.
func list(n int, format string) string {
	var items []string
	for i := range n {
		items = append(items, fmt.Sprintf(format, i))
	}
	return "[" + strings.Join(items, ",") + "]"
}

func object(n int) string {
	text := list(n, `"v%d":"1"`)
	return "{" + text[1:len(text)-1] + "}"
}

// TestBounds: for each setting, the last values on both sides of a bound; the reason of a
// refusal names the bound.
func TestBounds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ setting, value, reason string }{ // no reason: accepted
		{"name", `"` + strings.Repeat("é", 200) + `"`, ""},
		{"name", `"` + strings.Repeat("é", 201) + `"`, "is longer than 200 characters"},
		{"name", `"a\u007f"`, "must be one line of text"},
		{"rate", `0`, ""},
		{"rate", `65535`, ""},
		{"rate", `65536`, "must be 0 to 65535"},
		{"rate", `-1`, "must be 0 to 65535"},
		{"on_undeliverable", `""`, ""},
		{"on_undeliverable", `"Wait"`, "must be wait or next_event"},
		{"parent", `"0azZA9aZ"`, ""},
		{"parent", `"0azZA9a"`, `"0azZA9a" is not 8 letters and digits`},
		{"parent", `"0azZA9aZ1"`, `"0azZA9aZ1" is not 8 letters and digits`},
		{"daily_cap", `""`, ""},
		{"daily_cap", `"0"`, ""},
		{"daily_cap", `"0.00000001"`, ""},
		{"daily_cap", `"0.000000001"`, `"0.000000001" is not an amount with at most 8 decimals`},
		{"daily_cap", `"-0.00000001"`, `"-0.00000001" is not an amount`},
		{"low_balance", `""`, ""},
		{"low_balance", `"0"`, ""},
		{"low_balance", `"12.5"`, ""},
		{"low_balance", `"much"`, `"much" is not an amount with at most 8 decimals`},
		{"low_balance", `"-0.00000001"`, `"-0.00000001" is not an amount`},
		{"countries", `["AD","ZW"]`, ""},
		{"countries", `["AA"]`, `"AA" is not a country`},
		{"countries", `["ZZ"]`, `"ZZ" is not a country`},
		{"workflows", `[1,2,3,4,5,6,7]`, ""},
		{"workflows", `[0]`, "0 is not 1 to 7"},
		{"workflows", `[8]`, "8 is not 1 to 7"},
		{"senders", list(100, `"S%d"`), ""},
		{"senders", list(101, `"S%d"`), "must have at most 100 entries"},
		{"senders", `["12345678901"]`, ""},
		{"senders", `["123456789012"]`, `"123456789012" must be 1 to 11 letters, digits, spaces or .-_+&`},
		{"link_brands", list(100, `"a%d.com"`), ""},
		{"link_brands", list(101, `"a%d.com"`), "must have at most 100 entries"},
		{"link_brands", `["12345678901234.com"]`, ""},
		{"link_brands", `["123456789012345.com"]`, "must have 1 to 18 visible characters"},
		{"link_brands", `["a"]`, ""},
		{"link_brands", `["\ufffd.com"]`, "must have 1 to 18 visible characters"},
		{"sources", list(100, `"192.0.2.%d"`), ""},
		{"sources", list(101, `"192.0.2.%d"`), "must have at most 100 entries"},
		{"sources", `["0.0.0.0/0","::/0"]`, ""},
		{"sources", `["192.0.2.0/33"]`, "is neither an address nor a network"},
		{"min_code_length", `0`, ""},
		{"min_code_length", `4`, ""},
		{"min_code_length", `10`, ""},
		{"min_code_length", `3`, "must be 4 to 10, or 0 for the default"},
		{"min_code_length", `11`, "must be 4 to 10, or 0 for the default"},
		{"test_numbers", list(100, `{"number":"4477009%05d","code":"1234"}`), ""},
		{"test_numbers", list(101, `{"number":"4477009%05d","code":"1234"}`), "must have at most 100 entries"},
		{"test_numbers", `[{"number":"447700900000","code":"azAZ09azAZ"}]`, ""},
		{"test_numbers", `[{"number":"447700900000","code":"123"}]`, "the code of 447700900000 is not 4 to 10 letters and digits"},
		{"fraud", `{"mode":"off","conversion_below":100,"conversion_finished":1000000}`, ""},
		{"fraud", `{"mode":"shadow"}`, ""},
		{"fraud", `{"mode":"Off"}`, "mode must be off or shadow"},
		{"fraud", `{"conversion_below":101}`, "conversion_below must be 0 to 100"},
		{"fraud", `{"conversion_below":-1}`, "conversion_below must be 0 to 100"},
		{"fraud", `{"conversion_finished":1000001}`, "conversion_finished must be 0 to 1000000"},
		{"fraud", `{"conversion_finished":-1}`, "conversion_finished must be 0 to 1000000"},
		{"autofill", `{"domain":"example.com"}`, ""},
		{"autofill", `{"app_hash":"FA+9qCX9VSu"}`, ""},
		{"carrier_values", object(32), ""},
		{"carrier_values", object(33), "must have at most 32 entries"},
	} {
		var s account.Settings
		if err := json.Unmarshal([]byte(`{"`+tt.setting+`":`+tt.value+`}`), &s); err != nil {
			t.Fatal(err)
		}
		err := s.Apply(&verify.Account{})
		e, ok := errors.AsType[*account.Error](err)
		if ok != (tt.reason != "") || ok && (e.Setting != tt.setting || !strings.Contains(e.Reason, tt.reason)) || !ok && err != nil {
			t.Errorf("%s = %.60s: %v, want %q", tt.setting, tt.value, err, tt.reason)
		}
	}
}

// TestEmptyListsAreNone: an empty list or map is stored as nil.
func TestEmptyListsAreNone(t *testing.T) {
	t.Parallel()
	s := account.Settings{Settings: verify.Settings{
		Countries: []string{}, Workflows: []int{}, Senders: []string{}, LinkBrands: []string{}, Sources: []string{},
		TestNumbers: []verify.TestNumber{}, CarrierValues: verify.CarrierValues{},
	}}
	var a verify.Account
	if err := s.Apply(&a); err != nil {
		t.Fatal(err)
	}
	got := a.Settings
	if got.Countries != nil || got.Workflows != nil || got.Senders != nil || got.LinkBrands != nil || got.Sources != nil || got.TestNumbers != nil || got.CarrierValues != nil {
		t.Errorf("stored %+v", got)
	}
}
