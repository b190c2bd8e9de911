package main

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"countersign/internal/adminapi"
)

type auditCmd struct {
	List auditListCmd `cmd:"" help:"List what was changed, by whom and from where, the newest first."`
}

type auditListCmd struct {
	adminFlag
	outputFlags
	Since   moment `help:"From a time (2026-01-31T12:00:00Z, yesterday, 2h) on." placeholder:"TIME"`
	Until   moment `help:"Before a time or a day." placeholder:"TIME"`
	Who     string `help:"By one name."`
	Action  string `help:"One action, such as account.bar, or account.* for all of a kind."`
	Subject string `help:"On one thing, such as an api_key."`
	Limit   int    `help:"Most entries, up to 1000. Default: ${default}." default:"100" placeholder:"N"`
	JSON    bool   `name:"json" hidden:"" help:"The entries as JSON; in place of --output json."`
}

// Run lists the entries.
func (c *auditListCmd) Run(p *process) error {
	query := given(map[string]string{
		"since": c.Since.at(p.now()), "until": c.Until.at(p.now()), "who": c.Who, "action": c.Action, "subject": c.Subject, "limit": strconv.Itoa(c.Limit),
	})
	var log adminapi.AuditLog
	if err := c.ask(p, adminapi.Request{Method: http.MethodGet, Path: "/audit", Query: query}, &log); err != nil {
		return err
	}
	if c.JSON {
		return p.printJSON(log.Entries)
	}
	return list[adminapi.AuditEntry]{
		document: log, rows: log.Entries,
		header: []string{"AT", "WHO", "SOURCE", "ACTION", "SUBJECT", "DETAIL"},
		row: func(e adminapi.AuditEntry) []any {
			return []any{isoTime(e.At), e.Who, e.Source, e.Action, e.Subject, strings.TrimPrefix(string(e.Detail), "{}")}
		},
		id: func(e adminapi.AuditEntry) string { return strconv.FormatInt(e.Seq, 10) },
	}.print(p, c.outputFlags)
}

// given leaves out what is empty.
func given(values map[string]string) url.Values {
	query := url.Values{}
	for name, value := range values {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}

// isoTime is a time of the API without its milliseconds; "-" for none.
func isoTime(at string) string {
	t, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return "-"
	}
	return t.Format(time.RFC3339)
}
