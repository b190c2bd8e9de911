package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"countersign/internal/billing"
	"countersign/internal/config"
	"countersign/internal/store"
	"countersign/internal/verify"
)

type priceCmd struct {
	Export priceExportCmd `cmd:"" aliases:"show" help:"Print a price list as CSV, in the form that import reads."`
	List   priceListCmd   `cmd:"" help:"Show a price list as a table."`
	Import priceImportCmd `cmd:"" help:"Replace a price list by a CSV file, whole or not at all."`
	Set    priceSetCmd    `cmd:"" help:"Set one price."`
}

// priceFlags says whose price list is meant.
type priceFlags struct {
	configFlag
	Carrier string `help:"What this carrier charges for a message. Default: what accounts pay for a verification." placeholder:"NAME"`
}

// change opens the database for a change of a price list.
func (c priceFlags) change(p *process, do func(*store.DB) error) error {
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	if c.Carrier != "" && !slices.ContainsFunc(cfg.Carriers, func(known config.Carrier) bool { return known.Name == c.Carrier }) {
		return fmt.Errorf("--carrier: the configuration has no carrier %q", c.Carrier)
	}
	return c.configFlag.change(p, do)
}

type priceExportCmd struct{ priceFlags }

// Run prints the price list.
func (c *priceExportCmd) Run(p *process) error {
	return c.configFlag.change(p, func(db *store.DB) error { return billing.Export(p.ctx, db, c.Carrier, p.stdout) })
}

type priceListCmd struct{ priceFlags }

// Run shows the price list.
func (c *priceListCmd) Run(p *process) error {
	return c.configFlag.change(p, func(db *store.DB) error {
		prices, err := billing.Prices(p.ctx, db, c.Carrier)
		if err != nil {
			return err
		}
		now := p.now()
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
	})
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
	imported := 0
	err = c.change(p, func(db *store.DB) (err error) {
		if imported, err = billing.Import(p.ctx, db, c.Carrier, f, p.now()); err != nil {
			return fmt.Errorf("%s: %w", c.File, err)
		}
		return nil
	})
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	p.printf("%d prices imported\n", imported)
	return nil
}

type priceSetCmd struct {
	priceFlags
	For     string `arg:"" help:"Country (ISO 3166-1, two letters), prefix (first digits of the number), or * for all others."`
	Price   string `arg:"" help:"Price such as 0.1205."`
	Channel string `help:"Only for sms or tts: of a message, or of the first message of a verification." enum:",sms,tts" default:"" placeholder:"CHANNEL"`
	From    string `help:"First moment of its validity: a date (UTC), or a time such as 2026-12-31T23:00:00Z. Default: since ever." placeholder:"TIME"`
	Until   string `help:"First moment after it. Default: never." placeholder:"TIME"`
}

// Run sets the price.
func (c *priceSetCmd) Run(p *process) (err error) {
	price := verify.Price{Carrier: c.Carrier, Channel: verify.Channel(c.Channel)}
	if price.Amount, err = verify.ParseMoney(c.Price); err != nil {
		return err
	}
	if price.From, err = billing.ParseTime(c.From); err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	if price.Until, err = billing.ParseTime(c.Until); err != nil {
		return fmt.Errorf("--until: %w", err)
	}
	switch digits := strings.TrimPrefix(c.For, "+"); {
	case c.For == "*":
	case digits != "" && strings.Trim(digits, "0123456789") == "":
		price.Prefix = digits
	default:
		price.Country = strings.ToUpper(c.For)
	}
	return c.change(p, func(db *store.DB) error { return billing.SetPrice(p.ctx, db, price, p.now()) })
}
