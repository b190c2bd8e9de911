package adminapi

import (
	"bytes"
	"io"
	"mime"
	"net/http"

	"countersign/internal/billing"
)

func priceRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/prices", serve: (*call).showPrices},
		{method: http.MethodPut, path: "/prices", serve: (*call).replacePrices, action: "price.import"},
	}
}

const csvType = "text/csv"

// showPrices answers with the price list of accounts, or of a carrier, as CSV, in the
// form that replacePrices reads.
func (c *call) showPrices() error {
	query, err := c.query("carrier")
	if err != nil {
		return err
	}
	var list bytes.Buffer
	if err := billing.Export(c.r.Context(), c.cfg.Store, query.Get("carrier"), &list); err != nil {
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
	query, err := c.query("carrier")
	if err != nil {
		return err
	}
	if err := line("carrier", query.Get("carrier"), 100); err != nil {
		return err
	}
	body, err := io.ReadAll(c.r.Body)
	if err != nil {
		return err
	}
	prices, err := billing.ReadPrices(bytes.NewReader(body), query.Get("carrier"), c.now())
	if err != nil {
		return &Problem{Status: http.StatusBadRequest, Detail: err.Error()}
	}
	ctx, err := c.change(query.Get("carrier"), Imported{len(prices)})
	if err != nil {
		return err
	}
	if err := c.cfg.Store.ReplacePrices(ctx, query.Get("carrier"), prices); err != nil {
		return err
	}
	return c.changed(http.StatusOK, Imported{len(prices)})
}
