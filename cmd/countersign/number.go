package main

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"countersign/internal/phone"
	"countersign/internal/store"
)

type numberCmd struct {
	Block   numberBlockCmd   `cmd:"" help:"Block a number: no account can verify it (status 7)."`
	Unblock numberUnblockCmd `cmd:"" help:"Take a number off the list."`
	List    numberListCmd    `cmd:"" help:"List the blocked numbers."`
	Forget  numberForgetCmd  `cmd:"" help:"Take a number out of everything that is over."`
}

type numberBlockCmd struct {
	configFlag
	Number string `arg:"" help:"Number in international form."`
	Reason string `help:"Why, for whoever reads the list."`
}

// Run blocks the number.
func (c *numberBlockCmd) Run(p *process) error {
	n, err := phone.Parse(c.Number, "")
	if err != nil {
		return err
	}
	return c.change(p, func(db *store.DB) error {
		return db.BlockNumber(p.ctx, store.BlockedNumber{Number: n.Digits, Reason: c.Reason, CreatedAt: p.now()})
	})
}

type numberUnblockCmd struct {
	configFlag
	Number string `arg:"" help:"Number in international form."`
}

// Run lifts the block.
func (c *numberUnblockCmd) Run(p *process) error {
	n, err := phone.Parse(c.Number, "")
	if err != nil {
		return err
	}
	return c.change(p, func(db *store.DB) error {
		found, err := db.UnblockNumber(p.ctx, n.Digits)
		if err == nil && !found {
			err = fmt.Errorf("%s is not blocked", n.Digits)
		}
		return err
	})
}

type numberListCmd struct{ configFlag }

// Run lists the blocked numbers.
func (c *numberListCmd) Run(p *process) error {
	db, err := c.open(p)
	if err != nil {
		return err
	}
	list, err := db.BlockedNumbers(p.ctx)
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "NUMBER\tSINCE\tREASON")
	for _, b := range list {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", b.Number, b.CreatedAt.Format(time.RFC3339), b.Reason)
	}
	return w.Flush()
}
