package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"text/tabwriter"

	"countersign/internal/adminapi"
	"countersign/internal/billing"
)

type priceCmd struct {
	Export priceExportCmd `cmd:"" aliases:"show" help:"Print a price list as CSV, in the form that import reads."`
	List   priceListCmd   `cmd:"" help:"Show a price list as a table."`
	Import priceImportCmd `cmd:"" help:"Replace a price list by a CSV file, whole or not at all."`
	Set    priceSetCmd    `cmd:"" help:"Set one price."`
}

// priceFlags says whose price list is meant.
type priceFlags struct {
	adminFlag
	Carrier string `help:"What this carrier charges for a message. Default: what accounts pay for a verification." placeholder:"NAME"`
}

// request is a call about the price list.
func (c priceFlags) request(method string) adminapi.Request {
	return adminapi.Request{Method: method, Path: "/prices", Query: given(map[string]string{"carrier": c.Carrier})}
}

type priceExportCmd struct{ priceFlags }

// Run prints the price list.
func (c *priceExportCmd) Run(p *process) error { return c.ask(p, c.request(http.MethodGet), p.stdout) }

type priceListCmd struct{ priceFlags }

// Run shows the price list.
func (c *priceListCmd) Run(p *process) error {
	var list bytes.Buffer
	if err := c.ask(p, c.request(http.MethodGet), &list); err != nil {
		return err
	}
	now := p.now()
	prices, err := billing.ReadPrices(&list, c.Carrier, now)
	if err != nil && !errors.Is(err, billing.ErrNoDefault) {
		return err
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "FOR\tCHANNEL\tPRICE\tFROM\tUNTIL\tSTATE")
	for _, price := range prices {
		state := "in force"
		switch {
		case now.Before(price.From):
			state = "to come"
		case !price.Until.IsZero() && !now.Before(price.Until):
			state = "over"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", billing.Destination(price), dash(string(price.Channel)), price.Amount,
			dash(billing.FormatTime(price.From)), dash(billing.FormatTime(price.Until)), state)
	}
	return w.Flush()
}

// dash stands for nothing in a table.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

type priceImportCmd struct {
	priceFlags
	File string `arg:"" help:"CSV file." type:"existingfile"`
}

// Run replaces the price list.
func (c *priceImportCmd) Run(p *process) error {
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	var imported adminapi.Imported
	r := c.request(http.MethodPut)
	r.CSV = f
	err = c.ask(p, r, &imported)
	if problem, ok := errors.AsType[*adminapi.Problem](err); ok && problem.Parameter == "" {
		err = fmt.Errorf("%s: %w", c.File, err)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	p.printf("%d prices imported\n", imported.Prices)
	return nil
}

type priceSetCmd struct {
	priceFlags
	For     string `arg:"" help:"Country (ISO 3166-1, two letters), prefix (first digits of the number), or * for all others."`
	Price   string `arg:"" help:"Price such as 0.1205."`
	Channel string `help:"Only for sms or tts: of a message, or of the first message of a verification." enum:",sms,tts" default:"" placeholder:"CHANNEL"`
	From    moment `help:"First moment of its validity: a time (2026-12-31, tomorrow, +7d). Default: since ever." placeholder:"TIME" param:"valid_from"`
	Until   moment `help:"First moment after it. Default: never." placeholder:"TIME" param:"valid_until"`
}

// Run sets the price.
func (c *priceSetCmd) Run(p *process) error {
	return c.post(p, adminapi.NewPrice{
		For: c.For, Price: c.Price, Channel: c.Channel, From: c.From.at(p.now()), Until: c.Until.at(p.now()), Carrier: c.Carrier,
	}, nil, "prices")
}
