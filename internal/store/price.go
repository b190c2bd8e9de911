package store

import (
	"context"
	"fmt"

	"countersign/internal/verify"
)

// Price is what a verification of a number in Country costs.
type Price struct {
	Country string // ISO 3166-1 alpha-2; "" for all others
	Amount  verify.Money
}

// Price is what a verification of a number in country costs.
func (db *DB) Price(ctx context.Context, country string) (amount verify.Money, err error) {
	// '' sorts before every country, so it is used when there is nothing else.
	err = db.queryRow(ctx, `SELECT amount FROM prices WHERE country IN ($1, '')
		ORDER BY country DESC LIMIT 1`, []any{country}, &amount)
	if err != nil {
		return 0, fmt.Errorf("price for country %q: %w", country, err)
	}
	return amount, nil
}

// Prices lists the price list by country.
func (db *DB) Prices(ctx context.Context) ([]Price, error) {
	rows, err := db.query(ctx, `SELECT country, amount FROM prices ORDER BY country`)
	if err != nil {
		return nil, fmt.Errorf("list prices: %w", err)
	}
	defer rows.Close()
	var prices []Price
	for rows.Next() {
		var p Price
		if err := rows.Scan(&p.Country, &p.Amount); err != nil {
			return nil, fmt.Errorf("list prices: %w", err)
		}
		prices = append(prices, p)
	}
	return prices, rows.Err()
}

// ReplacePrices puts a new price list in the place of the old one, whole or not
// at all. It must have a price for all other countries.
func (db *DB) ReplacePrices(ctx context.Context, prices []Price) error {
	return db.Write(ctx, func(tx *Tx) error {
		if _, err := tx.exec(`DELETE FROM prices`); err != nil {
			return fmt.Errorf("replace prices: %w", err)
		}
		for _, p := range prices {
			if _, err := tx.exec(`INSERT INTO prices (country, amount) VALUES ($1, $2)`, p.Country, int64(p.Amount)); err != nil {
				return fmt.Errorf("replace prices: country %q: %w", p.Country, err)
			}
		}
		return nil
	})
}
