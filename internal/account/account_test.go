package account_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"countersign/internal/account"
	"countersign/internal/verify"
)

func TestApply(t *testing.T) {
	t.Parallel()
	const text = `{"name":"Acme","pin_code":true,"rate":7,"parent":"parent01","daily_cap":"12.5",
		"countries":["gb","FR","GB"],"workflows":[6,1,6],"senders":["Beta","Acme"],
		"link_brands":["  Booking.com ","E.Leclerc","Caf\u0065\u0301.fr  Paris","Booking.com"],
		"sources":["192.0.2.7","2001:db8::1/32","10.1.2.3/8","::ffff:192.0.2.7"],"min_code_length":6,"strict":true,
		"test_numbers":[{"number":"+44 7700 900001","code":"123456"},{"number":"447700900000","code":"Abc123"}],
		"carrier_values":{"entity_id":"1701","content_id":"1107 é"}}`
	var s account.Settings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	a := verify.Account{Key: "demo0001", Barred: true, Balance: 5, Unlimited: true}
	if err := s.Apply(&a); err != nil {
		t.Fatal(err)
	}
	want := verify.Account{
		Key: "demo0001", Name: "Acme", CustomPIN: true, Rate: 7, Parent: "parent01", Balance: 5, Unlimited: true,
		DailyCap: 12*verify.Unit + verify.Unit/2, OnUndeliverable: verify.UndeliverableWait,
		Settings: verify.Settings{
			Countries: []string{"FR", "GB"}, Workflows: []int{1, 6}, Senders: []string{"Acme", "Beta"},
			LinkBrands:    []string{"Booking.com", "Caf\u00e9.fr Paris", "E.Leclerc"},
			Sources:       []string{"10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"},
			MinCodeLength: 6, Strict: true,
			TestNumbers:   []verify.TestNumber{{Number: "447700900000", Code: "Abc123"}, {Number: "447700900001", Code: "123456"}},
			CarrierValues: verify.CarrierValues{"entity_id": "1701", "content_id": "1107 é"},
		},
	}
	if !reflect.DeepEqual(a, want) {
		t.Errorf("got  %+v\nwant %+v", a, want)
	}
	again := a
	if err := account.Of(a).Apply(&again); err != nil || !reflect.DeepEqual(again, a) {
		t.Errorf("settings that were applied change when they are applied again: %+v, %v", again, err)
	}
}

// A change of the settings must not change the account.
func TestOfIsACopy(t *testing.T) {
	t.Parallel()
	a := verify.Account{Settings: verify.Settings{Countries: []string{"GB"}, TestNumbers: []verify.TestNumber{{Number: "447700900000", Code: "1234"}}, CarrierValues: verify.CarrierValues{"a": "1"}}}
	s := account.Of(a)
	s.CarrierValues["c"] = "3"
	if err := json.Unmarshal([]byte(`{"countries":["FR"],"test_numbers":[{"number":"1","code":"2"}],"carrier_values":{"b":"2"}}`), &s); err != nil {
		t.Fatal(err)
	}
	if a.Settings.Countries[0] != "GB" || a.Settings.TestNumbers[0].Number != "447700900000" || a.Settings.CarrierValues["a"] != "1" || len(a.Settings.CarrierValues) != 1 {
		t.Errorf("the account became %+v", a.Settings)
	}
	if len(s.CarrierValues) != 1 || s.CarrierValues["b"] != "2" {
		t.Errorf("the values are %v, want only the new values", s.CarrierValues)
	}
}

