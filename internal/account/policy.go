package account

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"countersign/internal/message"
	"countersign/internal/verify"
)

// The limits of a strict account, see [verify.Settings].
const (
	StrictPINLength = 6
	StrictPINLife   = 10 * time.Minute
)

// Policy has the limits of the installation. They apply to every account in addition to its
// own limits. The zero value has no limits.
type Policy struct {
	RequestsPerSecond   int            // default rate limit of accounts; 0 means unlimited
	UnsupportedNetworks []string       // unsupported prefixes of numbers (E.164 digits)
	Denied              message.Denied // names excluded from brands, payees and templates
}

// Facts are the results of lookups for one request. The zero value is a complete request
// with empty results.
type Facts struct {
	Templates []message.Custom // templates of the account in the locale of the request
	Approved  bool             // the trial account has approved all addresses
	Blocked   bool             // some address is on the block list

	// Partial marks a request that an API parsed only up to a malformed parameter. The
	// request lacks that parameter's field, Malformed (if it has one), and later fields.
	Partial   bool
	Malformed verify.Field
}

// Decision is the result of [Policy.Decide].
type Decision struct {
	// Request is the permitted request: texts in composed form, a PIN length, and for a
	// test number the fixed PIN and Workflow.Test.
	Request verify.Request
	// Refusals are in the order of the rules. An API answers with the first. A refusal of a
	// parameter has a Field and no Param.
	Refusals []*verify.Error
}

// Decide applies all rules on accounts to a request. The engine's Start calls it, so an API
// only parses.
//
// The rules on destinations skip test numbers and partial requests: a malformed parameter
// precedes them, but follows refusals of the fields before it.
func (p Policy) Decide(a verify.Account, r verify.Request, f Facts) Decision {
	q := &question{policy: p, account: a, request: composed(r), facts: f, number: r.To.Number()}
	d := Decision{Request: q.request, Refusals: q.refusals(requestRules())}
	if d.Request.CodeLength == 0 {
		d.Request.CodeLength = leastCodeLength(a.Settings)
	}
	if pin, ok := testPIN(a.Settings, q.number); ok {
		d.Request = d.Request.Testing(pin)
	} else if !f.Partial {
		d.Refusals = append(d.Refusals, q.refusals(destinationRules())...)
	}
	return d
}

// question is a request with all inputs of the rules.
type question struct {
	policy  Policy
	account verify.Account
	request verify.Request
	facts   Facts
	number  string // E.164 digits without "+"
}

// rule returns the refusal of a request; nil if the rule permits the request.
type rule func(*question) *verify.Error

// requestRules returns the rules on the account and on parameters, in the order of the v1
// API (docs/reference/v1-api.md).
func requestRules() []rule {
	return []rule{barred, brand, sender, pinLength, workflow, pinLife, customPIN, templateWords}
}

// destinationRules returns the rules on the number, which follow the rules on the request.
func destinationRules() []rule { return []rule{approved, blockList, country, network} }

func (q *question) refusals(rules []rule) (list []*verify.Error) {
	for _, refuses := range rules {
		if e := refuses(q); e != nil {
			list = append(list, e)
		}
	}
	return list
}

// composed returns r with brand and payee in composed form (NFC), so that equal texts have
// equal bytes.
func composed(r verify.Request) verify.Request {
	r.Brand = norm.NFC.String(r.Brand)
	if r.Payment != nil {
		payment := *r.Payment
		payment.Payee = norm.NFC.String(payment.Payee)
		r.Payment = &payment
	}
	return r
}

func barred(q *question) *verify.Error {
	if q.account.Barred {
		return &verify.Error{Kind: verify.KindBarred}
	}
	return nil
}

// brand refuses a brand or payee that messages must not contain.
func brand(q *question) *verify.Error {
	name := q.request.Brand
	if q.request.Payment != nil {
		name = q.request.Payment.Payee
	}
	if name == "" {
		return nil
	}
	check := message.CheckName
	if allowsLink(q.account.Settings, name) {
		check = message.CheckLinkName
	}
	if err := check(name); err != nil {
		return verify.Refused(verify.FieldBrand, err.Error())
	}
	if word := q.policy.Denied.Find(name); word != "" {
		return verify.Refused(verify.FieldBrand, deniedName(word))
	}
	return nil
}

func sender(q *question) *verify.Error {
	given, allowed := q.request.Sender, q.account.Settings.Senders
	if defect := verify.SenderDefect(given); defect != "" {
		return verify.Refused(verify.FieldSender, defect)
	}
	if given != "" && len(allowed) > 0 && !slices.Contains(allowed, given) {
		return verify.Refused(verify.FieldSender, notAllowed)
	}
	return nil
}

func pinLength(q *question) *verify.Error {
	if n := q.request.CodeLength; n != 0 {
		return tooShort(q, n, verify.FieldPINLength)
	}
	return nil
}

