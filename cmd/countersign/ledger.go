package main

import (
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"countersign/internal/billing"
	"countersign/internal/store"
)

type ledgerCmd struct {
	List   ledgerListCmd   `cmd:"" help:"List the newest entries of an account."`
	Check  ledgerCheckCmd  `cmd:"" help:"Hold each balance against the sum of its entries."`
	Export ledgerExportCmd `cmd:"" help:"Write the ledger as CSV."`
}

type ledgerListCmd struct {
	configFlag
	Account string `arg:"" help:"The api_key."`
	Limit   int    `help:"Most entries. Default: ${default}." default:"20" placeholder:"N"`
}

// Run lists the entries.
func (c *ledgerListCmd) Run(p *process) error {
	if c.Limit < 1 {
		return errors.New("--limit must be at least 1")
	}
	return c.change(p, func(db *store.DB) error {
		if _, ok, err := db.Book(p.ctx, c.Account); err != nil || !ok {
			return errors.Join(err, unknown(ok, c.Account))
		}
		entries, err := db.NewestEntries(p.ctx, c.Account, c.Limit)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "TIME\tKIND\tAMOUNT\tFOR\tKEY")
		for _, e := range entries {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", e.CreatedAt.Format(time.RFC3339), e.Kind, e.Amount, dash(e.SubAccount), e.Key)
		}
		return w.Flush()
	})
}

func unknown(known bool, account string) error {
	if known {
		return nil
	}
	return fmt.Errorf("account %s: %w", account, store.ErrNoAccount)
}

type ledgerCheckCmd struct {
	configFlag
	Account string `help:"Only that of this api_key." placeholder:"KEY"`
}

// Run checks the books.
func (c *ledgerCheckCmd) Run(p *process) error {
	return c.change(p, func(db *store.DB) error {
		books, wrong, err := billing.Books(p.ctx, db, c.Account)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "ACCOUNT\tBALANCE\tSUM\tDIFFERENCE\tENTRIES\tCARRIED\tCARRIER COST")
		for _, b := range books {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", b.Account, b.Balance, b.Sum, b.Balance-b.Sum, b.Entries, b.Carried, -b.Costs)
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if wrong > 0 {
			return fmt.Errorf("%d of %d balances are not the sum of their entries", wrong, len(books))
		}
		return nil
	})
}

type ledgerExportCmd struct {
	configFlag
	Account string `help:"Only the entries of this api_key." placeholder:"KEY"`
	From    string `help:"From a day (UTC), or a time such as 2026-12-31T23:00:00Z, on." placeholder:"TIME"`
	Until   string `help:"Before a day or a time." placeholder:"TIME"`
	Out     string `help:"File to write; must not exist. Default: standard output." type:"path" placeholder:"FILE"`
}

// Run writes the ledger.
func (c *ledgerExportCmd) Run(p *process) (err error) {
	from, err := billing.ParseTime(c.From)
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	until, err := billing.ParseTime(c.Until)
	if err != nil {
		return fmt.Errorf("--until: %w", err)
	}
	return c.change(p, func(db *store.DB) (err error) {
		out := p.stdout
		if c.Out != "" {
			f, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, f.Close()) }()
			out = f
		}
		entries, err := billing.WriteLedger(p.ctx, db, c.Account, from, until, out)
		if err == nil && c.Out != "" {
			p.printf("%d entries exported\n", entries)
		}
		return err
	})
}
