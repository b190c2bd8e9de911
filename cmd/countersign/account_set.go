package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"countersign/internal/account"
	"countersign/internal/adminapi"
)

// settingFlags are what can be laid down for an account, when it is created and later.
// The names in param are those of the admin API.
type settingFlags struct {
	Rate            *int              `help:"Requests allowed in any second; 0 for the installation's default."`
	PINCode         *bool             `help:"Allow the application to choose the PIN (pin_code)." name:"pin-code" negatable:""`
	Trial           *bool             `help:"Allow only approved numbers." negatable:""`
	OnUndeliverable string            `help:"What follows an event that a carrier refused or could not deliver: wait for the time of the next one, the default, or next_event at once." enum:",wait,next_event" default:"" placeholder:"WHAT"`
	Parent          *string           `help:"Account whose balance this one uses." placeholder:"KEY"`
	DailyCap        *string           `help:"What it, and those that use its balance, may spend in a day (UTC)." placeholder:"AMOUNT"`
	AllowCountry    []string          `help:"Country whose numbers it may verify (two letters); may be repeated. Without it: all." placeholder:"COUNTRY" param:"countries"`
	AllowWorkflow   []int             `help:"workflow_id that it may ask for; may be repeated. Without it: all." placeholder:"ID" param:"workflows"`
	AllowSender     []string          `help:"sender_id that it may name; may be repeated. Without it: any." placeholder:"SENDER" param:"senders"`
	AllowBrand      []string          `help:"Brand or payee that may look like a link, such as Booking.com; may be repeated. Does not limit other names." placeholder:"NAME" param:"link_brands" sep:"none"`
	AllowFrom       []string          `help:"Address or network that its requests may come from; may be repeated. Without it: any." placeholder:"CIDR" param:"sources"`
	MinCodeLength   *int              `help:"The least length of a PIN, 4 to 10." placeholder:"N"`
	Strict          *bool             `help:"PINs of at least 6 digits, good for at most 10 minutes (NIST SP 800-63B)." negatable:""`
	TestNumber      map[string]string `help:"Number that nothing is sent to, and its PIN; may be repeated." placeholder:"NUMBER=CODE" param:"test_numbers"`
	AutofillDomain  *string           `help:"Domain of the page that asks for the code: its SMS end with @DOMAIN #CODE (WebOTP)." placeholder:"DOMAIN"`
	AutofillAppHash *string           `help:"Hash of the Android app that asks for the code, 11 characters: its SMS end with it." placeholder:"HASH"`
	CarrierValue    map[string]string `help:"Value that carriers put into its messages as {{.Values.NAME}}, such as entity_id=1701158019811410068; may be repeated." placeholder:"NAME=VALUE" mapsep:"none" param:"carrier_values"`
	SpokenBrand     map[string]string `help:"Name that calls say for a brand or payee, such as AcmeInc=Acme Inc; may be repeated." placeholder:"BRAND=SPOKEN" mapsep:"none" param:"spoken_brands"`
	Setting         map[string]string `help:"Any setting of the admin API by its name there, and its value in JSON; may be repeated." placeholder:"NAME=JSON" mapsep:"none"`
}

// mostRepeated returns the largest number of occurrences of each flag that may be
// repeated. The time to parse them grows with the square of their number.
func mostRepeated() map[string]int {
	const countries, workflows, settings, numbers = 250, 7, 100, 1000
	return map[string]int{
		"allow-country": countries, "allow-workflow": workflows, "allow-sender": account.MostSenders,
		"allow-brand": account.MostLinkBrands, "allow-from": account.MostSources, "test-number": account.MostTestNumbers,
		"carrier-value": account.MostValues, "spoken-brand": account.MostSpokenBrands, "setting": settings, "approve": numbers, "clear": settings,
	}
}

// checkRepeated returns an error for a flag with more occurrences than mostRepeated allows.
func checkRepeated(args []string) error {
	given := map[string]int{}
	for _, arg := range args {
		if arg == "--" {
			break
		}
		if name, ok := strings.CutPrefix(arg, "--"); ok {
			name, _, _ = strings.Cut(name, "=")
			given[name]++
		}
	}
	for name, most := range mostRepeated() {
		if given[name] > most {
			return fmt.Errorf("--%s: given %d times; at most %d are allowed", name, given[name], most)
		}
	}
	return nil
}

