package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// price is what a verification costs that is asked for now. It is that of the channel
// of its first event.
func (e *Engine) price(ctx context.Context, req verify.Request) (verify.Money, error) {
	now := e.now()
	list, err := e.cfg.Store.PriceList(ctx)
	if err != nil {
		return 0, err
	}
	amount, ok := list.Find("", req.Number, req.Country, req.Workflow.Steps[0].Channel, now)
	if !ok {
		return 0, &verify.Error{Kind: verify.KindInternal, By: verify.Cause{Rule: verify.RuleNoPrice, Detail: cmp.Or(req.Country, "no country")}}
	}
	return amount, nil
}

// pay takes the price of a verification that is to begin, or sees that it could be
// taken.
func (e *Engine) pay(tx *store.Tx, v verify.Verification, payer store.Payer, now time.Time) (ok bool, err error) {
	if e.cfg.ChargeOnSuccess {
		return tx.Cover(v, payer, now)
	}
	return tx.Charge(v, payer, now)
}

// chargeSuccess takes the price of a verification that has just succeeded, if it was
// not taken before. It is owed by now, whatever the balance says; for the daily cap it
// counted when it began.
func (e *Engine) chargeSuccess(tx *store.Tx, row *store.Row) error {
	if row.Status != verify.Success || row.Paid {
		return nil
	}
	row.Paid = true
	return tx.ChargeOwed(row.Verification, row.FinalizedAt)
}

// wakeRefund has the runner look at a verification that has just ended, if it may have
// to be given its price back.
func (e *Engine) wakeRefund(v verify.Verification) {
	if v.RefundDue() {
		e.runner.Wake(v.FinalizedAt)
	}
}

// refund gives verifications that this node has claimed their price back, if nothing
// of them ever left. What fails falls due again when the claims end.
func (e *Engine) refund(ctx context.Context, due []verify.Verification) error {
	slices.SortStableFunc(due, func(a, b verify.Verification) int { return cmp.Compare(a.PaidBy(), b.PaidBy()) })
	var errs []error
	for len(due) > 0 {
		payer, n := due[0].PaidBy(), 1
		for n < len(due) && due[n].PaidBy() == payer {
			n++
		}
		some := due[:n]
		due = due[n:]
		refunded := 0
		err := e.writeIn(ctx, store.Scope{Account: payer, Charges: true}, func(tx *store.Tx) (err error) {
			refunded, err = e.refundTo(tx, payer, some)
			return err
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("refund: %w", err))
			continue
		}
		e.metrics.refunded.Add(float64(refunded))
	}
	return errors.Join(errs...)
}

// refundTo gives an account back what it paid for verifications.
func (e *Engine) refundTo(tx *store.Tx, payer string, due []verify.Verification) (refunded int, err error) {
	accounts := map[string]bool{}
	for _, v := range due {
		accounts[v.Account] = true
	}
	if err := tx.LockBalances(payer, slices.Collect(maps.Keys(accounts))...); err != nil {
		return 0, err
	}
	now := e.now()
	for _, v := range due {
		row, ok, err := tx.FindFree(v.ID)
		if err != nil || !ok || row.Node != e.node || !row.RefundDue() {
			if err != nil && !errors.Is(err, store.ErrBroken) {
				return refunded, err
			}
			continue
		}
		events, err := tx.Events(row.ID)
		if err != nil {
			return refunded, err
		}
		if row.Refundable(events) {
			if err := tx.Refund(row.Verification, now); err != nil {
				return refunded, err
			}
			row.Paid = false
			refunded++
		}
		row.Unsent = false
		row.Drop()
		if err := tx.Save(row); err != nil {
			return refunded, err
		}
	}
	return refunded, nil
}

// cost is what a carrier charges for a message that it took; 0 where nobody has said.
func (e *Engine) cost(v verify.Verification, channel verify.Channel, sub deliver.Submission) verify.Money {
	if sub.Carrier == "" { // none took it
		return 0
	}
	now := e.now()
	list, err := e.cfg.Store.PriceList(e.sendCtx)
	if err != nil {
		e.cfg.Log.Warn("cost of a message not known", "request_id", v.ID.Hex(), "carrier", sub.Carrier, "error", err)
		return 0
	}
	each, _ := list.Find(sub.Carrier, v.Number, v.Country, channel, now)
	return each * verify.Money(max(1, sub.Segments))
}

// addLateCost notes what a carrier charges for a part that it took late.
func addLateCost(tx *store.Tx, list *verify.PriceList, event verify.Event, p verify.Part, now time.Time) error {
	if p.Carrier == "" || !list.Has(p.Carrier) {
		return nil
	}
	row, ok, err := tx.Find(event.Verification)
	if err != nil || !ok {
		return err
	}
	each, _ := list.Find(p.Carrier, row.Number, row.Country, event.Channel, now)
	if each == 0 {
		return nil
	}
	return tx.AddCost(row.Verification, event, strconv.Itoa(p.Attempt)+"/"+strconv.Itoa(p.Seq), each, now)
}
