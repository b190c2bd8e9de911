package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"countersign/internal/verify"
)

// pricesVersion names the setting that is another after each change of the price lists.
const pricesVersion = "prices_version"

// pricesKnown is for how long a price list is used without a look whether another
// process has changed it.
const pricesKnown = time.Second

// priceCache is the price lists as they were read last, so that a request need not.
type priceCache struct {
	mu   sync.Mutex // of whoever looks for a newer one
	last atomic.Pointer[cachedPrices]
}

type cachedPrices struct {
	list    *verify.PriceList
	version string
	checked time.Time
}

// PriceList gives the price lists of accounts and carriers. What this process has
// changed is in them at once, what another has a second later at most. While the
// database cannot be read, those that were read last are used.
func (db *DB) PriceList(ctx context.Context, now time.Time) (*verify.PriceList, error) {
	known := db.prices.last.Load()
	if known != nil && now.Sub(known.checked).Abs() < pricesKnown {
		return known.list, nil
	}
	if known != nil && !db.prices.mu.TryLock() { // somebody looks already
		return known.list, nil
	} else if known == nil {
		db.prices.mu.Lock()
	}
	defer db.prices.mu.Unlock()
	known = db.prices.last.Load()
	fresh, err := db.readPrices(ctx, known, now)
	switch {
	case err != nil && known == nil:
		return nil, fmt.Errorf("read prices: %w", err)
	case err != nil:
		db.log.Warn("prices may be old", "error", err)
		fresh = &cachedPrices{known.list, known.version, now}
	}
	db.prices.last.Store(fresh)
	return fresh.list, nil
}

// readPrices reads the lists unless known is what stands there.
func (db *DB) readPrices(ctx context.Context, known *cachedPrices, now time.Time) (*cachedPrices, error) {
	var version []byte
	err := db.queryRow(ctx, `SELECT value FROM settings WHERE name = $1`, []any{pricesVersion}, &version)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	if known != nil && known.version == string(version) {
		return &cachedPrices{known.list, known.version, now}, nil
	}
	prices, err := db.Prices(ctx)
	if err != nil {
		return nil, err
	}
	list, err := verify.NewPriceList(prices)
	return &cachedPrices{list, string(version), now}, err
}

const priceColumns = `carrier, country, prefix, channel, amount, valid_from, valid_until`

// Prices lists the price lists of accounts and carriers, in the order of what the
// prices are for and of their validity.
func (db *DB) Prices(ctx context.Context) ([]verify.Price, error) {
	//nolint:rowserrcheck // scanPrices does
	rows, err := db.query(ctx, `SELECT `+priceColumns+` FROM price_list
		ORDER BY carrier, country, prefix, channel, valid_from`)
	if err != nil {
		return nil, fmt.Errorf("list prices: %w", err)
	}
	return scanPrices(rows)
}

func scanPrices(rows rows) (prices []verify.Price, err error) {
	defer rows.Close()
	for rows.Next() {
		var (
			p     verify.Price
			from  int64
			until sql.NullInt64
		)
		if err := rows.Scan(&p.Carrier, &p.Country, &p.Prefix, &p.Channel, &p.Amount, &from, &until); err != nil {
			return nil, fmt.Errorf("list prices: %w", err)
		}
		if from != 0 {
			p.From = fromMillis(from)
		}
		p.Until = fromMillisOrNull(until)
		prices = append(prices, p)
	}
	return prices, rows.Err()
}

// ReplacePrices puts a new price list in the place of the old one of a carrier, or of
// accounts for "", whole or not at all.
func (db *DB) ReplacePrices(ctx context.Context, carrier string, prices []verify.Price) error {
	return db.ChangePrices(ctx, carrier, func([]verify.Price) ([]verify.Price, error) { return prices, nil })
}

// ChangePrices changes the price list of a carrier, or of accounts for "": change is
// given the list as it is, and may be run more than once. Each of its prices must be
// the carrier's, and no two may be in force at one time for the same numbers.
func (db *DB) ChangePrices(ctx context.Context, carrier string, change func([]verify.Price) ([]verify.Price, error)) error {
	db.prices.mu.Lock() // so that nobody puts an old list in the place of a new one
	defer db.prices.mu.Unlock()
	err := db.Write(ctx, func(tx *Tx) error {
		if tx.lockPrices != "" {
			if err := tx.send(tx.lockPrices); err != nil {
				return err
			}
		}
		rows, err := tx.query(`SELECT `+priceColumns+` FROM price_list WHERE carrier = $1
			ORDER BY country, prefix, channel, valid_from`, carrier)
		if err != nil {
			return err
		}
		before, err := scanPrices(rows)
		if err != nil {
			return err
		}
		after, err := change(before)
		if err != nil {
			return err
		}
		if _, err := verify.NewPriceList(after); err != nil {
			return err
		}
		return tx.savePrices(carrier, after)
	})
	db.prices.last.Store(nil)
	if err != nil {
		return fmt.Errorf("change prices: %w", err)
	}
	return nil
}

func (tx *Tx) savePrices(carrier string, prices []verify.Price) error {
	if err := tx.send(`DELETE FROM price_list WHERE carrier = $1`, carrier); err != nil {
		return err
	}
	for _, p := range prices {
		var from int64
		if !p.From.IsZero() {
			from = millis(p.From)
		}
		if err := tx.send(`INSERT INTO price_list (`+priceColumns+`) VALUES (`+placeholders(7)+`)`,
			carrier, p.Country, p.Prefix, string(p.Channel), int64(p.Amount), from, millisOrNull(p.Until)); err != nil {
			return err
		}
	}
	version := verify.NewID(rand.Reader)
	return tx.send(`INSERT INTO settings (name, value) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`, pricesVersion, version[:])
}