// settings gives those that were named, as the admin API takes them.
func (f settingFlags) settings() (map[string]any, error) {
	in := map[string]any{}
	for name, value := range f.Setting {
		if !json.Valid([]byte(value)) {
			return nil, usagef("--setting %s: %s is not JSON; a text stands in quotes", name, value)
		}
		in[name] = json.RawMessage(value)
	}
	put(in, "rate", f.Rate)
	put(in, "pin_code", f.PINCode)
	put(in, "trial", f.Trial)
	put(in, "parent", f.Parent)
	put(in, "daily_cap", f.DailyCap)
	put(in, "min_code_length", f.MinCodeLength)
	put(in, "strict", f.Strict)
	if f.OnUndeliverable != "" {
		in["on_undeliverable"] = f.OnUndeliverable
	}
	putList(in, "countries", f.AllowCountry)
	putList(in, "workflows", f.AllowWorkflow)
	putList(in, "senders", f.AllowSender)
	putList(in, "link_brands", f.AllowBrand)
	putList(in, "sources", f.AllowFrom)
	var tests []map[string]string
	for number, code := range f.TestNumber {
		tests = append(tests, map[string]string{"number": number, "code": code})
	}
	putList(in, "test_numbers", tests)
	if len(f.CarrierValue) > 0 {
		in["carrier_values"] = f.CarrierValue
	}
	if len(f.SpokenBrand) > 0 {
		in["spoken_brands"] = f.SpokenBrand
	}
	if f.AutofillDomain != nil || f.AutofillAppHash != nil { // one takes the place of the other
		fill := map[string]any{"domain": "", "app_hash": ""}
		put(fill, "domain", f.AutofillDomain)
		put(fill, "app_hash", f.AutofillAppHash)
		in["autofill"] = fill
	}
	return in, nil
}

func put[T any](in map[string]any, name string, value *T) {
	if value != nil {
		in[name] = *value
	}
}

func putList[T any](in map[string]any, name string, list []T) {
	if len(list) > 0 {
		in[name] = list
	}
}

type accountSetCmd struct {
	adminFlag
	settingFlags `group:"Settings"`
	Key          string   `arg:"" help:"The api_key."`
	Name         *string  `help:"What the account is for."`
	Clear        []string `help:"Setting to put back to what it is for a new account, by the name of its flag; may be repeated." placeholder:"FLAG"`
}

// cleared is what a setting becomes that is cleared, by its flag.
func cleared(flag string) (name string, value any, ok bool) {
	none := []string{}
	switch flag {
	case "rate":
		return "rate", 0, true
	case "pin-code":
		return "pin_code", false, true
	case "trial":
		return "trial", false, true
	case "on-undeliverable":
		return "on_undeliverable", "wait", true
	case "parent":
		return "parent", "", true
	case "daily-cap":
		return "daily_cap", "0", true
	case "allow-country":
		return "countries", none, true
	case "allow-workflow":
		return "workflows", none, true
	case "allow-sender":
		return "senders", none, true
	case "allow-brand":
		return "link_brands", none, true
	case "allow-from":
		return "sources", none, true
	case "min-code-length":
		return "min_code_length", 0, true
	case "strict":
		return "strict", false, true
	case "test-number":
		return "test_numbers", none, true
	case "carrier-value":
		return "carrier_values", map[string]string{}, true
	case "spoken-brand":
		return "spoken_brands", map[string]string{}, true
	case "autofill-domain", "autofill-app-hash":
		return "autofill", map[string]any{"domain": "", "app_hash": ""}, true
	}
	return "", nil, false
}

// Run changes the settings that are named. A list takes the place of the one that was.
func (c *accountSetCmd) Run(p *process) error {
	in, err := c.settings()
	if err != nil {
		return err
	}
	put(in, "name", c.Name)
	for _, flag := range slices.Compact(slices.Sorted(slices.Values(c.Clear))) {
		name, value, ok := cleared(flag)
		if !ok {
			return usagef("--clear: there is no flag --%s that could be cleared", flag)
		}
		if _, both := in[name]; both {
			return usagef("--clear: --%s is given, too", flag)
		}
		in[name] = value
	}
	for _, brand := range slices.Sorted(maps.Keys(c.SpokenBrand)) {
		if warning := unicodeWarning("brand", brand); warning != "" {
			fmt.Fprintln(p.stderr, "warning: "+warning)
		}
	}
	return c.ask(p, adminapi.Request{Method: http.MethodPatch, Path: adminapi.Path("accounts", c.Key), JSON: in}, nil)
}
