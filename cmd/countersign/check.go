package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"countersign/internal/check"
	"countersign/internal/config"
)

// checkCmd ends with 0 without findings, 1 with warnings, 2 with errors.
type checkCmd struct {
	configFlag
	Connect bool   `help:"Also bind each SMPP carrier, query each SIP trunk and connect to each HTTP gateway, once. Sends no message."`
	Output  string `help:"Output format: table or json. Default: ${default}." enum:"table,json" default:"table" placeholder:"FORM"`
}

// Run prints the findings and ends the process with their exit code.
func (c *checkCmd) Run(p *process) error {
	found := c.find(p)
	failures, warnings := check.Tally(found, check.Error), check.Tally(found, check.Warning)
	if c.Output == "json" {
		enc := json.NewEncoder(p.stdout)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		if err := enc.Encode(struct {
			Errors   int             `json:"errors"`
			Warnings int             `json:"warnings"`
			Findings []check.Finding `json:"findings"`
		}{failures, warnings, found}); err != nil {
			return err
		}
	} else {
		printFindings(p, found, failures, warnings)
	}
	switch {
	case failures > 0:
		panic(exit(2))
	case warnings > 0:
		panic(exit(1))
	}
	return nil
}

// find returns the findings. An invalid configuration stops the other checks.
func (c *checkCmd) find(p *process) []check.Finding {
	cfg, err := c.load(p)
	if err == nil {
		err = p.valid(cfg)
	}
	if err != nil {
		return check.Invalid(err)
	}
	file, _ := c.file(p)
	o := checkOptions(p, cfg, file)
	o.Connect = c.Connect
	return check.Run(p.ctx, o)
}

func checkOptions(p *process, cfg config.Config, file string) check.Options {
	return check.Options{Config: cfg, File: file, Now: p.now}
}

func printFindings(p *process, found []check.Finding, failures, warnings int) {
	for _, f := range found {
		setting := ""
		if f.Setting != "" {
			setting = f.Setting + ": "
		}
		p.printf("%-8s %s%s\n         %s\n", f.Severity, setting, oneLine(f.Problem), oneLine(f.Remedy))
	}
	if len(found) == 0 {
		p.printf("no findings\n")
		return
	}
	p.printf("%s, %s\n", counted(failures, "error"), counted(warnings, "warning"))
}

// oneLine joins the lines of a driver's error.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// refuse logs each warning and returns the errors. With an error a server must not start.
func refuse(found []check.Finding, log *slog.Logger) error {
	var errs []error
	for _, f := range found {
		if f.Severity == check.Error {
			errs = append(errs, f)
			continue
		}
		log.Warn(f.Problem, "check", f.Check, "setting", f.Setting, "remedy", f.Remedy)
	}
	return errors.Join(errs...)
}
