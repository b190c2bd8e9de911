package adminapi

import (
	"encoding/json"
	"strconv"

	"countersign/internal/store"
)

// AuditLog is a part of the audit log, newest first.
type AuditLog struct {
	Entries []AuditEntry `json:"entries"`
}

// AuditEntry is one change.
type AuditEntry struct {
	Seq     int64           `json:"seq"`
	At      string          `json:"at"`
	Who     string          `json:"who"`
	Source  string          `json:"source"`
	Action  string          `json:"action"`
	Subject string          `json:"subject"`
	Detail  json.RawMessage `json:"detail"`
}

func (c *exchange) auditLog() (any, error) {
	query := c.query
	var err error
	f := store.AuditFilter{Who: query.Get("who"), Action: query.Get("action"), Subject: query.Get("subject")}
	if f.Since, err = moment(query, "since"); err != nil {
		return nil, err
	}
	if f.Until, err = moment(query, "until"); err != nil {
		return nil, err
	}
	if f.Limit, err = limit(query, 100, 1000); err != nil {
		return nil, err
	}
	if query.Has("before") {
		if f.Before, err = strconv.ParseInt(query.Get("before"), 10, 64); err != nil || f.Before < 1 {
			return nil, invalid("before", "must be the seq of an entry")
		}
	}
	entries, err := c.cfg.Store.AuditLog(c.r.Context(), f)
	if err != nil {
		return nil, err
	}
	return AuditLog{each(entries, func(e store.AuditEntry) AuditEntry {
		return AuditEntry{e.Seq, stamp(e.At), e.Who, e.Source, e.Action, e.Subject, json.RawMessage(e.Detail)}
	})}, nil
}
