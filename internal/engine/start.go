package engine

import (
	"context"
	"errors"
	"time"

	"countersign/internal/fraud"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// Start accepts a request to verify a number and sends its first message. It
// applies, in this order, the rules of [Engine.startRules], the velocity rules (see
// [velocity.Watch.Begin]) and the rules of [Engine.decide]. Evaluate applies the same
// rules without a start.
func (e *Engine) Start(ctx context.Context, account verify.Account, req verify.Request) (verify.Verification, error) {
	req, price, err := e.examine(ctx, account, req)
	if err != nil {
		return verify.Verification{}, err
	}
	takeBack, err := e.cfg.Velocity.Begin(ctx, account, req, price)
	if err != nil {
		return verify.Verification{}, err
	}
	if !e.reserve() {
		takeBack()
		return verify.Verification{}, &verify.Error{Kind: verify.KindUnavailable}
	}
	var b beginning
	err = store.ErrRunning
	for try := 0; errors.Is(err, store.ErrRunning) && try < maxStartTries; try++ {
		err = e.writeCounted(ctx, account, store.Scope{Number: req.Number, Begins: account.Key}, func(tx *store.Tx) (err error) {
			b, err = e.begin(tx, req, price, payerOf(account))
			return err
		})
	}
	if err != nil {
		e.unreserve()
		takeBack()
		if is(err, verify.KindBlocked) {
			e.capped(req, b.capped)
		}
		return verify.Verification{}, err
	}
	e.metrics.started.Inc()
	if b.expired {
		e.metrics.ended.WithLabelValues(string(verify.Expired)).Inc()
		e.cfg.Velocity.Ended(b.before)
	}
	e.deliver(delivery{b.row.Verification, b.first, b.row.Fence})
	e.runner.Wake(b.row.Until)
	e.wakeRefund(b.before)
	return b.row.Verification, nil
}

func payerOf(account verify.Account) store.Payer {
	return store.Payer{Account: account.Payer(), OnCredit: account.OnCredit()}
}

// maxStartTries bounds how often a start is tried that found no verification in
// progress, and yet there was one: another node was faster by a moment. The next
// try can name it.
const maxStartTries = 5

// beginning is a verification that has begun.
type beginning struct {
	decision
	row     *store.Row
	first   verify.Event
	expired bool // one that ran before, though nobody has taken that step yet
	before  verify.Verification
}

// begin adds a verification, if none is in progress for its account and number and
// it is paid for. It is decided here, and not before the wait for this turn, so that
// it begins after all that was decided until now.
func (e *Engine) begin(tx *store.Tx, req verify.Request, price verify.Money, payer store.Payer) (b beginning, err error) {
	now := e.now()
	if b.decision, err = e.decide(tx, req, price, payer, now); err != nil {
		return b, err
	}
	v, first := verify.Start(req, price, now, e.rand)
	v.Paid = !e.cfg.ChargeOnSuccess
	if payer.Account != req.Account {
		v.Payer = payer.Account
	}
	paid, err := e.pay(tx, v, payer, now)
	if err != nil {
		return b, err
	}
	if !paid { // before anything is written: what is rolled back was not counted
		return b, &verify.Error{Kind: verify.KindNoCredit}
	}
	if b.over != nil {
		b.expired, b.before = true, b.over.Verification
		if err := tx.Save(b.over); err != nil {
			return b, err
		}
	}
	b.row, b.first = &store.Row{Verification: v}, first
	b.row.Take(e.node, leaseEnd(b.row, now))
	if err := tx.Insert(b.row, first); err != nil {
		return b, err
	}
	return b, b.guard.sent(tx)
}

// decision is the result of the rules that need the transaction.
type decision struct {
	guard  *guard
	capped *fraud.Refusal
	over   *store.Row // a verification that is over, though no node has taken that step yet
}

// decide applies the rules that need the transaction: a cap on the number
// (KindBlocked), a verification in progress (KindConcurrent, which names it) and money
// (KindNoCredit). It has no effect. KindConcurrent precedes KindBlocked: a retry
// after a lost answer gets the verification in progress, also at a cap.
func (e *Engine) decide(tx *store.Tx, req verify.Request, price verify.Money, payer store.Payer, now time.Time) (d decision, err error) {
	if d.guard, err = e.guard(tx, req, now); err != nil {
		return d, err
	}
	d.capped = d.guard.maySend()
	running, found, err := tx.Running(req.Account, req.Number)
	if err != nil {
		return d, err
	}
	if found {
		running.Verification = running.At(now)
	}
	switch {
	case found && running.Status == verify.InProgress:
		return d, &verify.Error{Kind: verify.KindConcurrent, Request: running.ID}
	case d.capped != nil:
		return d, cappedError(d.capped)
	case found:
		d.over = running
	}
	by, short, err := tx.Shortage(verify.Verification{Request: req, Price: price}, payer, now)
	if err == nil && short {
		err = &verify.Error{Kind: verify.KindNoCredit, By: by}
	}
	return d, err
}

func cappedError(r *fraud.Refusal) error {
	by := verify.Cause{Rule: verify.RuleCap, Detail: r.Cap, Count: int64(r.Count), Limit: int64(r.Limit), Until: r.Until}
	return &verify.Error{Kind: verify.KindBlocked, By: by}
}
