package account_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"countersign/internal/account"
	"countersign/internal/message"
	"countersign/internal/verify"
)

// ask is a start that every rule permits until a test changes it.
type ask struct {
	policy  account.Policy
	account verify.Account
	request verify.Request
	facts   account.Facts
}

func newAsk() *ask {
	return &ask{
		account: verify.Account{Key: "demo0001"},
		request: verify.Request{
			Account: "demo0001", To: verify.PhoneAddress("447700900000", "GB"), Brand: "Acme", Locale: "en-gb",
			Workflow: verify.Workflow{Steps: account.Steps(1), PINLife: time.Hour},
		},
	}
}

func (a *ask) decide() account.Decision {
	return a.policy.Decide(a.account, a.request, a.facts)
}

func (a *ask) limit(change func(*verify.Settings)) { change(&a.account.Settings) }

// custom returns the template of an SMS.
func custom(t *testing.T, text string) message.Custom {
	t.Helper()
	c, err := message.ParseCustom(verify.SMS, "en-gb", text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func pin(code string) verify.PIN {
	p, _ := verify.ParsePIN(code)
	return p
}

// ruleTest is the row of one rule: a refused request, and the nearest permitted one.
type ruleTest struct {
	name    string
	setting string // field of verify.Settings or verify.Account that the rule reads; "" for other rules
	refuse  func(*testing.T, *ask)
	permit  func(*testing.T, *ask) // applied after refuse
	want    verify.Error
}

func field(f verify.Field, reason string) verify.Error { return *verify.Refused(f, reason) }

func unsupported(rule verify.Rule, detail string) verify.Error {
	return verify.Error{Kind: verify.KindUnsupportedNetwork, By: verify.Cause{Rule: rule, Detail: detail}}
}

// rules lists the rules in the order in which they refuse a start.
func rules() []ruleTest {
	return slices.Concat(accountRules(), pinRules(), templateRules(), destinationRules())
}

func accountRules() []ruleTest {
	const excluded = "not allowed for this account"
	return []ruleTest{
		{
			"barred", "Barred", func(_ *testing.T, a *ask) { a.account.Barred = true },
			func(_ *testing.T, a *ask) { a.account.Barred = false }, verify.Error{Kind: verify.KindBarred},
		},
		{
			"brand that looks like a link", "LinkBrands", func(_ *testing.T, a *ask) {
				a.request.Brand = "Booking.com"
				a.limit(func(s *verify.Settings) { s.LinkBrands = []string{"Other.com"} })
			}, func(_ *testing.T, a *ask) {
				a.limit(func(s *verify.Settings) { s.LinkBrands = []string{"booking.com"} })
			}, field(verify.FieldBrand, "looks like a link: booking.com"),
		},
		{
			"payee", "", func(_ *testing.T, a *ask) {
				a.request.Brand, a.request.Payment = "", &verify.Payment{Payee: "The Acme Corporation"}
			}, func(_ *testing.T, a *ask) { a.request.Payment.Payee = "The Acme" },
			field(verify.FieldBrand, "too long: 20 characters, at most 18"),
		},
		{
			"denied name", "", func(_ *testing.T, a *ask) {
				a.policy.Denied, a.request.Brand = message.NewDenied([]string{"PayPal"}), "My PayPal"
			}, func(_ *testing.T, a *ask) { a.request.Brand = "My Pal" }, field(verify.FieldBrand, "denied name: paypal"),
		},
		{
			"sender of no form", "", func(_ *testing.T, a *ask) { a.request.Sender = "Acme " },
			func(_ *testing.T, a *ask) { a.request.Sender = "Acme" }, field(verify.FieldSender, "begins or ends with a space"),
		},
		{
			"other sender", "Senders", func(_ *testing.T, a *ask) {
				a.request.Sender = "acme"
				a.limit(func(s *verify.Settings) { s.Senders = []string{"Acme"} })
			}, func(_ *testing.T, a *ask) { a.request.Sender = "" }, field(verify.FieldSender, excluded),
		},
	}
}

func pinRules() []ruleTest {
	return []ruleTest{
		{
			"short PIN", "MinCodeLength", func(_ *testing.T, a *ask) {
				a.request.CodeLength = 6
				a.limit(func(s *verify.Settings) { s.MinCodeLength = 7 })
			}, func(_ *testing.T, a *ask) { a.request.CodeLength = 7 },
			field(verify.FieldPINLength, "a PIN of this account has at least 7 characters"),
		},
		{
			"strict: short PIN", "Strict", func(_ *testing.T, a *ask) {
				a.request.CodeLength, a.request.Workflow.PINLife = 5, time.Minute
				a.limit(func(s *verify.Settings) { s.Strict, s.MinCodeLength = true, 4 })
			}, func(_ *testing.T, a *ask) { a.request.CodeLength = 6 },
			field(verify.FieldPINLength, "a PIN of this account has at least 6 characters"),
		},
		{
			"other workflow", "Workflows", func(_ *testing.T, a *ask) {
				a.limit(func(s *verify.Settings) { s.Workflows = []int{4, 6} })
			}, func(_ *testing.T, a *ask) { a.request.Workflow.Steps = account.Steps(6) },
			field(verify.FieldWorkflow, "not allowed for this account"),
		},
		{
			"strict: long life", "Strict", func(_ *testing.T, a *ask) {
				a.limit(func(s *verify.Settings) { s.Strict = true })
				a.request.Workflow.PINLife = account.StrictPINLife + 1
			}, func(_ *testing.T, a *ask) { a.request.Workflow.PINLife = account.StrictPINLife },
			field(verify.FieldPINLife, "a PIN of this account is valid for at most 600 seconds"),
		},
		{
			"PIN without the permission", "CustomPIN", func(_ *testing.T, a *ask) { a.request.ChosenPIN = pin("1234") },
			func(_ *testing.T, a *ask) { a.account.CustomPIN = true }, verify.Error{Kind: verify.KindCustomPINNotAllowed},
		},
		{
			"malformed PIN without the permission", "CustomPIN", func(_ *testing.T, a *ask) { a.facts.Malformed = verify.FieldPIN },
			func(_ *testing.T, a *ask) { a.account.CustomPIN = true }, verify.Error{Kind: verify.KindCustomPINNotAllowed},
		},
		{
			"short chosen PIN", "MinCodeLength", func(_ *testing.T, a *ask) {
				a.account.CustomPIN, a.request.ChosenPIN = true, pin("Abc12")
				a.limit(func(s *verify.Settings) { s.MinCodeLength = 6 })
			}, func(_ *testing.T, a *ask) { a.request.ChosenPIN = pin("Abc123") },
			field(verify.FieldPIN, "a PIN of this account has at least 6 characters"),
		},
	}
}

func templateRules() []ruleTest {
	return []ruleTest{
		{
			"link by the words of a template", "LinkBrands", func(t *testing.T, a *ask) {
				a.request.Brand = "Booking.com"
				a.limit(func(s *verify.Settings) { s.LinkBrands = []string{"Booking.com"} })
				a.facts.Templates = []message.Custom{custom(t, "${brand}: ${pin}"), custom(t, "${pin} evil-${brand}")}
			}, func(_ *testing.T, a *ask) { a.facts.Templates = a.facts.Templates[:1] },
			field(verify.FieldBrand, "in the words of the template: looks like a link: evil-booking.com"),
		},
		{
			"denied name by the words of a template", "", func(t *testing.T, a *ask) {
				a.request.Brand, a.policy.Denied = "Pal", message.NewDenied([]string{"Pay Pal"})
				a.facts.Templates = []message.Custom{custom(t, "Pay ${brand}: ${pin}")}
			}, func(_ *testing.T, a *ask) { a.request.Brand = "Acme" },
			field(verify.FieldBrand, "in the words of the template: denied name: pay pal"),
		},
	}
}

func destinationRules() []ruleTest {
	return []ruleTest{
		{
			"not approved", "Trial", func(_ *testing.T, a *ask) { a.account.Trial = true },
			func(_ *testing.T, a *ask) { a.facts.Approved = true }, verify.Error{Kind: verify.KindNotApproved},
		},
		{
			"block list", "", func(_ *testing.T, a *ask) { a.facts.Blocked = true }, func(_ *testing.T, a *ask) { a.facts.Blocked = false },
			verify.Error{Kind: verify.KindBlocked, By: verify.Cause{Rule: verify.RuleBlockedNumber}},
		},
		{
			"other country", "Countries", func(_ *testing.T, a *ask) {
				a.limit(func(s *verify.Settings) { s.Countries = []string{"FR", "US"} })
			}, func(_ *testing.T, a *ask) { a.request.To.Country = "US" }, unsupported(verify.RuleCountries, "GB"),
		},
		{
			"number of no country", "Countries", func(_ *testing.T, a *ask) {
				a.request.To.Country = ""
				a.limit(func(s *verify.Settings) { s.Countries = []string{"FR"} })
			}, func(_ *testing.T, a *ask) { a.limit(func(s *verify.Settings) { s.Countries = nil }) },
			unsupported(verify.RuleCountries, "none"),
		},
		{
			"network", "", func(_ *testing.T, a *ask) { a.policy.UnsupportedNetworks = []string{"447", "88"} },
			func(_ *testing.T, a *ask) { a.request.To = verify.PhoneAddress("442079460000", a.request.To.Country) }, unsupported(verify.RuleNetwork, "447"),
		},
	}
}

// TestRules: each rule refuses with its error, and permits the nearest other request. A
// destination rule applies neither to a test number nor to a partial request; every other
// rule applies to both. Without a number every rule applies.
func TestRules(t *testing.T) {
	t.Parallel()
	if d := newAsk().decide(); len(d.Refusals) != 0 {
		t.Fatalf("a request without a limit: %v", d.Refusals)
	}
	for i, rule := range rules() {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			a := newAsk()
			rule.refuse(t, a)
			if got := a.decide().Refusals; len(got) != 1 || *got[0] != rule.want {
				t.Errorf("refusals %+v, want %+v", got, rule.want)
			}
			ofDestination := i >= len(rules())-len(destinationRules())
			partial, unaddressed := *a, *a
			partial.facts.Partial = true
			if unaddressed.request.To = verify.PhoneAddress("", unaddressed.request.To.Country); rule.name != "network" && len(unaddressed.decide().Refusals) != 1 {
				t.Error("the rule does not apply to a request without a number")
			}
			test := *a
			test.account.Settings.TestNumbers = []verify.TestNumber{{Number: a.request.To.Given, Code: "123456"}}
			for name, other := range map[string]ask{"parsed in part": partial, "to a test number": test} {
				if got := other.decide().Refusals; (len(got) == 0) != ofDestination {
					t.Errorf("%s: refusals %v", name, got)
				}
			}
			if rule.permit(t, a); len(a.decide().Refusals) != 0 {
				t.Errorf("the nearest permitted request is refused: %v", a.decide().Refusals)
			}
		})
	}
}

