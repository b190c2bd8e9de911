package main

import (
	"fmt"
	"strings"
	"time"

	"countersign/internal/adminapi"
)

type retentionCmd struct {
	Status  retentionStatusCmd  `cmd:"" help:"Show the state of retention and its last run."`
	Confirm retentionConfirmCmd `cmd:"" help:"Confirm the clock and resume suspended retention."`
}

type retentionStatusCmd struct {
	adminFlag
	outputFlags
}

// Run shows the state.
func (c *retentionStatusCmd) Run(p *process) error {
	var s adminapi.Retention
	if err := c.get(p, &s, "retention"); err != nil {
		return err
	}
	return record[adminapi.Retention]{document: s, text: retentionText(s)}.print(p, c.outputFlags)
}

// retentionText returns the state, one line per value.
func retentionText(s adminapi.Retention) string {
	var text strings.Builder
	line := func(name, value string) { fmt.Fprintf(&text, "%-14s %s\n", name, value) }
	state, last := "active", "never"
	if s.Suspended {
		state = "suspended: the clock jumped"
	}
	if s.LastRun != "" {
		last = isoTime(s.LastRun)
	}
	line("STATE", state)
	line("LAST RUN", last)
	line("NOW", isoTime(s.Now))
	if s.Suspended {
		counted := time.Duration(s.PlausibleSeconds) * time.Second
		line("JUMPED FROM", isoTime(s.Before))
		line("TO", isoTime(s.After))
		line("PLAUSIBLE FOR", counted.String()+" of 24h0m0s")
	}
	return text.String()
}

type retentionConfirmCmd struct{ adminFlag }

// Run confirms the clock.
func (c *retentionConfirmCmd) Run(p *process) error {
	var s adminapi.Retention
	if err := c.get(p, &s, "retention"); err != nil {
		return err
	}
	if err := c.post(p, nil, nil, "retention", "confirm"); err != nil {
		return err
	}
	p.printf("The clock is confirmed: it is %s. Retention resumes within a minute.\n", isoTime(s.Now))
	return nil
}
