package engine

import (
	"context"

	"countersign/internal/verify"
)

// Search returns an account's verifications with their history, running or ended, in the
// order of ids. It omits unknown ids and ids of other accounts.
func (e *Engine) Search(ctx context.Context, account verify.Account, ids []verify.ID) (found []verify.Verification, err error) {
	now := e.now()
	for _, id := range ids {
		v, ok, err := e.cfg.Store.Verification(ctx, id)
		switch {
		case v.Account != "" && v.Account != account.Key: // also if its row is broken
		case err != nil:
			return nil, err
		case ok:
			found = append(found, v.At(now))
		}
	}
	return found, nil
}