func TestApplyRefuses(t *testing.T) {
	t.Parallel()
	many := func(item string) string { return "[" + strings.Repeat(item+",", 100) + item + "]" }
	for _, tt := range []struct{ name, setting, text string }{
		{"lines", "name", `{"name":"a\nb"}`},
		{"long name", "name", `{"name":"` + strings.Repeat("é", 201) + `"}`},
		{"negative rate", "rate", `{"rate":-1}`},
		{"high rate", "rate", `{"rate":65536}`},
		{"unknown word", "on_undeliverable", `{"on_undeliverable":"later"}`},
		{"no key", "parent", `{"parent":"x"}`},
		{"no amount", "daily_cap", `{"daily_cap":"much"}`},
		{"negative amount", "daily_cap", `{"daily_cap":"-1"}`},
		{"no country", "countries", `{"countries":["XX"]}`},
		{"empty country", "countries", `{"countries":[""]}`},
		{"workflow 0", "workflows", `{"workflows":[0]}`},
		{"workflow 8", "workflows", `{"workflows":[1,8]}`},
		{"empty sender", "senders", `{"senders":[""]}`},
		{"long sender", "senders", `{"senders":["123456789012"]}`},
		{"foreign sender", "senders", `{"senders":["Ünï"]}`},
		{"padded sender", "senders", `{"senders":[" Acme"]}`},
		{"many senders", "senders", `{"senders":` + many(`"A"`) + `}`},
		{"empty brand", "link_brands", `{"link_brands":[" "]}`},
		{"long brand", "link_brands", `{"link_brands":["1234567890123456.com"]}`},
		{"invisible brand", "link_brands", `{"link_brands":["a\u200b.com"]}`},
		{"many brands", "link_brands", `{"link_brands":` + many(`"a.com"`) + `}`},
		{"no network", "sources", `{"sources":["example.com"]}`},
		{"bits", "sources", `{"sources":["192.0.2.0/33"]}`},
		{"zone", "sources", `{"sources":["fe80::1%eth0"]}`},
		{"mapped", "sources", `{"sources":["::ffff:192.0.2.0/120"]}`},
		{"many sources", "sources", `{"sources":` + many(`"192.0.2.1"`) + `}`},
		{"short code", "min_code_length", `{"min_code_length":3}`},
		{"long code", "min_code_length", `{"min_code_length":11}`},
		{"no number", "test_numbers", `{"test_numbers":[{"number":"x","code":"1234"}]}`},
		{"no code", "test_numbers", `{"test_numbers":[{"number":"447700900000","code":""}]}`},
		{"symbols", "test_numbers", `{"test_numbers":[{"number":"447700900000","code":"12 34"}]}`},
		{"twice", "test_numbers", `{"test_numbers":[{"number":"447700900000","code":"1234"},{"number":"+447700900000","code":"9999"}]}`},
		{"value without a name", "carrier_values", `{"carrier_values":{"":"1"}}`},
		{"name of a value", "carrier_values", `{"carrier_values":{"Entity-ID":"1"}}`},
		{"long name of a value", "carrier_values", `{"carrier_values":{"` + strings.Repeat("x", 33) + `":"1"}}`},
		{"empty value", "carrier_values", `{"carrier_values":{"entity_id":""}}`},
		{"long value", "carrier_values", `{"carrier_values":{"entity_id":"` + strings.Repeat("1", 256) + `"}}`},
		{"value of two lines", "carrier_values", `{"carrier_values":{"entity_id":"1\n2"}}`},
		{"no domain", "autofill", `{"autofill":{"domain":"localhost"}}`},
		{"address", "autofill", `{"autofill":{"domain":"https://example.com"}}`},
		{"short hash", "autofill", `{"autofill":{"app_hash":"FA+9qCX9VS"}}`},
		{"both ends", "autofill", `{"autofill":{"domain":"example.com","app_hash":"FA+9qCX9VSu"}}`},
		{"fraud mode", "fraud", `{"fraud":{"mode":"enforce"}}`},
		{"more than all", "fraud", `{"fraud":{"conversion_below":101}}`},
		{"less than nothing", "fraud", `{"fraud":{"conversion_finished":-1}}`},
		{"many numbers", "test_numbers", `{"test_numbers":` + many(`{"number":"447700900000","code":"1234"}`) + `}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var s account.Settings
			if err := json.Unmarshal([]byte(tt.text), &s); err != nil {
				t.Fatal(err)
			}
			a := verify.Account{Key: "demo0001", Name: "before"}
			err := s.Apply(&a)
			if e, ok := errors.AsType[*account.Error](err); !ok || e.Setting != tt.setting {
				t.Errorf("got %v, want an error of %s", err, tt.setting)
			}
			if a.Name != "before" {
				t.Errorf("the account was changed: %+v", a)
			}
		})
	}
}
