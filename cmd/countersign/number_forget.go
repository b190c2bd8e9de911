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
	Cancel  bool   `help:"Cancel verifications of the number in progress. Without it, a verification in progress is an error."`
	Unblock bool   `help:"Also remove the number from the block list."`
}

// Run erases the number and prints where it was found.
func (c *numberForgetCmd) Run(p *process) error {
	if err := c.confirm(p, "The number is erased from all finished verifications. This cannot be undone."); err != nil {
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
		return fmt.Errorf("%d verifications are in use by a server; retry in a minute", done.Held)
	}
	return nil
}

// forgotten returns where the number was found, for the table form.
func forgotten(done adminapi.Forgotten) string {
	var b strings.Builder
	for _, line := range []struct {
		found int
		what  string
	}{
		{done.Cancelled, "verifications in progress: cancelled"},
		{done.Verifications, "finished verifications: number, codes, addresses and payee erased"},
		{done.Archived, "archived verifications: number, addresses and payee erased"},
		{done.Messages, "messages of the virtual phone: deleted"},
		{done.Refusals, "records of refused starts: deleted"},
		{done.Approved, "trial accounts with the number approved: approval revoked"},
	} {
		fmt.Fprintf(&b, "%6d  %s\n", line.found, line.what)
	}
	if done.Guarded {
		b.WriteString("The counters of the number are reset.\n")
	}
	switch {
	case done.Unblocked:
		b.WriteString("The number is removed from the block list.\n")
	case done.Blocked:
		b.WriteString("The number stays on the block list; use --unblock to remove it.\n")
	}
	return b.String()
}
