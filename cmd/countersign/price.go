package main

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"countersign/internal/store"
	"countersign/internal/verify"
)

type priceCmd struct {
	Show   priceShowCmd   `cmd:"" help:"Print the price list as CSV."`
	Import priceImportCmd `cmd:"" help:"Replace the price list by a CSV file: country,price with * for all others."`
}

// allOthers stands in a price list for every country that is not named.
const allOthers = "*"

type priceShowCmd struct{ configFlag }

// Run prints the price list, in the form that import reads.
func (c *priceShowCmd) Run(p *process) error {
	db, err := c.open(p)
	if err != nil {
		return err
	}
	prices, err := db.Prices(p.ctx)
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	w := csv.NewWriter(p.stdout)
	_ = w.Write([]string{"country", "price"}) // Error tells
	for _, price := range prices {
		country := price.Country
		if country == "" {
			country = allOthers
		}
		_ = w.Write([]string{country, price.Amount.String()})
	}
	w.Flush()
	return w.Error()
}

type priceImportCmd struct {
	configFlag
	File string `arg:"" help:"CSV file." type:"existingfile"`
}

// Run replaces the price list.
func (c *priceImportCmd) Run(p *process) error {
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	prices, err := readPrices(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	if err := c.change(p, func(db *store.DB) error { return db.ReplacePrices(p.ctx, prices) }); err != nil {
		return err
	}
	p.printf("%d prices imported\n", len(prices))
	return nil
}

// readPrices reads lines of country and price. Every problem names its line.
func readPrices(r io.Reader) ([]store.Price, error) {
	const byteOrderMark = "\ufeff" // as spreadsheets write it
	text := bufio.NewReader(r)
	if first, _ := text.Peek(len(byteOrderMark)); string(first) == byteOrderMark {
		_, _ = text.Discard(len(byteOrderMark)) // what was peeked can be discarded
	}
	in := csv.NewReader(text)
	in.FieldsPerRecord = 2
	in.TrimLeadingSpace = true
	isCountry := regexp.MustCompile(`^[A-Z]{2}$`)
	seen := map[string]bool{}
	var prices []store.Price
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		line, _ := in.FieldPos(0)
		country, amount := strings.ToUpper(strings.TrimSpace(record[0])), strings.TrimSpace(record[1])
		if line == 1 && country == "COUNTRY" {
			continue
		}
		if country != allOthers && !isCountry.MatchString(country) {
			return nil, fmt.Errorf("line %d: %q is not a country of two letters", line, record[0])
		}
		if seen[country] {
			return nil, fmt.Errorf("line %d: a second price for %s", line, country)
		}
		seen[country] = true
		price, err := verify.ParseMoney(amount)
		if err != nil || price < 0 {
			return nil, fmt.Errorf("line %d: %q is not a price", line, record[1])
		}
		prices = append(prices, store.Price{Country: strings.TrimPrefix(country, allOthers), Amount: price})
	}
	if !seen[allOthers] {
		return nil, errors.New("no price for all other countries (*)")
	}
	return prices, nil
}
