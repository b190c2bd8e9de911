package adminapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/engine"
	"countersign/internal/fraud"
	"countersign/internal/phone"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// Explaining contains the functions for explanations that the store does not provide.
type Explaining struct {
	// Evaluate evaluates a start of an account for a number without effects.
	Evaluate func(context.Context, verify.Account, phone.Number) (engine.Evaluation, error)
	// Collect stores the refusals in memory.
	Collect func(context.Context) error
	// Status returns the status code of the v1 API for a kind of refusal.
	Status func(verify.Kind) string
}

// NumberExplanation is the recent history of a number, and the result of a start now.
type NumberExplanation struct {
	Number     string `json:"number"`
	Country    string `json:"country"` // "" for a number without a country
	At         string `json:"at"`      // time of the evaluation
	Blocked    bool   `json:"blocked"` // whether the number is on the block list
	BlockedAt  string `json:"blocked_at"`
	BlockedFor string `json:"blocked_for"` // operator's reason

	Caps     []NumberCap          `json:"caps"`
	Accounts []AccountExplanation `json:"accounts"`
	Hint     string               `json:"hint"` // request for the parameter account; "" if Accounts is complete
}

// AccountExplanation is the part of a [NumberExplanation] that depends on an account.
type AccountExplanation struct {
	Account    string           `json:"account"`
	Name       string           `json:"name"`
	Accepted   bool             `json:"accepted"`    // whether a start now is accepted
	Refusals   []StartRefusal   `json:"refusals"`    // rules that refuse a start now; the first determines the response
	TestNumber bool             `json:"test_number"` // whether a start has no effect on messages and counts
	Price      string           `json:"price"`
	Network    string           `json:"network"` // "" if the network is not in networks.known
	InProgress *InProgress      `json:"in_progress,omitempty"`
	Blocks     []FraudBlock     `json:"velocity_blocks"`
	Routes     []ExplainedRoute `json:"routes"`

	RecentRefusals  []RecentRefusal `json:"recent_refusals"`
	UnnamedRefusals []RecentRefusal `json:"unnamed_refusals"` // refusals of the account in 7 days without a number
	Verifications   []Verification  `json:"verifications"`
}

// StartRefusal is a rule that refuses a start.
type StartRefusal struct {
	Status string `json:"status"` // status code of the v1 API
	Rule   string `json:"rule"`
	Detail string `json:"detail"`
	Count  string `json:"count"` // "" for a rule without figures
	Limit  string `json:"limit"`
	Until  string `json:"until"` // "" if unknown
	Text   string `json:"text"`
	Remedy string `json:"remedy"`
}

// RecentRefusal is one or several equal refused starts.
type RecentRefusal struct {
	StartRefusal
	Times  int64  `json:"times"`
	First  string `json:"first_at"`
	Last   string `json:"last_at"`
	Source string `json:"source"` // IP address of the last start; "" if it is not kept
}

// InProgress is a verification in progress.
type InProgress struct {
	ID          string `json:"id"`
	SubmittedAt string `json:"submitted_at"`
	Events      int    `json:"events"`  // number of events so far
	Steps       int    `json:"steps"`   // number of steps in the workflow
	Next        string `json:"next"`    // channel of the next step; "" if no step remains
	NextAt      string `json:"next_at"` // time of the next step or the end
}

// ExplainedRoute is a route and its match with the number.
type ExplainedRoute struct {
	Channel    verify.Channel `json:"channel"` // channel of the message
	Conditions string         `json:"conditions"`
	Carriers   []string       `json:"carriers"`
	Used       bool           `json:"used"`
	Reason     string         `json:"reason"` // reason against the route, or the state of its carriers
}

const (
	explainedAccounts = 10
	explainedRoutes   = 100 // per channel
	explainedRecent   = 10  // verifications
	explainedRefusals = 100 // rows to sum up
)

func explainEndpoints() []endpoint {
	return []endpoint{
		{method: http.MethodGet, path: "/numbers/{number}/explanation", serve: (*exchange).explainNumber, query: []string{"account", "country"}},
		{method: http.MethodGet, path: "/verifications/{id}/explanation", serve: (*exchange).explainVerification},
	}
}

