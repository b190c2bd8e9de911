package engine

import (
	"context"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// Search finds an account's verifications with their events and checks, running
// or finished, in the order asked for. Ids that it does not have are left out.
func (e *Engine) Search(ctx context.Context, account verify.Account, ids []verify.ID) ([]store.Record, error) {
	now := e.now()
	var records []store.Record
	for _, id := range ids {
		rec, ok, err := e.cfg.Store.Record(ctx, account.Key, id)
		if err != nil {
			return nil, err
		}
		if ok {
			rec.Verification = rec.At(now)
			records = append(records, rec)
		}
	}
	return records, nil
}
