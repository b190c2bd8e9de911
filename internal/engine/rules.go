package engine

import (
	"cmp"
	"context"
	"errors"

	"countersign/internal/account"
	"countersign/internal/deliver"
	"countersign/internal/verify"
)

// examine applies the rules that need no transaction: the account policy, and a route and a
// price unless the number is a test number. It returns the permitted request. Its inputs
// change rarely, so a request concurrent with a change may use either state.
func (e *Engine) examine(ctx context.Context, a verify.Account, req verify.Request) (verify.Request, verify.Money, error) {
	d, err := e.permit(ctx, a, req)
	if err != nil {
		return req, 0, err
	}
	if len(d.Refusals) > 0 {
		return req, 0, d.Refusals[0]
	}
	if d.Request.Workflow.Test {
		return d.Request, 0, nil
	}
	if err := e.route(d.Request); err != nil {
		return req, 0, err
	}
	price, err := e.price(ctx, d.Request)
	return d.Request, price, err
}

// Refusal returns the answer to a request that an API parsed only up to a malformed
// parameter, with the error defect. It is the first refusal of a field before that
// parameter, else defect. Rules on destinations do not apply.
func (e *Engine) Refusal(a verify.Account, req verify.Request, defect error) error {
	facts := account.Facts{Partial: true}
	if malformed, ok := errors.AsType[*verify.Error](defect); ok {
		facts.Malformed = malformed.Field
	}
	if d := e.cfg.Policy.Decide(a, req, facts); len(d.Refusals) > 0 {
		return d.Refusals[0]
	}
	return defect
}

// permit looks up the facts about a request and returns the decision of the policy. Every
// address must be approved for a trial account, and none may be blocked.
func (e *Engine) permit(ctx context.Context, a verify.Account, req verify.Request) (account.Decision, error) {
	var (
		f   account.Facts
		err error
	)
	if req.Brand != "" {
		f.Templates = e.cfg.Messages.Templates(ctx, a.Key, req.Locale)
	}
	f.Approved = a.Trial
	for _, to := range req.Addresses() {
		if f.Approved {
			if f.Approved, err = e.cfg.Store.Approved(ctx, a.Key, to.Given); err != nil {
				return account.Decision{}, err
			}
		}
		if !f.Blocked {
			if f.Blocked, err = e.cfg.Store.Blocked(ctx, to.Canonical); err != nil {
				return account.Decision{}, err
			}
		}
	}
	return e.cfg.Policy.Decide(a, req, f), nil
}

// route refuses with KindUnroutable. Only the first step must have a route: an operator
// without voice still serves the workflows that begin with an SMS.
func (e *Engine) route(req verify.Request) error {
	to := destination(req, 0)
	if e.cfg.Router.Routable(to) {
		return nil
	}
	return &verify.Error{Kind: verify.KindUnroutable, By: verify.Cause{Rule: verify.RuleNoRoute, Detail: string(to.Channel)}}
}

// destination returns the destination of a step.
func destination(req verify.Request, seq int) deliver.Destination {
	step := req.StepAt(seq)
	return deliver.Destination{Channel: step.Channel, To: step.To, Account: req.Account, Sender: cmp.Or(step.From, defaultSender)}
}
