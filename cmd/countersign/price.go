package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"countersign/internal/adminapi"
	"countersign/internal/billing"
	"countersign/internal/verify"
	"countersign/internal/web"
)

type priceCmd struct {
	Export priceExportCmd `cmd:"" aliases:"show" help:"Print a price list as CSV, in the format of price import."`
	List   priceListCmd   `cmd:"" help:"Show a price list as a table."`
	Import priceImportCmd `cmd:"" help:"Replace a price list with a CSV file, completely or not at all."`
	Set    priceSetCmd    `cmd:"" help:"Set one price."`
}

// priceFlags select the price list.
type priceFlags struct {
	adminFlag
	Carrier string `help:"Carrier, for its message prices. Default: the prices that accounts pay." placeholder:"NAME"`
}

// request returns a request for the price list.
func (c priceFlags) request(method string) adminapi.Request {
	return adminapi.Request{Method: method, Path: "/prices", Query: given(map[string]string{"carrier": c.Carrier})}
}

type priceExportCmd struct{ priceFlags }

// Run prints the price list.
func (c *priceExportCmd) Run(p *process) error { return c.ask(p, c.request(http.MethodGet), p.stdout) }

type priceListCmd struct {
	priceFlags
	outputFlags
}

// priceRow is a price with the names of the price list's CSV.
type priceRow struct {
	Country string `json:"country"` // "*" for all others; "" with prefix
	Prefix  string `json:"prefix"`
	Channel string `json:"channel"` // "" for all
	Price   string `json:"price"`
	From    string `json:"valid_from"`  // "" for always
	Until   string `json:"valid_until"` // "" for never
	State   string `json:"state"`

	destination string
}

// priceList is the JSON form of a price list.
type priceList struct {
	Prices []priceRow `json:"prices"`
}

// Run shows the price list.
func (c *priceListCmd) Run(p *process) error {
	var text bytes.Buffer
	if err := c.ask(p, c.request(http.MethodGet), &text); err != nil {
		return err
	}
	prices, err := billing.ReadPrices(&text, c.Carrier, p.now())
	if err != nil && !errors.Is(err, billing.ErrNoDefault) {
		return err
	}
	rows := make([]priceRow, len(prices))
	for i, price := range prices {
		rows[i] = priceRowOf(price, p.now())
	}
	return list[priceRow]{
		document: priceList{rows}, rows: rows,
		header: []string{"FOR", "CHANNEL", "PRICE", "FROM", "UNTIL", "STATE"},
		row: func(r priceRow) []any {
			return []any{r.destination, dash(r.Channel), r.Price, dash(r.From), dash(r.Until), r.State}
		},
		id: func(r priceRow) string { return cmp.Or(r.Country, r.Prefix) },
	}.print(p, c.outputFlags)
}

func priceRowOf(price verify.Price, now time.Time) priceRow {
	row := priceRow{
		Country: price.Country, Prefix: price.Prefix, Channel: string(price.Channel), Price: price.Amount.String(),
		From: billing.FormatTime(price.From), Until: billing.FormatTime(price.Until),
		State: "in force", destination: billing.Destination(price),
	}
	if price.Country == "" && price.Prefix == "" {
		row.Country = row.destination // all others
	}
	switch {
	case now.Before(price.From):
		row.State = "to come"
	case !price.Until.IsZero() && !now.Before(price.Until):
		row.State = "over"
	}
	return row
}

type priceImportCmd struct {
	priceFlags
	outputFlags
	File string `arg:"" help:"CSV file; - for standard input." type:"existingfile"`
}

// Run replaces the price list.
func (c *priceImportCmd) Run(p *process) error {
	f := os.Stdin
	if c.File != "-" {
		var err error
		if f, err = os.Open(c.File); err != nil {
			return err
		}
	}
	var imported adminapi.Imported
	r := c.request(http.MethodPut)
	r.CSV = f
	err := c.ask(p, r, &imported)
	if problem, ok := errors.AsType[*web.Problem](err); ok && problem.Parameter == "" {
		err = fmt.Errorf("%s: %w", c.File, err)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return record[adminapi.Imported]{
		document: imported, text: fmt.Sprintf("%d prices imported\n", imported.Prices),
	}.print(p, c.outputFlags)
}

type priceSetCmd struct {
	priceFlags
	For     string `arg:"" help:"Country (ISO 3166-1, two letters), prefix (first digits of the number), or * for all others."`
	Price   string `arg:"" help:"Price such as 0.1205."`
	Channel string `help:"Only for this channel (sms, tts, email) of a message, or of the first message of a verification." enum:",sms,tts,email" default:"" placeholder:"CHANNEL"`
	From    moment `help:"Start of validity (2026-12-31, tomorrow, +7d). Default: no start." placeholder:"TIME" param:"valid_from"`
	Until   moment `help:"End of validity, exclusive. Default: no end." placeholder:"TIME" param:"valid_until"`
}

// Run sets the price.
func (c *priceSetCmd) Run(p *process) error {
	return c.post(p, adminapi.NewPrice{
		For: c.For, Price: c.Price, Channel: c.Channel, From: c.From.at(p.now()), Until: c.Until.at(p.now()), Carrier: c.Carrier,
	}, nil, "prices")
}
