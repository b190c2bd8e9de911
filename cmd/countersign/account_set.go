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

// settingFlags are the settings of an account, for account create and account set. The
// tag param names the parameter of the admin API.
type settingFlags struct {
	Rate            *int              `help:"Rate limit in requests per second; 0 for the installation's default."`
	PINCode         *bool             `help:"Allow the application to choose the PIN (pin_code)." name:"pin-code" negatable:""`
	Trial           *bool             `help:"Restrict the account to approved numbers." negatable:""`
	OnUndeliverable string            `help:"After a refused or undeliverable event: wait (default) keeps the schedule, next_event sends the next one immediately." enum:",wait,next_event" default:"" placeholder:"WHAT"`
	Parent          *string           `help:"Parent account; its balance pays for this account." placeholder:"KEY"`
	DailyCap        *string           `help:"Daily spending limit (UTC) for the account and its sub-accounts." placeholder:"AMOUNT"`
	AllowCountry    []string          `help:"Allowed country of numbers (two letters). Repeatable. Default: all." placeholder:"COUNTRY" param:"countries"`
	AllowWorkflow   []int             `help:"Allowed workflow_id. Repeatable. Default: all." placeholder:"ID" param:"workflows"`
	AllowSender     []string          `help:"Allowed sender_id. Repeatable. Default: any." placeholder:"SENDER" param:"senders"`
	AllowBrand      []string          `help:"Allowed brand or payee that looks like a link, such as Booking.com. Repeatable. Does not limit other names." placeholder:"NAME" param:"link_brands" sep:"none"`
	AllowFrom       []string          `help:"Allowed source address or network of requests. Repeatable. Default: any." placeholder:"CIDR" param:"sources"`
	MinCodeLength   *int              `help:"Minimum length of a PIN, 4 to 10." placeholder:"N"`
	Strict          *bool             `help:"Require PINs of at least 6 digits, valid for at most 10 minutes (NIST SP 800-63B)." negatable:""`
	TestNumber      map[string]string `help:"Number that receives no messages, and its PIN. Repeatable." placeholder:"NUMBER=CODE" param:"test_numbers"`
	AutofillDomain  *string           `help:"Domain of the page where users enter the code: SMS end with @DOMAIN #CODE (WebOTP)." placeholder:"DOMAIN"`
	AutofillAppHash *string           `help:"Hash of the Android app where users enter the code, 11 characters: SMS end with it." placeholder:"HASH"`
	CarrierValue    map[string]string `help:"Value of {{.Values.NAME}} in carrier settings, such as entity_id=1701158019811410068. Repeatable." placeholder:"NAME=VALUE" mapsep:"none" param:"carrier_values"`
	SpokenBrand     map[string]string `help:"Spoken form of a brand or payee in calls, such as AcmeInc=Acme Inc. Repeatable." placeholder:"BRAND=SPOKEN" mapsep:"none" param:"spoken_brands"`
	Setting         map[string]string `help:"Any setting by its name in the admin API, with its value in JSON. Repeatable." placeholder:"NAME=JSON" mapsep:"none"`
}

// mostRepeated returns the largest number of occurrences of each repeatable flag. Parsing
// time grows with the square of the number of occurrences.
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

// settings returns the settings that are present on the command line, by admin API name.
func (f settingFlags) settings() (map[string]any, error) {
	in := map[string]any{}
	for name, value := range f.Setting {
		if !json.Valid([]byte(value)) {
			return nil, usagef("--setting %s: %s is not JSON; write a text in double quotes", name, value)
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
	if f.AutofillDomain != nil || f.AutofillAppHash != nil { // an autofill setting replaces both
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
	Name         *string  `help:"Purpose of the account."`
	Clear        []string `help:"Reset the setting of this flag to the default of a new account. Repeatable." placeholder:"FLAG"`
}

// cleared returns the default value of a flag's setting, for --clear.
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

// Run changes the settings on the command line. A list replaces the previous list.
func (c *accountSetCmd) Run(p *process) error {
	in, err := c.settings()
	if err != nil {
		return err
	}
	put(in, "name", c.Name)
	for _, flag := range slices.Compact(slices.Sorted(slices.Values(c.Clear))) {
		name, value, ok := cleared(flag)
		if !ok {
			return usagef("--clear: %q is not a flag of a setting", flag)
		}
		if _, both := in[name]; both {
			return usagef("--clear: --%s is also given; use only one of them", flag)
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
