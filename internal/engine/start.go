package engine

import (
	"context"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// Start accepts a request to verify a number and sends its first message. It
// applies, in this order, the rules of [Engine.examine], the velocity rules (see
// [velocity.Watch.Begin]) and [verify.Begin]. Evaluate only applies the rules.
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
	t, err := e.apply(ctx, e.counted(account, beginScope(account, req)), func(t *transition) error {
		begun, ended, err := e.begin(t, account, req, price)
		if err != nil {
			return err
		}
		if ended != nil {
			if err := t.save(*ended); err != nil {
				return err
			}
		}
		return t.save(begun)
	})
	if err != nil {
		e.unreserve()
		takeBack()
		return verify.Verification{}, err
	}
	return t.changes[len(t.changes)-1].Verification, nil
}

func beginScope(account verify.Account, req verify.Request) store.Scope {
	return store.Scope{Number: req.To.Canonical, Begins: account.Key, Account: account.Payer()}
}

// begin loads the input of [verify.Begin] and runs it in the transaction, so the
// verification begins after all earlier commits for the address.
func (e *Engine) begin(t *transition, account verify.Account, req verify.Request, price verify.Money) (begun verify.Change, ended *verify.Change, err error) {
	b := verify.Beginning{Request: req, Price: price, Payer: account.Payer(), OnSuccess: e.cfg.ChargeOnSuccess, Node: e.node}
	if b.History, err = t.nextHistory(req, 0); err != nil {
		return begun, nil, err
	}
	running, found, err := t.Running(req.Account, req.To)
	if err != nil {
		return begun, nil, err
	}
	if found {
		b.Running = &running
	}
	if price != 0 {
		if b.Funds, err = t.Funds(req.Account, b.Payer, account.OnCredit()); err != nil {
			return begun, nil, err
		}
	}
	return verify.Begin(b, t.now, e.rand)
}
