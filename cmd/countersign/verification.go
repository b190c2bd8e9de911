package main

import (
	"net/http"
	"strconv"

	"countersign/internal/adminapi"
)

type searchCmd struct {
	List searchListCmd `cmd:"" help:"List verifications of a number or an account, newest first, with masked numbers."`
	Show searchShowCmd `cmd:"" help:"Show a verification: its events and checks, without codes."`
}

type searchListCmd struct {
	adminFlag
	outputFlags
	Number  string `help:"Number in international form."`
	Account string `help:"The api_key." placeholder:"KEY"`
	Since   moment `help:"Submitted at or after this time (2026-01-31T12:00:00Z, yesterday, 2h). Default: a week before --until." placeholder:"TIME"`
	Until   moment `help:"Submitted before this time or day. Default: now." placeholder:"TIME"`
	Limit   int    `help:"Maximum number of verifications, up to 100. Default: ${default}." default:"20" placeholder:"N"`
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
	return list[adminapi.Verification]{
		document: found, rows: found.Verifications,
		header: []string{"SUBMITTED", "REQUEST_ID", "ACCOUNT", "NUMBER", "STATUS", "EVENTS", "LAST EVENT", "CHECKS"},
		row: func(v adminapi.Verification) []any {
			last := "-"
			if n := len(v.Events); n > 0 {
				last = string(v.Events[n-1].Channel) + " " + string(v.Events[n-1].State)
			}
			return []any{isoTime(v.SubmittedAt), v.ID, v.Account, v.Number, v.Status, len(v.Events), last, len(v.Checks)}
		},
		id: func(v adminapi.Verification) string { return v.ID },
	}.print(p, c.outputFlags)
}

type searchShowCmd struct {
	adminFlag
	outputFlags
	ID string `arg:"" name:"id" help:"The request_id."`
}

// Run shows the verification.
func (c *searchShowCmd) Run(p *process) error {
	var v adminapi.Verification
	if err := c.get(p, &v, "verifications", c.ID); err != nil {
		return err
	}
	return record[adminapi.Verification]{document: v, ids: []string{v.ID}}.print(p, c.outputFlags)
}
