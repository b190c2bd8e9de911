package engine

import (
	"context"
	"slices"
	"time"

	"countersign/internal/store"
)

// renewEvery is how often the claims of messages on their way are renewed: early
// enough for two tries before the lease ends.
const renewEvery = lease / 3

// maxRenewals bounds the claims that are renewed in one commit.
const maxRenewals = 256

// renewClaims keeps other nodes from a row while its message is with a carrier,
// however long that takes. Where there are no others the row may fall due, and the
// runner sees that its message is still on the way.
func (e *Engine) renewClaims(ctx context.Context) {
	now := e.now()
	if !e.cfg.Store.Shared() || within(e.renewedAt, now, renewEvery) {
		return
	}
	e.renewedAt = now
	for some := range slices.Chunk(e.flights.to(""), maxRenewals) {
		err := e.write(ctx, func(tx *store.Tx) error { return renew(tx, some, now.Add(lease)) })
		if err != nil {
			e.cfg.Log.Warn("claims not renewed", "claims", len(some), "error", err)
			e.renewedAt = time.Time{}
		}
	}
}

func renew(tx *store.Tx, flights []flight, until time.Time) error {
	for _, fl := range flights {
		if err := tx.Renew(fl.verification, fl.fence, until); err != nil {
			return err
		}
	}
	return nil
}
