package engine

import (
	"cmp"
	"context"
	"errors"
	"time"

	"countersign/internal/fraud"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// transition is one transaction of the engine. It runs rules and writes their changes.
type transition struct {
	*store.Tx
	caps   fraud.Caps
	now    time.Time
	loaded numberHistory // the history that was loaded last

	changes []verify.Change
	early   bool  // a receipt was stored that arrived before the response of its carrier
	found   int   // due rows that were not locked by another transaction
	refusal error // refusal of a start that is only evaluated
}

// numberHistory is a loaded history of an address, with the account of the request.
type numberHistory struct {
	account string
	to      verify.Address
	stored  store.NumberHistory
}

// apply is the only way to write a verification: it runs do in one transaction, and after
// the commit performs the effects of all changes. The store may run do more than once, each
// time with a new transition; do must have no other effect.
func (e *Engine) apply(ctx context.Context, in store.Scope, do func(*transition) error) (t transition, err error) {
	err = e.cfg.Store.Write(ctx, in, func(tx *store.Tx) error {
		t = transition{Tx: tx, caps: e.cfg.Caps, now: e.now()}
		return do(&t)
	})
	switch {
	case errors.Is(err, store.ErrRate): // also counted by this node
		e.throttle.takeBack(in.Limit.Account)
		return transition{}, throttled(in.Limit.PerSecond)
	case err != nil:
		e.refused(t, err)
		return transition{}, classified(err)
	}
	e.committed(t)
	return t, nil
}

// rule runs a rule of package verify on a verification; ok is false without a change.
type rule func(t *transition, v verify.Verification) (c verify.Change, ok bool, err error)

// change runs a rule on the verification that a scope names, in a transaction, and saves the
// result. owner is the account of the request; the error is KindNotFound if the verification
// belongs to another account. owner is "" for changes by the engine, which skip archived
// verifications.
func (e *Engine) change(ctx context.Context, in store.Scope, owner string, run rule) (transition, error) {
	id := cmp.Or(in.Verification, in.Changes)
	return e.apply(ctx, in, func(t *transition) error {
		v, ok, err := t.Verification(id)
		if owner != "" && (err == nil && !ok || v.Account != "" && v.Account != owner) { // also if its row is broken
			return &verify.Error{Kind: verify.KindNotFound, Request: id}
		}
		if err != nil || !ok {
			return err
		}
		c, ok, err := run(t, v)
		if err != nil || !ok {
			return err
		}
		return t.save(c)
	})
}

// counted returns the scope of a request that counts against the account's rate, on all
// nodes together, and may change its balance.
func (e *Engine) counted(account verify.Account, in store.Scope) store.Scope {
	in.Account = account.Payer()
	in.Charges = e.cfg.ChargeOnSuccess
	if rate := e.rate(account); rate > 0 {
		in.Limit = &store.Limit{Account: account.Key, PerSecond: rate, Now: e.now}
	}
	return in
}

// save writes a change. Its rule ran with the history that was loaded last.
func (t *transition) save(change verify.Change) error {
	t.changes = append(t.changes, change)
	c := &t.changes[len(t.changes)-1]
	if err := t.Save(*c); err != nil {
		return err
	}
	h, ok := c.History.(fraud.History)
	if !ok {
		return nil
	}
	stored := t.loaded.stored
	stored.Number = h.Number
	return t.SaveNumberHistory(stored, h.StaleAt())
}

// nextHistory loads the history of the address of the step that follows some taken steps. It
// returns verify.Uncapped for a channel without caps.
func (t *transition) nextHistory(req verify.Request, taken int) (verify.History, error) {
	if taken == len(req.Workflow.Steps) {
		return verify.Uncapped{}, nil
	}
	step := req.StepAt(taken)
	if !step.Channel.Info().Capped {
		return verify.Uncapped{}, nil
	}
	return t.history(req, step.To)
}

// history loads the history of an address. It returns verify.Uncapped for a test number.
func (t *transition) history(req verify.Request, to verify.Address) (verify.History, error) {
	if req.Workflow.Test {
		return verify.Uncapped{}, nil
	}
	stored, err := t.NumberHistory(to.Canonical)
	if err != nil {
		return nil, err
	}
	t.loaded = numberHistory{req.Account, to, stored}
	return fraud.History{Number: stored.Number, Address: to, Caps: t.caps, Account: req.Account}, nil
}

// committed performs the effects of a transition that is durable: metrics, velocity rules,
// the runner's next wake-up, and the delivery of events. Effects without a change are
// elsewhere: refused and Check count refusals, and handOff counts a message that was not sent.
// takeBatch makes refunds in a further transaction.
func (e *Engine) committed(t transition) {
	if t.early {
		e.metrics.early.Inc()
	}
	for i := range t.changes {
		c := &t.changes[i]
		v := &c.Verification
		if e.cfg.Observe != nil {
			e.cfg.Observe(*c)
		}
		for _, f := range c.Facts {
			e.observe(v, f)
		}
		if c.Stepped {
			e.metrics.lateness.Observe(c.Late.Seconds())
		}
		if c.Send != nil {
			e.deliver(delivery{*v, *c.Send, v.Lease.Token})
		}
		if at, why := v.Due(); why != verify.NotDue {
			e.runner.Wake(at)
		}
	}
}

// observe performs the effects of a fact.
func (e *Engine) observe(v *verify.Verification, f verify.Fact) {
	switch f.Kind {
	case verify.Started:
		e.metrics.started.Inc()
	case verify.EventSent:
		channel := v.Events[f.Event].Channel
		e.metrics.events.WithLabelValues(string(channel), string(f.State)).Inc()
		if f.State == verify.EventAccepted && channel.Info().Segmented {
			e.cfg.Velocity.Sent(*v, v.StepAt(f.Event).To)
		}
	case verify.CodeChecked:
		e.metrics.checked(f.Valid)
		if !f.Valid {
			e.cfg.Velocity.Failed(*v, v.Checks[len(v.Checks)-1].IPAddress)
		}
	case verify.Finished:
		e.metrics.ended.WithLabelValues(string(f.Status)).Inc()
		e.cfg.Velocity.Ended(*v)
	case verify.Refunded:
		e.metrics.refunded.Inc()
	case verify.Capped:
		e.capped(v.Account, v.StepAt(f.Event).To, f.Cap, f.Until)
	case verify.EventResent, verify.EventReported, verify.PINRenewed, verify.Charged: // only for the timeline
	}
}

// capped reports that a cap of an address refused an event or was filled.
func (e *Engine) capped(account string, to verify.Address, name string, until time.Time) {
	e.metrics.capped.WithLabelValues(name).Inc()
	e.cfg.Log.Info("number capped", "cap", name, "account", account, "number", to.Masked(), "until", until)
}

// refused reports a refusal by a cap. The refused request has no change, so the address is
// taken from the history that was loaded last.
func (e *Engine) refused(t transition, err error) {
	refusal, ok := errors.AsType[*verify.Error](err)
	if ok && refusal.Kind == verify.KindBlocked && refusal.By.Rule == verify.RuleCap {
		e.capped(t.loaded.account, t.loaded.to, refusal.By.Detail, refusal.By.Until)
	}
}

// is reports whether err is a refusal of the given kind.
func is(err error, kind verify.Kind) bool {
	refusal, ok := errors.AsType[*verify.Error](err)
	return ok && refusal.Kind == kind
}
