package engine

import (
	"context"
	"slices"
	"time"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// renewEvery is the interval at which the leases of messages in flight are renewed: early
// enough for two tries before a lease ends.
const renewEvery = verify.LeaseTime / 3

// maxRenewals bounds the leases that are renewed in one commit.
const maxRenewals = 256

// renewLeases renews the leases of all messages in flight, which keeps other nodes from their
// rows. On an embedded database the row may become due: the runner then finds the message in
// flight.
func (e *Engine) renewLeases(ctx context.Context) {
	now := e.now()
	if !e.cfg.Store.Shared() || within(e.renewedAt, now, renewEvery) {
		return
	}
	e.renewedAt = now
	for some := range slices.Chunk(e.flights.to(""), maxRenewals) {
		err := e.write(ctx, func(tx *store.Tx) error { return renew(tx, some, now.Add(verify.LeaseTime)) })
		if err != nil {
			e.cfg.Log.Warn("cannot renew leases", "leases", len(some), "error", err)
			e.renewedAt = time.Time{}
		}
	}
}

func renew(tx *store.Tx, flights []flight, until time.Time) error {
	for _, fl := range flights {
		if err := tx.Renew(fl.verification, fl.token, until); err != nil {
			return err
		}
	}
	return nil
}
