// Package account decides account policy and checks the settings of accounts.
//
// [Policy.Decide] applies the limits of the installation and of an account to a start. The
// engine calls it for every start, so no API can omit a rule. APIs parse parameters and map
// a [verify.Field] to their own parameter. [Settings.Apply] validates settings for the
// command line and the admin API.
//
// The package is pure: the caller looks up [Facts]. It does not depend on HTTP, SQL, or the
// storage of settings.
package account

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"countersign/internal/verify"
)

// Settings are the variable settings of an account, as JSON of the admin API.
// verify.Settings is embedded, so its fields need no code here.
type Settings struct {
	Name            string                 `json:"name"`
	Barred          bool                   `json:"barred"`
	Trial           bool                   `json:"trial"`
	PINCode         bool                   `json:"pin_code"`
	Rate            int                    `json:"rate"` // limit in requests per second; 0 for the default of the installation
	OnUndeliverable verify.OnUndeliverable `json:"on_undeliverable"`
	Parent          string                 `json:"parent"`    // api_key of the account that pays; "" if this account pays
	DailyCap        string                 `json:"daily_cap"` // amount; "0.00000000" means unlimited

	verify.Settings
}

// Of returns the settings of an account.
func Of(a verify.Account) Settings {
	s := Settings{
		Name: a.Name, Barred: a.Barred, Trial: a.Trial, PINCode: a.CustomPIN, Rate: a.Rate,
		OnUndeliverable: a.OnUndeliverable, Parent: a.Parent, DailyCap: a.DailyCap.String(), Settings: a.Settings,
	}
	// Deep copies, so that a change of the result does not change a.
	s.Countries, s.Workflows, s.Senders = slices.Clone(s.Countries), slices.Clone(s.Workflows), slices.Clone(s.Senders)
	s.LinkBrands, s.Sources, s.TestNumbers = slices.Clone(s.LinkBrands), slices.Clone(s.Sources), slices.Clone(s.TestNumbers)
	s.CarrierValues = maps.Clone(s.CarrierValues)
	s.SpokenBrands = maps.Clone(s.SpokenBrands)
	return s
}

// Error is an invalid setting.
type Error struct {
	Setting string // JSON name
	Reason  string
}

func (e *Error) Error() string { return e.Setting + ": " + e.Reason }

func invalid(setting, reason string, args ...any) error {
	return &Error{setting, fmt.Sprintf(reason, args...)}
}

const (
	longestName = 200
	mostRate    = 65_535 // maximum of the column in the store
)

// Apply validates the settings and sets them in a in canonical form: lists are sorted,
// without duplicates. It returns the first invalid setting as an *Error. The store checks
// whether the parent is suitable.
func (s Settings) Apply(a *verify.Account) error {
	if err := CheckName(s.Name); err != nil {
		return err
	}
	if s.Rate < 0 || s.Rate > mostRate {
		return invalid("rate", "must be 0 to %d", mostRate)
	}
	s.OnUndeliverable = cmp.Or(s.OnUndeliverable, verify.UndeliverableWait)
	if !s.OnUndeliverable.Valid() {
		return invalid("on_undeliverable", "must be %s or %s", verify.UndeliverableWait, verify.UndeliverableNextEvent)
	}
	if s.Parent != "" && !ValidKey(s.Parent) {
		return invalid("parent", "%q is not 8 letters and digits", s.Parent)
	}
	dailyCap, err := verify.ParseMoney(cmp.Or(s.DailyCap, "0"))
	if err != nil || dailyCap < 0 {
		return invalid("daily_cap", "%q is not an amount with at most 8 decimals", s.DailyCap)
	}
	checked, err := Check(s.Settings)
	if err != nil {
		return err
	}
	a.Name, a.Barred, a.Trial, a.CustomPIN, a.Rate = s.Name, s.Barred, s.Trial, s.PINCode, s.Rate
	a.OnUndeliverable, a.Parent, a.DailyCap, a.Settings = s.OnUndeliverable, s.Parent, dailyCap, checked
	return nil
}

// CheckName returns an error unless name is one line of text of at most longestName
// characters.
func CheckName(name string) error {
	if !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return invalid("name", "must be one line of text")
	}
	if utf8.RuneCountInString(name) > longestName {
		return invalid("name", "is longer than %d characters", longestName)
	}
	return nil
}

// ValidKey reports whether key has the form of an api_key.
func ValidKey(key string) bool { return regexp.MustCompile(`^[0-9A-Za-z]{8}$`).MatchString(key) }
