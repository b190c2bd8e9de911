package engine

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"countersign/internal/deliver"
	"countersign/internal/verify"
)

// examine applies the rules that come before a verification, and gives what it costs.
// To a test number none applies, since nothing is sent there.
func (e *Engine) examine(ctx context.Context, account verify.Account, req verify.Request) (verify.Request, verify.Money, error) {
	if pin, ok := account.Settings.TestPIN(req.Number); ok {
		return req.Testing(pin), 0, nil
	}
	for _, rule := range e.startRules() {
		if err := rule(ctx, account, req); err != nil {
			return req, 0, err
		}
	}
	price, err := e.price(ctx, req)
	return req, price, err
}

// startRule returns the refusal of a start; nil if it permits the start.
type startRule func(context.Context, verify.Account, verify.Request) error

// startRules returns the rules that need no transaction, in the order of application.
// They change rarely, so a request concurrent with a change may see either state.
func (e *Engine) startRules() []startRule {
	return []startRule{barred, e.approved, e.blockList, countries, e.networks, e.route}
}

func barred(_ context.Context, account verify.Account, _ verify.Request) error {
	return account.MaySend()
}

// approved refuses a trial account with KindNotApproved.
func (e *Engine) approved(ctx context.Context, account verify.Account, req verify.Request) error {
	if !account.Trial {
		return nil
	}
	approved, err := e.cfg.Store.Approved(ctx, account.Key, req.Number)
	if err == nil && !approved {
		err = &verify.Error{Kind: verify.KindNotApproved}
	}
	return err
}

// blockList refuses with KindBlocked.
func (e *Engine) blockList(ctx context.Context, _ verify.Account, req verify.Request) error {
	blocked, err := e.cfg.Store.Blocked(ctx, req.Number)
	if err == nil && blocked {
		err = &verify.Error{Kind: verify.KindBlocked, By: verify.Cause{Rule: verify.RuleBlockedNumber}}
	}
	return err
}

// countries refuses with KindUnsupportedNetwork.
func countries(_ context.Context, account verify.Account, req verify.Request) error {
	if account.Settings.AllowsCountry(req.Country) {
		return nil
	}
	by := verify.Cause{Rule: verify.RuleCountries, Detail: cmp.Or(req.Country, "none")}
	return &verify.Error{Kind: verify.KindUnsupportedNetwork, By: by}
}

// networks refuses with KindUnsupportedNetwork.
func (e *Engine) networks(_ context.Context, _ verify.Account, req verify.Request) error {
	i := slices.IndexFunc(e.cfg.UnsupportedNetworks, func(prefix string) bool { return strings.HasPrefix(req.Number, prefix) })
	if i < 0 {
		return nil
	}
	by := verify.Cause{Rule: verify.RuleNetwork, Detail: e.cfg.UnsupportedNetworks[i]}
	return &verify.Error{Kind: verify.KindUnsupportedNetwork, By: by}
}

// route refuses with KindUnroutable. Only the first step must have a route: an operator
// without voice still serves the workflows that begin with an SMS.
func (e *Engine) route(_ context.Context, _ verify.Account, req verify.Request) error {
	to := destination(req, req.Workflow.Steps[0].Channel)
	if e.cfg.Router.Routable(to) {
		return nil
	}
	return &verify.Error{Kind: verify.KindUnroutable, By: verify.Cause{Rule: verify.RuleNoRoute, Detail: string(to.Channel)}}
}

func destination(req verify.Request, channel verify.Channel) deliver.Destination {
	return deliver.Destination{
		Channel: channel, To: verify.PhoneAddress(req.Number), Country: req.Country,
		Account: req.Account, Sender: cmp.Or(req.Sender, defaultSender),
	}
}