func (c *exchange) explainNumber() (any, error) {
	n, err := phone.Parse(c.r.PathValue("number"), c.query.Get("country"))
	if err != nil {
		name := "number"
		if errors.Is(err, phone.ErrCountry) {
			name = "country"
		}
		return nil, invalid(name, "%v", err)
	}
	x := NumberExplanation{Number: n.Digits, Country: n.Country, At: stamp(c.now()), Caps: []NumberCap{}, Accounts: []AccountExplanation{}}
	if err := c.cfg.Collect(c.r.Context()); err != nil {
		return nil, err
	}
	known, err := c.cfg.Store.NumberHistory(c.r.Context(), n.Digits)
	if err != nil {
		return nil, err
	}
	x.Caps = each(c.cfg.Caps.Status(known, c.now()), toNumberCap)
	entry, blocked, err := c.cfg.Store.BlockedNumber(c.r.Context(), n.Digits)
	if err != nil {
		return nil, err
	}
	if x.Blocked = blocked; blocked {
		x.BlockedAt, x.BlockedFor = stamp(entry.CreatedAt), entry.Reason
	}
	keys, hint, err := c.accountsOf(n.Digits, known)
	if err != nil {
		return nil, err
	}
	x.Hint = hint
	for _, key := range keys {
		a, err := c.explainAccount(key, n)
		if err != nil {
			return nil, err
		}
		x.Accounts = append(x.Accounts, a)
	}
	return x, nil
}

// accountsOf returns the accounts for the explanation of a number: the account in the
// query, otherwise the accounts with a history of the number, otherwise the only account
// of the installation. Without an account, or with too many, it returns a hint.
func (c *exchange) accountsOf(number string, known fraud.Number) (keys []string, hint string, err error) {
	if c.query.Has("account") {
		return []string{c.query.Get("account")}, "", nil
	}
	ctx := c.r.Context()
	records, err := c.recent("", number)
	if err != nil {
		return nil, "", err
	}
	refusals, err := c.cfg.Store.Refusals(ctx, store.RefusalFilter{Number: number, Limit: explainedRefusals})
	if err != nil {
		return nil, "", err
	}
	for _, r := range records {
		keys = append(keys, r.Account)
	}
	for _, r := range refusals {
		keys = append(keys, r.Account)
	}
	for _, u := range known.Uses {
		keys = append(keys, u.Account)
	}
	slices.Sort(keys)
	if keys = slices.DeleteFunc(slices.Compact(keys), func(k string) bool { return k == "" }); len(keys) > explainedAccounts {
		return keys[:explainedAccounts], fmt.Sprintf("%d accounts have a history of this number; select one", len(keys)), nil
	}
	if len(keys) > 0 {
		return keys, "", nil
	}
	accounts, err := c.cfg.Store.Accounts(ctx)
	if err != nil {
		return nil, "", err
	}
	if len(accounts) == 1 {
		return []string{accounts[0].Key}, "", nil
	}
	return nil, fmt.Sprintf("no account has a history of this number; select one of %d", len(accounts)), nil
}

// recent returns the newest verifications of a number.
func (c *exchange) recent(account, number string) ([]verify.Verification, error) {
	until := c.now().Add(time.Second)
	return c.cfg.Store.FindVerifications(c.r.Context(), store.VerificationFilter{
		Number: number, Account: account, Since: until.Add(-usualSpan), Until: until, Limit: explainedRecent,
	})
}

