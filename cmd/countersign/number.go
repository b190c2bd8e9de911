package main

import (
	"fmt"
	"net/http"
	"text/tabwriter"

	"countersign/internal/adminapi"
)

type numberCmd struct {
	Block   numberBlockCmd   `cmd:"" help:"Block a number: no account can verify it (status 7)."`
	Unblock numberUnblockCmd `cmd:"" help:"Take a number off the list."`
	List    numberListCmd    `cmd:"" help:"List the blocked numbers."`
	Status  numberStatusCmd  `cmd:"" help:"Show how far a number is from its caps, and whether it is locked."`
	Unlock  numberUnlockCmd  `cmd:"" help:"Forget what is counted of a number, and lift its locks."`
	Forget  numberForgetCmd  `cmd:"" help:"Take a number out of everything that is over."`
}

type numberBlockCmd struct {
	adminFlag
	Number string `arg:"" help:"Number in international form."`
	Reason string `help:"Why, for whoever reads the list."`
}

// Run blocks the number.
func (c *numberBlockCmd) Run(p *process) error {
	return c.ask(p, adminapi.Request{
		Method: http.MethodPut, Path: adminapi.Path("blocked-numbers", c.Number), JSON: adminapi.BlockReason{Reason: c.Reason},
	}, nil)
}

type numberUnblockCmd struct {
	adminFlag
	Number string `arg:"" help:"Number in international form."`
}

// Run lifts the block.
func (c *numberUnblockCmd) Run(p *process) error {
	return c.ask(p, adminapi.Request{Method: http.MethodDelete, Path: adminapi.Path("blocked-numbers", c.Number)}, nil)
}

type numberListCmd struct{ adminFlag }

// Run lists the blocked numbers.
func (c *numberListCmd) Run(p *process) error {
	var list adminapi.BlockedNumbers
	if err := c.get(p, &list, "blocked-numbers"); err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "NUMBER\tSINCE\tREASON")
	for _, b := range list.Numbers {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", b.Number, isoTime(b.Since), b.Reason)
	}
	return w.Flush()
}
