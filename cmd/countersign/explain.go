package main

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"unicode"

	"countersign/internal/adminapi"
	"countersign/internal/verify"
)

type explainCmd struct {
	adminFlag
	Subject string `arg:"" name:"number-or-id" param:"number" help:"Phone number as written, or a request_id."`
	Account string `help:"Only for this api_key. Default: every account with a history of the number." placeholder:"KEY"`
	Country string `help:"Country of a number in national form (two letters)." placeholder:"CC"`
	Output  string `help:"Output format: table (text) or json. Default: ${default}." enum:"table,json" default:"table" placeholder:"FORM"`
}

// Run explains a verification if the subject has the form of a request_id, and otherwise
// a number.
func (c *explainCmd) Run(p *process) error {
	if id, ok := verify.ParseID(c.Subject); ok {
		var x adminapi.VerificationExplanation
		if err := c.get(p, &x, "verifications", id.Hex(), "explanation"); err != nil {
			return err
		}
		return c.print(p, x, func(r *report) { r.verification(x) })
	}
	var x adminapi.NumberExplanation
	err := c.ask(p, adminapi.Request{
		Method: http.MethodGet, Path: adminapi.Path("numbers", c.Subject, "explanation"),
		Query: given(map[string]string{"account": c.Account, "country": c.Country}),
	}, &x)
	if err != nil {
		return err
	}
	return c.print(p, x, func(r *report) { r.number(x) })
}

func (c *explainCmd) print(p *process, x any, write func(*report)) error {
	if c.Output == "json" {
		return p.printJSON(x)
	}
	var r report
	write(&r)
	p.printf("%s", r.text.String())
	return nil
}

// report is the text of an explanation.
type report struct{ text strings.Builder }

// line adds a line, with control characters replaced.
func (r *report) line(format string, args ...any) {
	r.text.WriteString(strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return '?'
	}, fmt.Sprintf(format, args...)) + "\n")
}

func (r *report) number(x adminapi.NumberExplanation) {
	r.line("%s, country %s, at %s", x.Number, cmp.Or(x.Country, "none"), isoTime(x.At))
	if x.Blocked {
		r.line("Block list: blocked since %s, without end (%s)", isoTime(x.BlockedAt), cmp.Or(x.BlockedFor, "no reason given"))
	} else {
		r.line("Block list: not on it")
	}
	r.line("Caps on the number:")
	for _, c := range x.Caps {
		until := ""
		if c.RefusedUntil != "" {
			until = ", refuses until " + isoTime(c.RefusedUntil)
		}
		if c.ResetsAt != "" {
			until += ", back to 0 at " + isoTime(c.ResetsAt)
		}
		r.line("  %s of %s: %d of %d%s", c.Cap, cmp.Or(c.Account, "all accounts"), c.Count, c.Limit, until)
	}
	if len(x.Caps) == 0 {
		r.line("  none")
	}
	for _, a := range x.Accounts {
		r.account(a)
	}
	if x.Hint != "" {
		r.line("")
		r.line("%s: --account KEY", x.Hint)
	}
}

func (r *report) account(a adminapi.AccountExplanation) {
	r.line("")
	r.line("Account %s (%s)", a.Account, cmp.Or(a.Name, "no name"))
	switch {
	case a.Accepted && a.TestNumber:
		r.line("  A start now: accepted (status 0); a test number, so nothing is sent")
	case a.Accepted:
		r.line("  A start now: accepted (status 0)")
	}
	for i, refusal := range a.Refusals {
		first := "also"
		if i == 0 {
			first = "A start now: refused with"
		}
		r.line("  %s status %s: %s", first, refusal.Status, sentence(refusal))
		r.line("    Remedy: %s", refusal.Remedy)
	}
	if p := a.InProgress; p != nil {
		next := cmp.Or(p.Next, "its end")
		r.line("  In progress: %s since %s, %d of %d steps taken; next is %s at %s", p.ID, isoTime(p.SubmittedAt), p.Events, p.Steps, next, isoTime(p.NextAt))
	} else {
		r.line("  In progress: none")
	}
	for _, b := range a.Blocks {
		effect := "refuses"
		if b.Action != "block" {
			effect = "only reports"
		}
		r.line("  Velocity block %s: rule %s on %s %s %s, until %s", b.ID, b.Rule, b.Kind, b.Value, effect, cmp.Or(b.Until, "it is lifted"))
	}
	r.line("  Price: %s", a.Price)
	r.line("  Network: %s", cmp.Or(a.Network, "not named in networks.known"))
	r.routes(a.Routes)
	r.refusals(a)
	r.verifications(a.Verifications)
}

func sentence(s adminapi.StartRefusal) string {
	if s.Until == "" {
		return s.Text
	}
	return s.Text + ", until " + isoTime(s.Until)
}

// mostRoutes limits the unused routes in a text.
const mostRoutes = 10

func (r *report) routes(routes []adminapi.ExplainedRoute) {
	r.line("  Routes:")
	shown := 0
	for _, route := range routes {
		reason := route.Reason
		if reason != "" {
			reason = "; " + reason
		}
		switch {
		case route.Used:
			r.line("    %s: used: route for %s, carriers %s%s", route.Channel, route.Conditions, strings.Join(route.Carriers, ", "), reason)
		case shown < mostRoutes:
			shown++
			r.line("    %s: not used: route for %s%s", route.Channel, route.Conditions, reason)
		default:
			shown++
		}
	}
	if shown > mostRoutes {
		r.line("    and %d more unused routes (--output json)", shown-mostRoutes)
	}
}

func (r *report) refusals(a adminapi.AccountExplanation) {
	r.line("  Recent refusals:")
	r.refusalList(a.RecentRefusals)
	if len(a.UnnamedRefusals) > 0 {
		r.line("  Refusals of the account without a number (7 days; wrong credentials, unreadable or too many numbers):")
		r.refusalList(a.UnnamedRefusals)
	}
}

func (r *report) refusalList(list []adminapi.RecentRefusal) {
	for _, refusal := range list {
		when := "at " + isoTime(refusal.Last)
		if refusal.Times > 1 {
			when = fmt.Sprintf("%d times from %s to %s", refusal.Times, isoTime(refusal.First), isoTime(refusal.Last))
		}
		from := ""
		if refusal.Source != "" {
			from = ", from " + refusal.Source
		}
		r.line("    status %s %s%s: %s", refusal.Status, when, from, refusal.Text)
	}
	if len(list) == 0 {
		r.line("    none")
	}
}

func (r *report) verifications(list []adminapi.Verification) {
	r.line("  Recent verifications (7 days):")
	for _, v := range list {
		last := ""
		if n := len(v.Events); n > 0 {
			e := v.Events[n-1]
			last = fmt.Sprintf("; last event %s %s", e.Channel, e.State)
			if e.Error != "" {
				last += " (" + e.Error + ")"
			}
		}
		r.line("    %s %s %s%s; %d checks", isoTime(v.SubmittedAt), v.ID, v.Status, last, len(v.Checks))
	}
	if len(list) == 0 {
		r.line("    none")
	}
}
