package adminapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"countersign/internal/account"
	"countersign/internal/adminapi"
	"countersign/internal/server"
)

// settingRow is a setting with its values in the JSON form of the API. Each value
// replaces the previous one; the last is the value in a new account.
type settingRow struct {
	name   string // fields of an object have a dot before their name
	values []string
}

func settingRows() []settingRow {
	return []settingRow{
		{"name", []string{`"Acme Ltd"`, `"Beta"`, `"Acme"`}},
		{"barred", []string{`true`, `false`}},
		{"trial", []string{`true`, `false`}},
		{"pin_code", []string{`true`, `false`}},
		{"rate", []string{`7`, `65535`, `0`}},
		{"on_undeliverable", []string{`"next_event"`, `"wait"`}},
		{"parent", []string{`"parent01"`, `"parent02"`, `""`}},
		{"daily_cap", []string{`"1.50000000"`, `"0.00000001"`, `"0.00000000"`}},
		{"countries", []string{`["FR","GB"]`, `["DE"]`, `[]`}},
		{"workflows", []string{`[1,7]`, `[2]`, `[]`}},
		{"senders", []string{`["Acme","Shop"]`, `["Beta"]`, `[]`}},
		{"link_brands", []string{`["Booking.com"]`, `["E.Leclerc"]`, `[]`}},
		{"sources", []string{`["192.0.2.0/24","2001:db8::/32"]`, `["198.51.100.7/32"]`, `[]`}},
		{"min_code_length", []string{`6`, `10`, `0`}},
		{"strict", []string{`true`, `false`}},
		{"test_numbers", []string{`[{"number":"447700900001","code":"123456"}]`, `[{"number":"447700900001","code":"654321"},{"number":"447700900002","code":"Abc1"}]`, `[]`}},
		{"low_balance", []string{`"1.5"`, `"0"`, `""`}},
		{"fraud.mode", []string{`"off"`, `"shadow"`, `""`}},
		{"fraud.conversion_below", []string{`1`, `100`, `0`}},
		{"fraud.conversion_finished", []string{`1`, `1000000`, `0`}},
		{"fraud.unblock", []string{`true`, `false`}},
		{"autofill.domain", []string{`"example.com"`, `"shop.example.com"`, `""`}},
		{"autofill.app_hash", []string{`"FA+9qCX9VSu"`, `"0123456789/"`, `""`}},
		{"spoken_brands", []string{`{"AcmeInc":"Acme Inc","楽天":"らくてん"}`, `{"Other":"other"}`, `{}`}},
		{"carrier_values", []string{`{"entity_id":"1701","content_id":"é"}`, `{"other":"2"}`, `{}`}},
	}
}

// settingNames returns the settings of a type by JSON name.
func settingNames(typ reflect.Type, prefix string) (names []string) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			names = append(names, settingNames(f.Type, prefix)...)
		case f.Type.Kind() == reflect.Struct:
			names = append(names, settingNames(f.Type, prefix+name+".")...)
		default:
			names = append(names, prefix+name)
		}
	}
	return names
}

// TestEverySettingHasARow fails for a setting without a row and a row without a setting.
func TestEverySettingHasARow(t *testing.T) {
	t.Parallel()
	var rows []string
	for _, row := range settingRows() {
		rows = append(rows, row.name)
	}
	names := settingNames(reflect.TypeFor[account.Settings](), "")
	slices.Sort(rows)
	slices.Sort(names)
	if !slices.Equal(rows, names) {
		t.Errorf("the table has rows of\n%s\nand the settings are\n%s", rows, names)
	}
}

// document returns a request with the row's setting only.
func (r settingRow) document(value string) map[string]any {
	if object, name, ok := strings.Cut(r.name, "."); ok {
		return map[string]any{object: map[string]any{name: json.RawMessage(value)}}
	}
	return map[string]any{r.name: json.RawMessage(value)}
}

// TestEverySetting checks that each setting can be set at creation, replaced, reset and
// set again, without changing others.
func TestEverySetting(t *testing.T) {
	t.Parallel()
	o := start(t)
	for _, key := range []string{"plain001", "parent01", "parent02"} {
		o.ok("POST", "/accounts", map[string]any{"key": key, "name": "Acme"}, nil)
	}
	plain := o.settings("plain001")
	for i, row := range settingRows() {
		key := fmt.Sprintf("row%05d", i)
		created := map[string]any{"name": "Acme"}
		maps.Copy(created, row.document(row.values[0]))
		created["key"] = key
		o.ok("POST", "/accounts", created, nil)
		row.shown(t, o.settings(key), plain, row.values[0])
		for _, value := range append(row.values[1:], row.values[0]) {
			var answer map[string]any
			o.ok("PATCH", "/accounts/"+key, row.document(value), &answer)
			row.shown(t, onlySettings(answer), plain, value)
		}
		row.shown(t, o.settings(key), plain, row.values[0])
	}
	var listed adminapi.AccountList
	o.ok("GET", "/accounts", nil, &listed)
	if len(listed.Accounts) < len(settingRows()) {
		t.Errorf("%d accounts are listed", len(listed.Accounts))
	}
	if got := o.settings("plain001"); !reflect.DeepEqual(got, plain) {
		t.Errorf("another account became %v", got)
	}
}

// settings returns the settings of an account from the API.
func (o *office) settings(key string) map[string]any {
	o.t.Helper()
	var shown map[string]any
	o.ok("GET", "/accounts/"+key, nil, &shown)
	return onlySettings(shown)
}

// onlySettings removes read-only fields. Settings with default values may be absent.
func onlySettings(shown map[string]any) map[string]any {
	settings := map[string]any{}
	for _, row := range settingRows() {
		object, _, _ := strings.Cut(row.name, ".")
		if value, ok := shown[object]; ok {
			settings[object] = value
		}
	}
	return settings
}

// shown compares settings with plain, except for the row's setting.
func (r settingRow) shown(t *testing.T, got, plain map[string]any, value string) {
	t.Helper()
	want := maps.Clone(plain)
	if value != r.values[len(r.values)-1] {
		text, err := json.Marshal(r.document(value))
		must(t, err)
		must(t, json.Unmarshal(text, &want))
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s = %s: got %v, want %v", r.name, value, got, want)
	}
}

// TestAutofillInMessages checks that an SMS ends with the line of the current setting,
// without a restart.
func TestAutofillInMessages(t *testing.T) {
	t.Parallel()
	o := start(t)
	for i, tt := range []struct{ setting, want string }{
		{`{"domain":"example.com"}`, "\n\n@example.com #123456"},
		{`{"domain":"","app_hash":"FA+9qCX9VSu"}`, "\n\nFA+9qCX9VSu"},
		{`{"app_hash":""}`, ""},
	} {
		o.ok("PATCH", "/accounts/"+server.DemoAccount, map[string]any{"autofill": json.RawMessage(tt.setting)}, nil)
		number := fmt.Sprintf("44770090010%d", i)
		o.Post("/verify/json", url.Values{"number": {number}, "brand": {"Acme"}, "lg": {"en-us"}, "pin_code": {"123456"}})
		const text = "Acme code: 123456. Valid for 5 minutes."
		if got := o.WaitMessages(number, 1)[0].Text; got != text+tt.want {
			t.Errorf("%s: the message is %q", tt.setting, got)
		}
	}
}
