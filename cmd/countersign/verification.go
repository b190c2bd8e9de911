package main

import (
	"fmt"
	"net/http"
	"strconv"
	"text/tabwriter"

	"countersign/internal/adminapi"
)

type searchCmd struct {
	List searchListCmd `cmd:"" help:"List verifications of a number or an account, the newest first, with masked numbers."`
	Show searchShowCmd `cmd:"" help:"Show a verification as JSON: its events and checks, without codes."`
}

type searchListCmd struct {
	adminFlag
	Number  string `help:"Number in international form."`
	Account string `help:"The api_key." placeholder:"KEY"`
	Since   moment `help:"Submitted from a time (2026-01-31T12:00:00Z, yesterday, 2h) on; a week before --until if empty." placeholder:"TIME"`
	Until   moment `help:"Submitted before a time or a day; now if empty." placeholder:"TIME"`
	Limit   int    `help:"Most of them, up to 100. Default: ${default}." default:"20" placeholder:"N"`
}

// Run lists the verifications.
func (c *searchListCmd) Run(p *process) error {
	query := given(map[string]string{
		"number": c.Number, "account": c.Account, "since": c.Since.at(p.now()), "until": c.Until.at(p.now()), "limit": strconv.Itoa(c.Limit),
	})
	var found adminapi.Verifications
	if err := c.ask(p, adminapi.Request{Method: http.MethodGet, Path: "/verifications", Query: query}, &found); err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "SUBMITTED\tREQUEST_ID\tACCOUNT\tNUMBER\tSTATUS\tEVENTS\tLAST EVENT\tCHECKS")
	for _, v := range found.Verifications {
		last := "-"
		if n := len(v.Events); n > 0 {
			last = string(v.Events[n-1].Channel) + " " + string(v.Events[n-1].State)
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%d\n",
			isoTime(v.SubmittedAt), v.ID, v.Account, v.Number, v.Status, len(v.Events), last, len(v.Checks))
	}
	return w.Flush()
}

type searchShowCmd struct {
	adminFlag
	ID string `arg:"" name:"id" help:"The request_id."`
}

// Run shows the verification.
func (c *searchShowCmd) Run(p *process) error {
	var v adminapi.Verification
	if err := c.get(p, &v, "verifications", c.ID); err != nil {
		return err
	}
	return p.printJSON(v)
}
