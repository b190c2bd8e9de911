package main

import (
	"fmt"
	"strings"

	"countersign/internal/adminapi"
)

type numberForgetCmd struct {
	adminFlag
	outputFlags
	confirmFlag
	Number  string `arg:"" help:"Number in international form."`
	Cancel  bool   `help:"Ends a verification of the number that is in progress. Without it, one is an error."`
	Unblock bool   `help:"Takes the number off the list of blocked numbers, too."`
}

// Run forgets the number, and prints what it was found in.
func (c *numberForgetCmd) Run(p *process) error {
	if err := c.confirm(p, "The number is erased from everything that is over. This cannot be undone."); err != nil {
		return err
	}
	var done adminapi.Forgotten
	err := c.post(p, adminapi.ForgetNumber{Cancel: c.Cancel, Unblock: c.Unblock}, &done, "numbers", c.Number, "forget")
	if err != nil {
		return err
	}
	if err := (record[adminapi.Forgotten]{document: done, text: forgotten(done)}).print(p, c.outputFlags); err != nil {
		return err
	}
	if done.Held > 0 {
		return fmt.Errorf("%d verifications are just being worked on by a server; run it again in a minute", done.Held)
	}
	return nil
}

// forgotten returns the places where the number was found, for the table form.
func forgotten(done adminapi.Forgotten) string {
	var b strings.Builder
	for _, line := range []struct {
		found int
		what  string
	}{
		{done.Cancelled, "verifications in progress: cancelled"},
		{done.Verifications, "verifications that were over: number, codes, addresses and payee taken out"},
		{done.Archived, "archived verifications: number, addresses and payee taken out"},
		{done.Messages, "messages of the virtual phone: deleted"},
		{done.Refusals, "records of refused starts: deleted"},
		{done.Approved, "trial accounts that could reach the number: they cannot now"},
	} {
		fmt.Fprintf(&b, "%6d  %s\n", line.found, line.what)
	}
	if done.Guarded {
		b.WriteString("What the caps had counted of the number is gone.\n")
	}
	switch {
	case done.Unblocked:
		b.WriteString("The number was blocked, and is no longer.\n")
	case done.Blocked:
		b.WriteString("The number stays on the list of blocked numbers; --unblock takes it off.\n")
	}
	return b.String()
}