func (c *exchange) explainAccount(key string, n phone.Number) (x AccountExplanation, err error) {
	found, err := c.cfg.Store.Credentials(c.r.Context(), key)
	if err != nil {
		return x, ofAccount(err)
	}
	ev, err := c.cfg.Evaluate(c.r.Context(), found.Account, n)
	if err != nil {
		return x, err
	}
	x = AccountExplanation{
		Account: key, Name: found.Name, Accepted: len(ev.Refusals) == 0, TestNumber: ev.Test, Price: ev.Price.String(), Network: ev.Network,
		Refusals: []StartRefusal{}, Blocks: []FraudBlock{}, Routes: c.explainRoutes(ev.Routes),
		RecentRefusals: []RecentRefusal{}, UnnamedRefusals: []RecentRefusal{}, Verifications: []Verification{},
	}
	for _, e := range ev.Refusals {
		x.Refusals = append(x.Refusals, c.startRefusal(e.Cause(), key, n.Digits))
	}
	if b := ev.Velocity.Refused; b != nil {
		x.Blocks = append(x.Blocks, toFraudBlock(*b, c.now()))
	}
	for _, b := range ev.Velocity.Would {
		x.Blocks = append(x.Blocks, toFraudBlock(b, c.now()))
	}
	records, err := c.recent(key, n.Digits)
	if err != nil {
		return x, err
	}
	for _, r := range records {
		x.Verifications = append(x.Verifications, toVerification(r, c.now()))
		if r.At(c.now()).Status == verify.InProgress {
			x.InProgress = toInProgress(r)
		}
	}
	return x, c.addRefusals(&x, n.Digits)
}

func toInProgress(r verify.Verification) *InProgress {
	p := &InProgress{ID: r.ID.Hex(), SubmittedAt: stamp(r.SubmittedAt), Events: len(r.Events), Steps: len(r.Workflow.Steps), NextAt: stamp(r.NextAt)}
	if r.StepsLeft() {
		p.Next = string(r.Workflow.Steps[len(r.Events)].Channel)
	}
	return p
}

// startRefusal describes a cause, with account and number in its remedy.
func (c *exchange) startRefusal(by verify.Cause, account, number string) StartRefusal {
	info, _ := by.Rule.Info()
	remedy := strings.NewReplacer("KEY", account, "NUMBER", number).Replace(info.Remedy)
	r := StartRefusal{
		Status: c.cfg.Status(info.Kind), Rule: string(by.Rule), Detail: by.Detail, Until: stamp(by.Until), Text: by.String(), Remedy: remedy,
	}
	if info.Unit != verify.NoFigures {
		r.Count, r.Limit = info.Unit.Format(by.Count), info.Unit.Format(by.Limit)
	}
	return r
}

// addRefusals adds the refusals of a number, and the account's refusals without a number.
// Refusals by one rule are summed up.
func (c *exchange) addRefusals(x *AccountExplanation, number string) error {
	for _, part := range []struct {
		filter store.RefusalFilter
		to     *[]RecentRefusal
	}{
		{store.RefusalFilter{Number: number}, &x.RecentRefusals},
		{store.RefusalFilter{Unnamed: true, Since: c.now().Add(-usualSpan)}, &x.UnnamedRefusals},
	} {
		part.filter.Account, part.filter.Limit = x.Account, explainedRefusals
		rows, err := c.cfg.Store.Refusals(c.r.Context(), part.filter)
		if err != nil {
			return err
		}
		for _, r := range verify.SumRefusals(rows) {
			*part.to = append(*part.to, RecentRefusal{
				c.startRefusal(r.Cause, x.Account, number), r.Times, stamp(r.First), stamp(r.Last), r.Source,
			})
		}
	}
	return nil
}

// explainRoutes returns the routes of each channel, the used one first.
func (c *exchange) explainRoutes(channels []engine.ChannelRoutes) []ExplainedRoute {
	down := c.carriersDown()
	list := []ExplainedRoute{}
	for _, ch := range channels {
		for i, used := range []bool{true, false} {
			for _, r := range ch.Routes[:min(len(ch.Routes), explainedRoutes)] {
				if r.Used == used {
					list = append(list, toExplainedRoute(ch.Channel, r, down))
				}
			}
			if i == 0 && !slices.ContainsFunc(ch.Routes, func(r deliver.RouteCheck) bool { return r.Used }) {
				list = append(list, ExplainedRoute{Channel: ch.Channel, Conditions: "none", Carriers: []string{}, Reason: "no route fits"})
			}
		}
	}
	return list
}

// carriersDown returns the state of each impaired carrier.
func (c *exchange) carriersDown() map[string]string {
	down := map[string]string{}
	if c.cfg.Carriers == nil {
		return down
	}
	for _, s := range c.cfg.Carriers() {
		switch {
		case len(s.Binds) > 0 && s.Up() == 0:
			down[s.Name] = "no connection is up"
		case s.Down:
			down[s.Name] = "marked down, used last"
		}
	}
	return down
}