// TestRulesOrder: of two rules that refuse a request, the first in the list is the first
// refusal.
func TestRulesOrder(t *testing.T) {
	t.Parallel()
	for i, first := range rules() {
		for _, second := range rules()[i+1:] {
			a := newAsk()
			second.refuse(t, a)
			alone := len(a.decide().Refusals)
			first.refuse(t, a)
			got := a.decide().Refusals
			if len(got) <= alone {
				continue // the two set one value
			}
			if *got[0] != first.want {
				t.Errorf("%s and %s: refused with %+v first", first.name, second.name, *got[0])
			}
		}
	}
}

// unlimiting returns the fields of accounts that limit no request, with the reason. The
// test below fails for a field that is in neither this map nor the table of rules.
func unlimiting() map[string]string {
	return map[string]string{
		"Sources": "limits every call, see TestSources", "Rate": "limits every call, see TestRate", "Unlimited": "see TestRate",
		"TestNumbers": "changes the request, see TestDecisionRequest",
		"LowBalance":  "a warning", "Fraud": "limits of velocity rules, in package fraud", "Autofill": "the end of an SMS",
		"CarrierValues": "values of messages", "SpokenBrands": "words of calls",
		"Key": "", "Name": "", "Settings": "its fields are listed", "OnUndeliverable": "time of the next event",
		"Parent": "money, decided in the transaction", "Balance": "money", "DailyCap": "money", "PayerUnlimited": "money",
	}
}

