package velocity

import (
	"cmp"
	"context"
	"slices"
	"time"

	"countersign/internal/fraud"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// Unblock exempts an account from the rules on a network for d, and lifts the account's
// blocks of it. The error wraps [store.ErrNoBlock] if the account has no block of the
// network. Other nodes apply the exemption within about a second.
func (w *Watch) Unblock(ctx context.Context, account verify.Account, network string, d time.Duration) (until time.Time, err error) {
	if w == nil {
		return time.Time{}, store.ErrNoBlock
	}
	// The block may have been made only a moment ago.
	if err := w.Sync(ctx); err != nil {
		return time.Time{}, err
	}
	now := w.now()
	until = now.Add(d)
	found, err := w.cfg.Store.UnblockNetwork(ctx, fraud.Unblock{Account: account.Key, Network: network, Until: until}, fraud.LiftedByAccount, now)
	if err != nil {
		return time.Time{}, err
	}
	if !found {
		return time.Time{}, store.ErrNoBlock
	}
	w.cfg.Log.Warn("network unblocked", "account", account.Key, "network", network, "until", until.Format(time.RFC3339))
	return until, w.Sync(ctx)
}

// Place has the counts of an account on a network or prefix.
type Place struct {
	Account string // API key
	Network string // name or prefix
	Country string
	fraud.Counts
}

// Status returns the places with the most starts in a period that ends now, on all nodes:
// at most limit places, in descending order. It reads published counts, which are up to a
// second old.
func Status(ctx context.Context, db *store.DB, now time.Time, within time.Duration, limit int) ([]Place, error) {
	nodes, err := db.FraudNodes(ctx)
	if err != nil {
		return nil, err
	}
	oldest := now.Add(-within).Unix() / 60
	sums := map[Place]fraud.Counts{}
	for node := range nodes {
		for last := int64(0); ; {
			entries, until, err := db.FraudEntries(ctx, node, last, now.Add(-within), newsBatch)
			if err != nil {
				return nil, err
			}
			if until == last {
				break
			}
			last = until
			for _, e := range entries {
				if e.Minute > oldest && e.Prefix != "" && !verify.FromFuture(time.Unix(e.Minute*60, 0), now) {
					p := Place{Account: e.Account, Network: cmp.Or(e.Network, e.Prefix), Country: e.Country}
					sums[p] = sums[p].Plus(e.Counts)
				}
			}
		}
	}
	list := make([]Place, 0, len(sums))
	for p, n := range sums {
		p.Counts = n
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b Place) int {
		return cmp.Or(cmp.Compare(b.Starts, a.Starts), cmp.Compare(a.Account, b.Account), cmp.Compare(a.Network, b.Network))
	})
	return list[:min(limit, len(list))], nil
}
