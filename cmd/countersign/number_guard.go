package main

import (
	"cmp"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"countersign/internal/phone"
	"countersign/internal/server"
	"countersign/internal/store"
)

type numberStatusCmd struct {
	configFlag
	Number string `arg:"" help:"Number in international form."`
}

// Run shows how far the number is from its caps.
func (c *numberStatusCmd) Run(p *process) error {
	n, err := phone.Parse(c.Number, "")
	if err != nil {
		return err
	}
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	db, err := c.open(p)
	if err != nil {
		return err
	}
	known, err := db.Guard(p.ctx, n.Digits)
	blocked, blockedErr := db.Blocked(p.ctx, n.Digits)
	if err := errors.Join(err, blockedErr, db.Close()); err != nil {
		return err
	}
	if blocked {
		p.printf("%s is blocked\n", n.Digits)
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "CAP\tACCOUNT\tCOUNT\tREFUSED UNTIL")
	for _, c := range server.Caps(cfg.Fraud).Status(known, p.now()) {
		until := "-"
		if !c.Until.IsZero() {
			until = c.Until.Format(time.RFC3339)
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d of %d\t%s\n", c.Cap, cmp.Or(c.Account, "all"), c.Count, c.Limit, until)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, u := range known.Uses {
		if !u.VerifiedAt.IsZero() {
			p.printf("verified by %s at %s\n", u.Account, u.VerifiedAt.Format(time.RFC3339))
		}
	}
	return nil
}

type numberUnlockCmd struct {
	configFlag
	Number string `arg:"" help:"Number in international form."`
}

// Run forgets what is counted of the number.
func (c *numberUnlockCmd) Run(p *process) error {
	n, err := phone.Parse(c.Number, "")
	if err != nil {
		return err
	}
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	return c.change(p, func(db *store.DB) error {
		found, err := db.ClearGuard(p.ctx, n.Digits, server.Caps(cfg.Fraud), p.now())
		if err == nil && !found {
			err = fmt.Errorf("nothing is counted of %s", n.Digits)
		}
		return err
	})
}
