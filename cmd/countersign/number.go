package main

import (
	"net/http"

	"countersign/internal/adminapi"
)

type numberCmd struct {
	Block   numberBlockCmd   `cmd:"" help:"Block a number for all accounts (status 7)."`
	Unblock numberUnblockCmd `cmd:"" help:"Remove a number from the block list."`
	List    numberListCmd    `cmd:"" help:"List the blocked numbers."`
	Status  numberStatusCmd  `cmd:"" help:"Show the caps, counts and locks of a number."`
	Unlock  numberUnlockCmd  `cmd:"" help:"Reset the counters of a number and lift its locks."`
	Forget  numberForgetCmd  `cmd:"" help:"Erase a number from all finished verifications."`
}

type numberBlockCmd struct {
	adminFlag
	Number string `arg:"" help:"Number in international form."`
	Reason string `help:"Reason, shown in the list."`
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
