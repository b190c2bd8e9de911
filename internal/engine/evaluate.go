package engine

import (
	"context"
	"errors"

	"countersign/internal/deliver"
	"countersign/internal/fraud"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// Evaluation is the result of a start that was evaluated and not made.
type Evaluation struct {
	Refusals []*verify.Error // in the order of the rules: Start returns the first; none if it accepts
	Test     bool            // a test number of the account: no rule applies
	Price    verify.Money    // 0 with RuleNoPrice among Refusals
	Network  string          // name in networks.known; "" without one
	Velocity fraud.Decision
	Routes   []ChannelRoutes // for the channels of the workflow, each once
}

// ChannelRoutes are the routes that were compared for a channel.
type ChannelRoutes struct {
	Channel verify.Channel
	Routes  []deliver.RouteCheck // the most specific first
}

// Evaluate applies all rules of Start to a request, except the rate of the account. It
// counts, charges, logs and sends nothing. The error is never a refusal.
func (e *Engine) Evaluate(ctx context.Context, account verify.Account, req verify.Request) (ev Evaluation, err error) {
	ev.Network = e.cfg.Router.Network(req.Number)
	for _, step := range req.Workflow.Steps {
		ev.addRoutes(step.Channel, e.cfg.Router.Check(destination(req, step.Channel)))
	}
	if pin, ok := account.Settings.TestPIN(req.Number); ok {
		ev.Test, req = true, req.Testing(pin)
	} else if err := e.evaluateRules(ctx, account, req, &ev); err != nil {
		return ev, err
	}
	d, err := e.cfg.Velocity.Try(ctx, account, req, ev.Price)
	ev.Velocity = d
	if err := ev.add(err); err != nil {
		return ev, err
	}
	in := store.Scope{Number: req.Number, Begins: account.Key, Account: account.Payer()}
	var refused error
	err = e.writeIn(ctx, in, func(tx *store.Tx) error {
		_, refused = e.decide(tx, req, ev.Price, payerOf(account), e.now())
		if _, ok := errors.AsType[*verify.Error](refused); ok {
			return nil
		}
		return refused
	})
	if err != nil {
		return ev, err
	}
	return ev, ev.add(refused)
}

func (e *Engine) evaluateRules(ctx context.Context, account verify.Account, req verify.Request, ev *Evaluation) error {
	for _, rule := range e.startRules() {
		if err := ev.add(rule(ctx, account, req)); err != nil {
			return err
		}
	}
	price, err := e.price(ctx, req)
	ev.Price = price
	return ev.add(err)
}

// add collects a refusal, and returns any other error.
func (ev *Evaluation) add(err error) error {
	refusal, ok := errors.AsType[*verify.Error](err)
	if ok {
		ev.Refusals = append(ev.Refusals, refusal)
		return nil
	}
	return err
}

func (ev *Evaluation) addRoutes(channel verify.Channel, routes []deliver.RouteCheck) {
	for _, known := range ev.Routes {
		if known.Channel == channel {
			return
		}
	}
	ev.Routes = append(ev.Routes, ChannelRoutes{channel, routes})
}
