package store

import (
	"context"
	"database/sql"
	"fmt"

	"countersign/internal/store/driver"
	"countersign/internal/verify"
)

// PriceList returns the price lists of accounts and carriers, with every acknowledged
// change of any node. While the database is unreadable it returns the previous lists.
func (db *DB) PriceList(ctx context.Context) (*verify.PriceList, error) {
	list, err := db.prices.Get(ctx)
	if err != nil {
		return nil, fmt.Errorf("read prices: %w", err)
	}
	return list, nil
}

func (db *DB) readPriceList(ctx context.Context) (*verify.PriceList, error) {
	prices, err := db.Prices(ctx)
	if err != nil {
		return nil, err
	}
	return verify.NewPriceList(prices)
}

const priceColumns = `carrier, country, prefix, channel, amount, valid_from, valid_until`

// Prices lists the price lists of accounts and carriers, ordered by carrier, country,
// prefix, channel and begin of validity.
func (db *DB) Prices(ctx context.Context) ([]verify.Price, error) {
	rows, err := db.query(ctx, `SELECT `+priceColumns+` FROM price_list
		ORDER BY carrier, country, prefix, channel, valid_from`)
	if err != nil {
		return nil, fmt.Errorf("list prices: %w", err)
	}
	return scanPrices(rows)
}

func scanPrices(rows driver.Rows) (prices []verify.Price, err error) {
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

// ReplacePrices atomically replaces the price list of a carrier, or of accounts for "".
func (db *DB) ReplacePrices(ctx context.Context, carrier string, prices []verify.Price) error {
	return db.ChangePrices(ctx, carrier, func([]verify.Price) ([]verify.Price, error) { return prices, nil })
}

// ChangePrices changes the price list of a carrier, or of accounts for "". change
// receives the current list and may run more than once. Each of its prices must be the
// carrier's, and no two may be valid at the same time for the same numbers.
func (db *DB) ChangePrices(ctx context.Context, carrier string, change func([]verify.Price) ([]verify.Price, error)) error {
	err := db.Write(ctx, Scope{}, func(tx *Tx) error {
		if tx.dialect.Shared {
			if err := tx.send(fmt.Sprintf(tx.dialect.LockTable, "price_list")); err != nil {
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
	db.waitForNodes(ctx, err, ofPrices)
	db.prices.renew(ctx)
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
	return tx.bumpVersions(ofPrices)
}
