package engine

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/fraud"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// Start accepts a request to verify a number and sends its first message. It
// refuses, in this order, with KindNotApproved, KindBlocked,
// KindUnsupportedNetwork, KindUnroutable, what the velocity rules say (see
// [velocity.Watch.Begin]), KindConcurrent (which names the verification that runs),
// KindBlocked (by a cap on the number) and KindNoCredit.
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
			b, err = e.begin(tx, req, price, store.Payer{Account: account.Payer(), OnCredit: account.OnCredit()})
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

// maxStartTries bounds how often a start is tried that found no verification in
// progress, and yet there was one: another node was faster by a moment. The next
// try can name it.
const maxStartTries = 5

// beginning is a verification that has begun.
type beginning struct {
	row     *store.Row
	first   verify.Event
	expired bool // one that ran before, though nobody has taken that step yet
	before  verify.Verification
	capped  *fraud.Refusal
}

// begin adds a verification, if none is in progress for its account and number and
// it is paid for. It is decided here, and not before the wait for this turn, so that
// it begins after all that was decided until now.
func (e *Engine) begin(tx *store.Tx, req verify.Request, price verify.Money, payer store.Payer) (b beginning, err error) {
	now := e.now()
	g, err := e.guard(tx, req, now)
	if err != nil {
		return b, err
	}
	if b.capped = g.maySend(); b.capped != nil {
		return b, runningOrCapped(tx, req, now)
	}
	v, first := verify.Start(req, price, now, e.rand)
	v.Paid = !e.cfg.ChargeOnSuccess
	if payer.Account != req.Account {
		v.Payer = payer.Account
	}
	running, found, err := tx.Running(v.Account, v.Number)
	if err != nil {
		return b, err
	}
	if found {
		running.Verification = running.At(now)
		if running.Status == verify.InProgress {
			return b, &verify.Error{Kind: verify.KindConcurrent, Request: running.ID}
		}
		b.expired, b.before = true, running.Verification
	}
	paid, err := e.pay(tx, v, payer, now)
	if err != nil {
		return b, err
	}
	if !paid { // before anything is written: what is rolled back was not counted
		return b, &verify.Error{Kind: verify.KindNoCredit}
	}
	if b.expired {
		if err := tx.Save(running); err != nil {
			return b, err
		}
	}
	b.row, b.first = &store.Row{Verification: v}, first
	b.row.Take(e.node, leaseEnd(b.row, now))
	if err := tx.Insert(b.row, first); err != nil {
		return b, err
	}
	return b, g.sent(tx)
}

// runningOrCapped is the refusal of a start for a number at a cap. Who asks again
// since the answer was lost still learns what runs.
func runningOrCapped(tx *store.Tx, req verify.Request, now time.Time) error {
	running, ok, err := tx.Running(req.Account, req.Number)
	if err != nil {
		return err
	}
	if ok && running.At(now).Status == verify.InProgress {
		return &verify.Error{Kind: verify.KindConcurrent, Request: running.ID}
	}
	return &verify.Error{Kind: verify.KindBlocked}
}

// examine applies the rules that come before a verification, and gives what it costs.
// To a test number none applies, since nothing is sent there.
func (e *Engine) examine(ctx context.Context, account verify.Account, req verify.Request) (verify.Request, verify.Money, error) {
	if pin, ok := account.Settings.TestPIN(req.Number); ok {
		return req.Testing(pin), 0, nil
	}
	if err := e.mayReach(ctx, account, req); err != nil {
		return req, 0, err
	}
	price, err := e.price(ctx, req)
	return req, price, err
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
	if !account.Settings.AllowsCountry(req.Country) || slices.ContainsFunc(e.cfg.UnsupportedNetworks, func(prefix string) bool {
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
