package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// price returns the price of a verification that begins now, by the channel of its first
// event.
func (e *Engine) price(ctx context.Context, req verify.Request) (verify.Money, error) {
	now := e.now()
	list, err := e.cfg.Store.PriceList(ctx)
	if err != nil {
		return 0, err
	}
	first := req.StepAt(0)
	amount, ok := list.Find("", first.To.Number(), first.To.Country, first.Channel, now)
	if !ok {
		return 0, &verify.Error{Kind: verify.KindInternal, By: verify.Cause{Rule: verify.RuleNoPrice, Detail: cmp.Or(first.To.Country, "no country")}}
	}
	return amount, nil
}

// refund returns the price of leased verifications that never sent a message. After a
// failure they are due again when their leases expire.
func (e *Engine) refund(ctx context.Context, due []verify.Verification) error {
	byPayer := map[string][]verify.Verification{}
	for _, v := range due {
		byPayer[v.PaidBy()] = append(byPayer[v.PaidBy()], v)
	}
	var errs []error
	for _, payer := range slices.Sorted(maps.Keys(byPayer)) {
		_, err := e.apply(ctx, store.Scope{Account: payer, Charges: true}, func(t *transition) error {
			return e.refundTo(t, payer, byPayer[payer])
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("refund: %w", err))
		}
	}
	return errors.Join(errs...)
}

// refundTo refunds verifications to their payer. It locks balances before verifications, as
// all transactions do.
func (e *Engine) refundTo(t *transition, payer string, due []verify.Verification) error {
	accounts := map[string]bool{}
	for _, v := range due {
		accounts[v.Account] = true
	}
	if err := t.LockBalances(payer, slices.Collect(maps.Keys(accounts))...); err != nil {
		return err
	}
	for _, v := range due {
		v, ok, err := t.FreeVerification(v.ID)
		if err != nil && !errors.Is(err, store.ErrBroken) {
			return err
		}
		if err != nil || !ok || v.Lease.Node != e.node || !v.RefundDue() {
			continue
		}
		if err := t.save(v.Refund(t.now)); err != nil {
			return err
		}
	}
	return nil
}

// cost returns the amount that a carrier charges for a submission; 0 if unknown.
func (e *Engine) cost(d delivery, sub deliver.Submission) verify.Money {
	if sub.Carrier == "" { // not accepted
		return 0
	}
	list, err := e.cfg.Store.PriceList(e.sendCtx)
	if err != nil {
		e.cfg.Log.Warn("cannot read prices, storing cost 0 for message", "request_id", d.v.ID.Hex(), "carrier", sub.Carrier, "error", err)
		return 0
	}
	return costOf(list, d.step(), sub.Carrier, e.now()) * verify.Money(max(1, sub.Segments))
}

// costOf returns the amount that a carrier charges for one message; 0 if it is not listed.
func costOf(list *verify.PriceList, step verify.Step, carrier string, now time.Time) verify.Money {
	if carrier == "" || !list.Has(carrier) {
		return 0
	}
	each, _ := list.Find(carrier, step.To.Number(), step.To.Country, step.Channel, now)
	return each
}
