package adminapi

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"countersign/internal/billing"
	"countersign/internal/verify"
	"countersign/internal/web"
)

func priceEndpoints() []endpoint {
	return []endpoint{
		{method: http.MethodGet, path: "/prices", serve: (*exchange).showPrices, query: []string{"carrier"}},
		{method: http.MethodPost, path: "/prices", serve: (*exchange).setPrice, takes: true, action: "price.set"},
		{method: http.MethodPut, path: "/prices", serve: (*exchange).replacePrices, query: []string{"carrier"}, takes: true, action: "price.import", body: 16 << 20},
	}
}

const (
	csvType = "text/csv"                  // of a request body
	sentCSV = csvType + "; charset=utf-8" // of a response
)

// showPrices returns the price list of accounts, or of a carrier, as CSV in the format of
// replacePrices.
func (c *exchange) showPrices() (any, error) {
	query := c.query
	var list bytes.Buffer
	if err := billing.Export(c.r.Context(), c.cfg.Store, query.Get("carrier"), &list); err != nil {
		return nil, err
	}
	return content{sentCSV, list.Bytes()}, nil
}

// Imported has the number of imported rows.
type Imported struct {
	Prices int `json:"prices"`
}

func (c *exchange) replacePrices() (any, error) {
	if web.MediaType(c.r.Header.Get("Content-Type")) != csvType {
		return nil, &web.Problem{Status: http.StatusUnsupportedMediaType, Parameter: "Content-Type", Detail: "must be " + csvType}
	}
	query := c.query
	if err := c.knownCarrier(query.Get("carrier")); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(c.r.Body)
	if err != nil {
		return nil, err
	}
	prices, err := billing.ReadPrices(bytes.NewReader(body), query.Get("carrier"), c.now())
	if err != nil {
		return nil, &web.Problem{Status: http.StatusBadRequest, Detail: err.Error()}
	}
	ctx := c.change(query.Get("carrier"), Imported{len(prices)})
	if err := c.cfg.Store.ReplacePrices(ctx, query.Get("carrier"), prices); err != nil {
		return nil, err
	}
	return Imported{len(prices)}, nil
}

// knownCarrier returns a problem for a carrier that is not configured.
func (c *exchange) knownCarrier(name string) error {
	if name == "" || slices.Contains(c.cfg.CarrierNames, name) {
		return nil
	}
	return invalid("carrier", "the configuration has no carrier %q", printable(name))
}

// NewPrice is a price to set.
type NewPrice struct {
	For     string `json:"for"` // country, prefix, or * for all others
	Price   string `json:"price"`
	Channel string `json:"channel"`     // "" for all
	From    string `json:"valid_from"`  // day or time; "" for no start
	Until   string `json:"valid_until"` // "" for no end
	Carrier string `json:"carrier"`     // "" for the prices of accounts
}

func (n NewPrice) price() (p verify.Price, err error) {
	p = verify.Price{Carrier: n.Carrier, Channel: verify.Channel(n.Channel)}
	if p.Amount, err = money("price", n.Price); err != nil {
		return p, err
	}
	if p.From, err = billing.ParseTime(n.From); err != nil {
		return p, invalid("valid_from", "%v", err)
	}
	if p.Until, err = billing.ParseTime(n.Until); err != nil {
		return p, invalid("valid_until", "%v", err)
	}
	if !p.Until.IsZero() && !p.From.Before(p.Until) {
		return p, invalid("valid_until", "must be later than the start time")
	}
	switch digits := strings.TrimPrefix(n.For, "+"); {
	case n.For == "*":
	case n.For == "":
		return p, invalid("for", "must be given")
	case digits != "" && strings.Trim(digits, "0123456789") == "":
		p.Prefix = digits
	default:
		p.Country = strings.ToUpper(n.For)
	}
	if err := billing.CheckPrice(p); err != nil {
		return p, &web.Problem{Status: http.StatusBadRequest, Detail: err.Error()}
	}
	return p, nil
}

func (c *exchange) setPrice() (any, error) {
	var n NewPrice
	if err := c.read(&n); err != nil {
		return nil, err
	}
	p, err := n.price()
	if err == nil {
		err = c.knownCarrier(n.Carrier)
	}
	if err != nil {
		return nil, err
	}
	ctx := c.change(n.Carrier, n)
	err = billing.SetPrice(ctx, c.cfg.Store, p, c.now())
	if errors.Is(err, billing.ErrNoDefault) {
		return nil, invalid("for", "%v", err)
	}
	if err != nil {
		return nil, err
	}
	return nil, nil
}
