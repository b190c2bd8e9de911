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
	List auditListCmd `cmd:"" help:"List changes with author and source, newest first."`
}

type auditListCmd struct {
	adminFlag
	outputFlags
	Since   moment `help:"Only entries at or after this time (2026-01-31T12:00:00Z, yesterday, 2h)." placeholder:"TIME"`
	Until   moment `help:"Only entries before this time or day." placeholder:"TIME"`
	Who     string `help:"Only changes by this name."`
	Action  string `help:"Only this action, such as account.bar, or account.* for a group."`
	Subject string `help:"Only changes of this object, such as an api_key."`
	Limit   int    `help:"Maximum number of entries, up to 1000. Default: ${default}." default:"100" placeholder:"N"`
	JSON    bool   `name:"json" hidden:"" help:"Print the entries as JSON. Use --output json instead."`
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

// given returns the values as a query, without empty ones.
func given(values map[string]string) url.Values {
	query := url.Values{}
	for name, value := range values {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}

// isoTime returns a time of the API in whole seconds; "-" if at is not a time.
func isoTime(at string) string {
	t, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return "-"
	}
	return t.Format(time.RFC3339)
}
