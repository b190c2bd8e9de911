package main

import (
	"cmp"
	"fmt"
	"text/tabwriter"

	"countersign/internal/adminapi"
)

type numberStatusCmd struct {
	adminFlag
	Number string `arg:"" help:"Number in international form."`
}

// Run shows how far the number is from its caps.
func (c *numberStatusCmd) Run(p *process) error {
	var s adminapi.NumberStatus
	if err := c.get(p, &s, "numbers", c.Number, "status"); err != nil {
		return err
	}
	if s.Blocked {
		p.printf("%s is blocked\n", s.Number)
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "CAP\tACCOUNT\tCOUNT\tREFUSED UNTIL")
	for _, c := range s.Caps {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d of %d\t%s\n", c.Cap, cmp.Or(c.Account, "all"), c.Count, c.Limit, isoTime(c.RefusedUntil))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, v := range s.Verified {
		p.printf("verified by %s at %s\n", v.Account, isoTime(v.At))
	}
	return nil
}

type numberUnlockCmd struct {
	adminFlag
	Number string `arg:"" help:"Number in international form."`
}

// Run forgets what is counted of the number.
func (c *numberUnlockCmd) Run(p *process) error {
	return c.post(p, nil, nil, "numbers", c.Number, "unlock")
}