// TestEveryLimitHasARow: a field of an account that limits requests has a row in the table.
func TestEveryLimitHasARow(t *testing.T) {
	t.Parallel()
	tested := unlimiting()
	for _, rule := range rules() {
		if _, ok := unlimiting()[rule.setting]; ok {
			t.Errorf("%s has a row, and is listed as no limit", rule.setting)
		}
		tested[rule.setting] = "has a row"
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[verify.Account](), reflect.TypeFor[verify.Settings]()} {
		for i := range typ.NumField() {
			if name := typ.Field(i).Name; tested[name] == "" && name != "Key" && name != "Name" {
				t.Errorf("%s.%s: add a rule to the policy and a row to the table, or its reason to unlimiting", typ, name)
			}
		}
	}
}

// TestDecisionRequest: the request as permitted has the least PIN length by default, texts
// in composed form, and the PIN of a test number. The given request is unchanged.
func TestDecisionRequest(t *testing.T) {
	t.Parallel()
	a := newAsk()
	a.account.Settings.MinCodeLength, a.account.Settings.Strict = 5, true
	a.request.Workflow.PINLife = time.Minute
	a.request.Brand = "Cafe\u0301"
	a.request.Payment = &verify.Payment{Payee: "Cafe\u0301", Amount: "1"}
	d := a.decide()
	if r := d.Request; len(d.Refusals) != 0 || r.CodeLength != 6 || r.Brand != "Café" || r.Payment.Payee != "Café" || r.Payment.Amount != "1" {
		t.Errorf("permitted %+v, refused %v", r, d.Refusals)
	}
	if a.request.Payment.Payee != "Cafe\u0301" {
		t.Error("the given request was changed")
	}
	if a.request.CodeLength = 8; a.decide().Request.CodeLength != 8 {
		t.Error("the given length was changed")
	}

	a.account.CustomPIN, a.request.ChosenPIN = true, pin("999999")
	a.account.Settings.TestNumbers = []verify.TestNumber{{Number: "447700900001", Code: "?"}, {Number: a.request.To.Given, Code: "1234"}}
	if r := a.decide().Request; !r.Workflow.Test || r.ChosenPIN.Reveal() != "1234" {
		t.Errorf("a test number: %+v", r)
	}
	for _, other := range []string{"447700900001", "447700900002", "4477009000000", ""} {
		a.request.To = verify.PhoneAddress(other, a.request.To.Country)
		if r := a.decide().Request; r.Workflow.Test || r.ChosenPIN.Reveal() != "999999" {
			t.Errorf("%q is a test number", other)
		}
	}
}

// TestLinkBrandsSpelling: letter case and white space of an allowed brand are ignored.
func TestLinkBrandsSpelling(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"Booking.com": true, "BOOKING.COM": true, " booking.com\u00a0": true, "MÜLLER  & CO.DE": true, "": true,
		"Booking.co": false, "Booking.com.": false, "Müller&Co.de": false,
	} {
		a := newAsk()
		a.account.Settings.LinkBrands = []string{"Booking.com", "Müller & Co.de"}
		a.request.Brand = name
		if got := a.decide().Refusals; (len(got) == 0) != want {
			t.Errorf("%q: %v, want permitted: %v", name, got, want)
		}
	}
}

func TestLeastPINLength(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		least  int
		strict bool
		want   int
	}{{0, false, 4}, {5, false, 5}, {10, false, 10}, {0, true, 6}, {4, true, 6}, {8, true, 8}} {
		a := newAsk()
		a.account.Settings.MinCodeLength, a.account.Settings.Strict = tt.least, tt.strict
		if got := a.decide().Request.CodeLength; got != tt.want {
			t.Errorf("%+v: %d", tt, got)
		}
	}
}
