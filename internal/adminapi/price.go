package adminapi

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strings"

	"countersign/internal/store"
	"countersign/internal/verify"
)

func priceRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/prices", serve: (*call).showPrices},
		{method: http.MethodPut, path: "/prices", serve: (*call).replacePrices, action: "price.import"},
	}
}

// allOthers stands in a price list for every country that is not named.
const allOthers = "*"

const csvType = "text/csv"

// showPrices answers with the price list as CSV, in the form that replacePrices reads.
func (c *call) showPrices() error {
	if _, err := c.query(); err != nil {
		return err
	}
	prices, err := c.cfg.Store.Prices(c.r.Context())
	if err != nil {
		return err
	}
	var list bytes.Buffer
	w := csv.NewWriter(&list)
	_ = w.Write([]string{"country", "price"}) // Error tells
	for _, price := range prices {
		country := price.Country
		if country == "" {
			country = allOthers
		}
		_ = w.Write([]string{country, price.Amount.String()})
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", csvType+"; charset=utf-8")
	_, _ = c.w.Write(list.Bytes()) // the client is gone, or has its answer
	return nil
}

// Imported says how many rows were taken.
type Imported struct {
	Prices int `json:"prices"`
}

func (c *call) replacePrices() error {
	if kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || kind != csvType {
		return &Problem{Status: http.StatusUnsupportedMediaType, Parameter: "Content-Type", Detail: "must be " + csvType}
	}
	body, err := io.ReadAll(c.r.Body)
	if err != nil {
		return err
	}
	prices, err := readPrices(bytes.NewReader(body))
	if err != nil {
		return &Problem{Status: http.StatusBadRequest, Detail: err.Error()}
	}
	ctx, err := c.change("", Imported{len(prices)})
	if err != nil {
		return err
	}
	if err := c.cfg.Store.ReplacePrices(ctx, prices); err != nil {
		return err
	}
	return c.changed(http.StatusOK, Imported{len(prices)})
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
