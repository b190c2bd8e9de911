package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"countersign/internal/account"
	"countersign/internal/adminapi"
)

// settingStep has the flags of a command and the resulting setting in JSON; "" if the
// setting is not shown.
type settingStep struct{ flags, want string }

// settingRow has the name of a setting and the flags that set, replace and clear it.
type settingRow struct {
	name  string // admin API name; fields of an object have a dot before their name
	steps []settingStep
}

func settingRows() []settingRow {
	return []settingRow{
		{"name", []settingStep{{"--name=Beta", `"Beta"`}, {"--name=Acme", `"Acme"`}}},
		{"barred", []settingStep{{"--setting=barred=true", "true"}, {"--setting=barred=false", "false"}}},
		{"trial", []settingStep{{"--trial", "true"}, {"--no-trial", "false"}, {"--trial", "true"}, {"--clear=trial", "false"}}},
		{"pin_code", []settingStep{{"--pin-code", "true"}, {"--no-pin-code", "false"}, {"--pin-code", "true"}, {"--clear=pin-code", "false"}}},
		{"rate", []settingStep{{"--rate=7", "7"}, {"--rate=9", "9"}, {"--clear=rate", "0"}, {"--rate=7", "7"}, {"--rate=0", "0"}}},
		{"on_undeliverable", []settingStep{
			{"--on-undeliverable=next_event", `"next_event"`}, {"--on-undeliverable=wait", `"wait"`},
			{"--on-undeliverable=next_event", `"next_event"`}, {"--clear=on-undeliverable", `"wait"`},
		}},
		{"parent", []settingStep{{"--parent=parent01", `"parent01"`}, {"--parent=parent02", `"parent02"`}, {"--clear=parent", `""`}}},
		{"daily_cap", []settingStep{{"--daily-cap=1.5", `"1.50000000"`}, {"--daily-cap=2", `"2.00000000"`}, {"--clear=daily-cap", `"0.00000000"`}}},
		{"countries", []settingStep{{"--allow-country=gb --allow-country=FR", `["FR","GB"]`}, {"--allow-country=DE", `["DE"]`}, {"--clear=allow-country", ""}}},
		{"workflows", []settingStep{{"--allow-workflow=7,1", `[1,7]`}, {"--allow-workflow=2", `[2]`}, {"--clear=allow-workflow", ""}}},
		{"senders", []settingStep{{"--allow-sender=Shop --allow-sender=Acme", `["Acme","Shop"]`}, {"--allow-sender=Beta", `["Beta"]`}, {"--clear=allow-sender", ""}}},
		{"link_brands", []settingStep{{"--allow-brand=Booking.com", `["Booking.com"]`}, {"--allow-brand=E.Leclerc", `["E.Leclerc"]`}, {"--clear=allow-brand", ""}}},
		{"sources", []settingStep{{"--allow-from=192.0.2.0/24", `["192.0.2.0/24"]`}, {"--allow-from=2001:db8::1", `["2001:db8::1/128"]`}, {"--clear=allow-from", ""}}},
		{"min_code_length", []settingStep{{"--min-code-length=6", "6"}, {"--min-code-length=10", "10"}, {"--clear=min-code-length", ""}}},
		{"strict", []settingStep{{"--strict", "true"}, {"--no-strict", ""}, {"--strict", "true"}, {"--clear=strict", ""}}},
		{"test_numbers", []settingStep{
			{"--test-number=+447700900001=123456", `[{"code":"123456","number":"447700900001"}]`},
			{"--test-number=447700900002=Abc1", `[{"code":"Abc1","number":"447700900002"}]`}, {"--clear=test-number", ""},
		}},
		{"low_balance", []settingStep{{`--setting=low_balance="1.5"`, `"1.5"`}, {`--setting=low_balance="0"`, `"0"`}, {`--setting=low_balance=""`, ""}}},
		{"fraud.mode", []settingStep{{`--setting=fraud={"mode":"off"}`, `"off"`}, {`--setting=fraud={"mode":"shadow"}`, `"shadow"`}, {`--setting=fraud={"mode":""}`, ""}}},
		{"fraud.conversion_below", []settingStep{{`--setting=fraud={"conversion_below":5}`, "5"}, {`--setting=fraud={"conversion_below":0}`, ""}}},
		{"fraud.conversion_finished", []settingStep{{`--setting=fraud={"conversion_finished":9}`, "9"}, {`--setting=fraud={"conversion_finished":0}`, ""}}},
		{"fraud.unblock", []settingStep{{`--setting=fraud={"unblock":true}`, "true"}, {`--setting=fraud={"unblock":false}`, ""}}},
		{"autofill.domain", []settingStep{
			{"--autofill-domain=example.com", `"example.com"`}, {"--autofill-domain=shop.example.com", `"shop.example.com"`},
			{"--autofill-app-hash=FA+9qCX9VSu", ""}, {"--autofill-domain=example.com", `"example.com"`}, {"--clear=autofill-domain", ""},
		}},
		{"autofill.app_hash", []settingStep{
			{"--autofill-app-hash=FA+9qCX9VSu", `"FA+9qCX9VSu"`}, {"--autofill-app-hash=0123456789/", `"0123456789/"`},
			{"--autofill-domain=example.com", ""}, {"--autofill-app-hash=FA+9qCX9VSu", `"FA+9qCX9VSu"`}, {"--clear=autofill-app-hash", ""},
		}},
		{"spoken_brands", []settingStep{
			{"--spoken-brand=AcmeInc=A;B --spoken-brand=Bank=Bänk", `{"AcmeInc":"A;B","Bank":"Bänk"}`},
			{"--spoken-brand=Other=other", `{"Other":"other"}`}, {"--clear=spoken-brand", ""},
		}},
		{"carrier_values", []settingStep{
			{"--carrier-value=entity_id=1701 --carrier-value=key=a;b=c", `{"entity_id":"1701","key":"a;b=c"}`},
			{"--carrier-value=other=2", `{"other":"2"}`}, {"--clear=carrier-value", ""},
		}},
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

// TestEverySettingHasARow fails for a setting without a row, a row without a setting, and
// a flag without a row that sets or clears it.
func TestEverySettingHasARow(t *testing.T) {
	t.Parallel()
	var rows, used []string
	for _, row := range settingRows() {
		rows = append(rows, row.name)
		for _, step := range row.steps {
			used = append(used, strings.Fields(step.flags)...)
		}
	}
	names := settingNames(reflect.TypeFor[account.Settings](), "")
	slices.Sort(rows)
	slices.Sort(names)
	if !slices.Equal(rows, names) {
		t.Errorf("the table has rows of\n%s\nand the settings are\n%s", rows, names)
	}
	parser, err := kong.New(&cli{}, kong.Name("countersign"))
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range parser.Model.Leaves(true) {
		if leaf.Path() != "countersign account set" {
			continue
		}
		for _, f := range leaf.Flags {
			if f.Group == nil || f.Group.Title != "Settings" || f.Name == "setting" {
				continue
			}
			if !slices.ContainsFunc(used, func(u string) bool { return u == "--"+f.Name || strings.HasPrefix(u, "--"+f.Name+"=") }) {
				t.Errorf("no row sets --%s", f.Name)
			}
			if !slices.Contains(used, "--clear="+f.Name) {
				t.Errorf("no row clears --%s", f.Name)
			}
			if f.Tag.Negatable != "" && !slices.Contains(used, "--no-"+f.Name) {
				t.Errorf("no row has --no-%s", f.Name)
			}
		}
	}
}

// TestEverySetting checks that the command sets, replaces and clears each setting without
// changing others, and that account create sets them all.
func TestEverySetting(t *testing.T) {
	t.Parallel()
	in := administered(t)
	url := in.serve() // opens the database once for all commands
	in.environ = append(in.environ, "COUNTERSIGN_ADMIN_URL="+url)
	create := func(key string, flags ...string) {
		in.ok(append([]string{"account", "create", "Acme", "--key=" + key, "CONFIG"}, flags...)...)
	}
	for _, key := range []string{"parent01", "parent02", "acme0001"} {
		create(key)
	}
	plain := in.shownSettings(url, "acme0001")
	var all []string
	for _, row := range settingRows() {
		for _, step := range row.steps {
			in.ok(append([]string{"account", "set", "acme0001", "CONFIG"}, strings.Fields(step.flags)...)...)
			row.shown(t, in.shownSettings(url, "acme0001"), plain, step)
		}
		if row.atCreation() {
			all = append(all, strings.Fields(row.steps[0].flags)...)
		}
	}
	if got := in.shownSettings(url, "acme0001"); !reflect.DeepEqual(got, plain) {
		t.Errorf("after all changes the account has %v, at first %v", got, plain)
	}
	create("full0001", all...)
	full := in.shownSettings(url, "full0001")
	for _, row := range settingRows() {
		if row.atCreation() {
			row.shown(t, full, full, row.steps[0])
		}
	}
}

// atCreation reports whether account create accepts the first flags of the row together
// with the flags of all other rows.
func (r settingRow) atCreation() bool {
	switch r.name {
	case "name": // an argument of account create
		return false
	case "autofill.app_hash": // excludes autofill.domain
		return false
	}
	return !strings.HasPrefix(r.name, "fraud.") || r.name == "fraud.unblock" // --setting fraud takes one object
}

// shownSettings returns the settings of an account from the admin API.
func (in *installation) shownSettings(url, key string) map[string]any {
	in.t.Helper()
	token, err := adminapi.ReadToken(filepath.Join(in.dir, "data", "admin-token"))
	if err != nil {
		in.t.Fatal(err)
	}
	client := adminapi.Client{URL: url, Token: token, HTTP: http.DefaultClient}
	var shown map[string]any
	if err := client.Do(in.t.Context(), adminapi.Request{Method: http.MethodGet, Path: adminapi.Path("accounts", key)}, &shown); err != nil {
		in.t.Fatal(err)
	}
	settings := map[string]any{}
	for _, row := range settingRows() {
		name, _, _ := strings.Cut(row.name, ".")
		if value, ok := shown[name]; ok {
			settings[name] = value
		}
	}
	return settings
}

// shown compares the setting of the row with the step, and all other settings with plain.
func (r settingRow) shown(t *testing.T, got, plain map[string]any, step settingStep) {
	t.Helper()
	object, inner, nested := strings.Cut(r.name, ".")
	value := got[object]
	if object, ok := value.(map[string]any); nested && ok {
		value = object[inner]
	}
	text := ""
	if value != nil {
		b, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		text = string(b)
	}
	if text != step.want {
		t.Errorf("%s: %s is %q, want %q", step.flags, r.name, text, step.want)
	}
	for name, value := range got {
		if name != object && !reflect.DeepEqual(value, plain[name]) {
			t.Errorf("%s: %s became %v", step.flags, name, value)
		}
	}
	for name := range plain {
		if _, ok := got[name]; !ok && name != object {
			t.Errorf("%s: %s is missing", step.flags, name)
		}
	}
}
