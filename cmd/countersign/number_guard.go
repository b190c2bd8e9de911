package main

import (
	"cmp"
	"fmt"
	"strings"

	"countersign/internal/adminapi"
)

type numberStatusCmd struct {
	adminFlag
	outputFlags
	Number string `arg:"" help:"Number in international form."`
}

// Run prints the counters of the number and their limits.
func (c *numberStatusCmd) Run(p *process) error {
	var s adminapi.NumberStatus
	if err := c.get(p, &s, "numbers", c.Number, "status"); err != nil {
		return err
	}
	var foot strings.Builder
	for _, v := range s.Verified {
		fmt.Fprintf(&foot, "verified by %s at %s\n", v.Account, isoTime(v.At))
	}
	if s.Blocked && c.Output == "table" {
		p.printf("%s is blocked\n", s.Number)
	}
	return list[adminapi.NumberCap]{
		document: s, rows: s.Caps,
		header: []string{"CAP", "ACCOUNT", "COUNT", "REFUSED UNTIL"},
		row: func(c adminapi.NumberCap) []any {
			return []any{c.Cap, cmp.Or(c.Account, "all"), fmt.Sprintf("%d of %d", c.Count, c.Limit), isoTime(c.RefusedUntil)}
		},
		foot: foot.String(),
	}.print(p, c.outputFlags)
}

type numberUnlockCmd struct {
	adminFlag
	Number string `arg:"" help:"Number in international form."`
}

// Run resets the counters of the number.
func (c *numberUnlockCmd) Run(p *process) error {
	return c.post(p, nil, nil, "numbers", c.Number, "unlock")
}
