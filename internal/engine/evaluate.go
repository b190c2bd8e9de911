package engine

import (
	"context"
	"errors"

	"countersign/internal/deliver"
	"countersign/internal/fraud"
	"countersign/internal/verify"
)

// Evaluation is the result of a start that was evaluated and not made.
type Evaluation struct {
	Refusals []*verify.Error // in the order of the rules: Start returns the first; none if it accepts
	Test     bool            // a test number of the account: no rule on destinations applies
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

// Evaluate applies all rules of Start to a request, except the rate of the account. It does
// not count, charge, log or send. The error is never a refusal.
func (e *Engine) Evaluate(ctx context.Context, account verify.Account, req verify.Request) (ev Evaluation, err error) {
	ev.Network = e.cfg.Router.Network(req.To.Number())
	for seq, step := range req.Workflow.Steps {
		ev.addRoutes(step.Channel, e.cfg.Router.Check(destination(req, seq)))
	}
	permitted, err := e.permit(ctx, account, req)
	if err != nil {
		return ev, err
	}
	req, ev.Refusals, ev.Test = permitted.Request, permitted.Refusals, permitted.Request.Workflow.Test
	if !ev.Test {
		if err := ev.add(e.route(req)); err != nil {
			return ev, err
		}
		price, err := e.price(ctx, req)
		ev.Price = price
		if err := ev.add(err); err != nil {
			return ev, err
		}
	}
	d, err := e.cfg.Velocity.Try(ctx, account, req, ev.Price)
	ev.Velocity = d
	if err := ev.add(err); err != nil {
		return ev, err
	}
	t, err := e.apply(ctx, beginScope(account, req), func(t *transition) error {
		_, _, err := e.begin(t, account, req, ev.Price)
		if _, ok := errors.AsType[*verify.Error](err); ok {
			t.refusal = err // an error would count as the refusal of a start, see refused
			return nil
		}
		return err
	})
	if err != nil {
		return ev, err
	}
	return ev, ev.add(t.refusal)
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
