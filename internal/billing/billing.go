// Package billing contains the operator's side of prices and ledger: CSV import and export,
// the audit of the ledger, and warnings about low balances. Package verify selects the
// price of a message ([verify.PriceList]), and the engine charges it.
//
// The command line and the admin API share the package. It does not depend on commands or
// HTTP.
package billing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// Export writes the price list of a carrier, or of accounts for "", as CSV for
// [ReadPrices].
func Export(ctx context.Context, db *store.DB, carrier string, w io.Writer) error {
	all, err := db.Prices(ctx)
	if err != nil {
		return err
	}
	other := func(p verify.Price) bool { return p.Carrier != carrier }
	return WritePrices(w, slices.DeleteFunc(all, other))
}

// SetPrice adds a price to its list. Existing prices for the same numbers are shortened or
// split where it is valid.
func SetPrice(ctx context.Context, db *store.DB, p verify.Price, now time.Time) error {
	if err := CheckPrice(p); err != nil {
		return err
	}
	return db.ChangePrices(ctx, p.Carrier, func(prices []verify.Price) ([]verify.Price, error) {
		after := verify.SetPrice(prices, p)
		list, err := verify.NewPriceList(after)
		if err != nil {
			return nil, err
		}
		return after, checkDefault(list, p.Carrier, now)
	})
}

// ErrNoDefault means that accounts would have no price for some numbers.
var ErrNoDefault = errors.New("no price for all other countries (*)")

// checkDefault returns an error unless accounts have a price for any number at any time
// from now. A carrier's list may be incomplete.
func checkDefault(list *verify.PriceList, carrier string, now time.Time) error {
	if carrier != "" {
		return nil
	}
	switch gap, ok := list.Gap("", now); {
	case !ok:
		return nil
	case gap.Equal(now):
		return ErrNoDefault
	default:
		return fmt.Errorf("%w from %s on", ErrNoDefault, gap.Format(time.RFC3339))
	}
}
