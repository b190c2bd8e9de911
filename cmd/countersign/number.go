package main

import (
	"net/http"

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

type numberListCmd struct {
	adminFlag
	outputFlags
}

// Run lists the blocked numbers.
func (c *numberListCmd) Run(p *process) error {
	var found adminapi.BlockedNumbers
	if err := c.get(p, &found, "blocked-numbers"); err != nil {
		return err
	}
	return list[adminapi.BlockedNumber]{
		document: found, rows: found.Numbers,
		header: []string{"NUMBER", "SINCE", "REASON"},
		row:    func(b adminapi.BlockedNumber) []any { return []any{b.Number, isoTime(b.Since), b.Reason} },
		id:     func(b adminapi.BlockedNumber) string { return b.Number },
	}.print(p, c.outputFlags)
}