func workflow(q *question) *verify.Error {
	steps := q.request.Workflow.Steps
	if len(steps) > 0 && !allowsSteps(q.account.Settings, steps) {
		return verify.Refused(verify.FieldWorkflow, notAllowed)
	}
	for i := range steps {
		step := q.request.StepAt(i)
		if want := step.Channel.Info().Address; !step.To.IsZero() && step.To.Kind != want {
			return verify.Refused(verify.FieldWorkflow, fmt.Sprintf("step %d (%s) needs an address of kind %s", i+1, step.Channel, want))
		}
	}
	return nil
}

func pinLife(q *question) *verify.Error {
	if q.account.Settings.Strict && q.request.Workflow.PINLife > StrictPINLife {
		return verify.Refused(verify.FieldPINLife,
			fmt.Sprintf("a PIN of this account is valid for at most %d seconds", int(StrictPINLife.Seconds())))
	}
	return nil
}

// customPIN requires the permission for any PIN, and then its minimum length.
func customPIN(q *question) *verify.Error {
	pin := q.request.ChosenPIN
	switch {
	case pin.IsZero() && q.facts.Malformed != verify.FieldPIN:
		return nil
	case !q.account.CustomPIN:
		return &verify.Error{Kind: verify.KindCustomPINNotAllowed}
	case pin.IsZero():
		return nil
	}
	return tooShort(q, pin.Len(), verify.FieldPIN)
}

// templateWords refuses a brand that forms a link, a code or a denied name with the words
// of the account's templates. Messages of payments do not use templates.
func templateWords(q *question) *verify.Error {
	if q.request.Payment != nil || q.request.Brand == "" {
		return nil
	}
	for _, t := range q.facts.Templates {
		check := t.Names
		if allowsLink(q.account.Settings, q.request.Brand) {
			check = t.NamesLink
		}
		reason := ""
		if err := check(q.request.Brand); err != nil {
			reason = err.Error()
		} else if word := q.policy.Denied.Find(t.Text(message.Input{Locale: q.request.Locale, Brand: q.request.Brand})); word != "" {
			reason = deniedName(word)
		}
		if reason != "" {
			return verify.Refused(verify.FieldBrand, "in the words of the template: "+reason)
		}
	}
	return nil
}

func approved(q *question) *verify.Error {
	if q.account.Trial && !q.facts.Approved {
		return &verify.Error{Kind: verify.KindNotApproved}
	}
	return nil
}

func blockList(q *question) *verify.Error {
	if q.facts.Blocked {
		return &verify.Error{Kind: verify.KindBlocked, By: verify.Cause{Rule: verify.RuleBlockedNumber}}
	}
	return nil
}

// country and network apply to phones only: other addresses have neither.
func country(q *question) *verify.Error {
	allowed := q.account.Settings.Countries
	for _, to := range q.request.Addresses() {
		if to.Kind == verify.Phone && len(allowed) > 0 && !slices.Contains(allowed, to.Country) {
			by := verify.Cause{Rule: verify.RuleCountries, Detail: cmp.Or(to.Country, "none")}
			return &verify.Error{Kind: verify.KindUnsupportedNetwork, By: by}
		}
	}
	return nil
}

func network(q *question) *verify.Error {
	for _, to := range q.request.Addresses() {
		for _, prefix := range q.policy.UnsupportedNetworks {
			if strings.HasPrefix(to.Number(), prefix) {
				by := verify.Cause{Rule: verify.RuleNetwork, Detail: prefix}
				return &verify.Error{Kind: verify.KindUnsupportedNetwork, By: by}
			}
		}
	}
	return nil
}

// notAllowed is the reason for a value excluded by the account's settings.
const notAllowed = "not allowed for this account"

func deniedName(word string) string { return "denied name: " + word }

// tooShort refuses a PIN of n characters if the account's minimum is higher.
func tooShort(q *question, n int, field verify.Field) *verify.Error {
	if least := leastCodeLength(q.account.Settings); n < least {
		return verify.Refused(field, fmt.Sprintf("a PIN of this account has at least %d characters", least))
	}
	return nil
}

// leastCodeLength returns the minimum number of characters of a PIN.
func leastCodeLength(s verify.Settings) int {
	least := max(verify.MinPINLength, s.MinCodeLength)
	if s.Strict {
		least = max(least, StrictPINLength)
	}
	return least
}

// allowsLink reports whether LinkBrands permits name to look like a link. Letter case and
// surrounding or repeated white space are ignored.
func allowsLink(s verify.Settings, name string) bool {
	if len(s.LinkBrands) == 0 {
		return false
	}
	name = verify.SingleSpaced(name)
	return slices.ContainsFunc(s.LinkBrands, func(allowed string) bool {
		return strings.EqualFold(verify.SingleSpaced(allowed), name)
	})
}

// testPIN returns the fixed PIN of a test number; ok is false for any other number.
func testPIN(s verify.Settings, number string) (pin verify.PIN, ok bool) {
	for _, test := range s.TestNumbers {
		if test.Number == number {
			return verify.ParsePIN(test.Code)
		}
	}
	return verify.PIN{}, false
}
