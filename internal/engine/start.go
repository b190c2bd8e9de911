package engine

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"countersign/internal/deliver"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// Start accepts a request to verify a number and sends its first message. It
// refuses, in this order, with KindNotApproved, KindBlocked,
// KindUnsupportedNetwork, KindUnroutable, KindConcurrent (which names the
// verification that runs) and KindNoCredit.
func (e *Engine) Start(ctx context.Context, account verify.Account, req verify.Request) (verify.Verification, error) {
	if err := e.mayReach(ctx, account, req); err != nil {
		return verify.Verification{}, err
	}
	price, err := e.cfg.Store.Price(ctx, req.Country)
	if err != nil {
		return verify.Verification{}, err
	}
	if !e.reserve() {
		return verify.Verification{}, &verify.Error{Kind: verify.KindUnavailable}
	}
	var (
		v       verify.Verification
		first   verify.Event
		row     *store.Row
		expired bool // one that ran before
	)
	err = e.write(ctx, func(tx *store.Tx) error {
		// Decided here, and not before the wait for this turn: it begins after all that
		// was decided until now.
		now := e.now()
		v, first = verify.Start(req, price, now, e.rand)
		row, expired = &store.Row{Verification: v}, false
		row.Take(e.node, leaseEnd(row, now))
		running, ok, err := tx.Running(req.Account, req.Number)
		if err != nil {
			return err
		}
		if ok {
			running.Verification = running.At(now)
			if running.Status == verify.InProgress {
				return &verify.Error{Kind: verify.KindConcurrent, Request: running.ID}
			}
			expired = true // though nobody has taken that step yet
			if err := tx.Save(running); err != nil {
				return err
			}
		}
		paid, err := tx.Charge(v, account.Unlimited, now)
		if err != nil {
			return err
		}
		if !paid {
			return &verify.Error{Kind: verify.KindNoCredit}
		}
		return tx.Insert(row, first)
	})
	if err != nil {
		e.unreserve()
		return verify.Verification{}, err
	}
	e.metrics.started.Inc()
	if expired {
		e.metrics.ended.WithLabelValues(string(verify.Expired)).Inc()
	}
	e.deliver(delivery{v, first, row.Fence})
	e.runner.Wake(row.Until)
	return v, nil
}

// mayReach applies the rules that need no transaction: they change rarely, and a
// request that slips past a change is one that came just before it.
func (e *Engine) mayReach(ctx context.Context, account verify.Account, req verify.Request) error {
	if account.Trial {
		approved, err := e.cfg.Store.Approved(ctx, account.Key, req.Number)
		if err != nil {
			return err
		}
		if !approved {
			return &verify.Error{Kind: verify.KindNotApproved}
		}
	}
	blocked, err := e.cfg.Store.Blocked(ctx, req.Number)
	if err != nil {
		return err
	}
	if blocked {
		return &verify.Error{Kind: verify.KindBlocked}
	}
	if slices.ContainsFunc(e.cfg.UnsupportedNetworks, func(prefix string) bool {
		return strings.HasPrefix(req.Number, prefix)
	}) {
		return &verify.Error{Kind: verify.KindUnsupportedNetwork}
	}
	// Only the first step must have a route: an operator without voice still
	// serves the workflows that begin with an SMS.
	to := deliver.Destination{
		Channel: req.Workflow.Steps[0].Channel, Number: req.Number, Country: req.Country,
		Account: req.Account, Sender: cmp.Or(req.Sender, defaultSender),
	}
	if !e.cfg.Router.Routable(to) {
		return &verify.Error{Kind: verify.KindUnroutable}
	}
	return nil
}
