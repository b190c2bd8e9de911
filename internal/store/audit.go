package store

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// AuditEntry records one change by an operator. It contains no secrets and no full numbers.
type AuditEntry struct {
	Seq     int64 // set by the store; ascending
	At      time.Time
	Who     string
	Source  string // IP address, or host name of a command line
	Action  string // such as account.bar
	Subject string // such as an api_key, or ""
	Detail  string // JSON object
}

// Audit is an entry that is written in the same transaction as its change: the first
// successful [DB.Write] with the context of WithAudit.
type Audit struct {
	entry   AuditEntry
	written atomic.Bool
}

type auditKey struct{}

// WithAudit returns a context in which the first write also records e, so store methods need no
// audit parameter.
func WithAudit(ctx context.Context, e AuditEntry) (context.Context, *Audit) {
	a := &Audit{entry: e}
	return context.WithValue(ctx, auditKey{}, a), a
}

// Written reports whether the entry is durable.
func (a *Audit) Written() bool { return a.written.Load() }

// audited adds the unwritten entry of ctx, if any, to a job. Call done after the job is
// durable.
func audited(ctx context.Context, do func(*Tx) error) (_ func(*Tx) error, done func()) {
	a, ok := ctx.Value(auditKey{}).(*Audit)
	if !ok || a.Written() {
		return do, func() {}
	}
	return func(tx *Tx) error {
		if err := do(tx); err != nil {
			return err
		}
		return tx.addAudit(a.entry)
	}, func() { a.written.Store(true) }
}

func (tx *Tx) addAudit(e AuditEntry) error {
	err := tx.send(`INSERT INTO audit (at, who, source, action, subject, detail) VALUES ($1, $2, $3, $4, $5, $6)`,
		millis(e.At), e.Who, e.Source, e.Action, e.Subject, e.Detail)
	if err != nil {
		return fmt.Errorf("write audit log: %w", err)
	}
	return nil
}

// AuditFilter selects entries. Zero fields select all entries.
type AuditFilter struct {
	Since, Until         time.Time // Since is inclusive, Until exclusive
	Who, Action, Subject string    // Action may end in *, which matches any suffix
	Before               int64     // only entries with a smaller Seq
	Limit                int
}

// AuditLog lists entries, the newest first.
func (db *DB) AuditLog(ctx context.Context, f AuditFilter) ([]AuditEntry, error) {
	query := `SELECT seq, at, who, source, action, subject, detail FROM audit`
	var args []any
	join := " WHERE "
	where := func(condition string, arg any) {
		args = append(args, arg)
		query += fmt.Sprintf("%s%s$%d", join, condition, len(args))
		join = " AND "
	}
	if !f.Since.IsZero() {
		where("at >= ", millis(f.Since))
	}
	if !f.Until.IsZero() {
		where("at < ", millis(f.Until))
	}
	if f.Who != "" {
		where("who = ", f.Who)
	}
	if start, ok := strings.CutSuffix(f.Action, "*"); ok {
		where("action >= ", start)
		where("action < ", start+"\x7f") // actions are of letters, dots and hyphens
	} else if f.Action != "" {
		where("action = ", f.Action)
	}
	if f.Subject != "" {
		where("subject = ", f.Subject)
	}
	if f.Before > 0 {
		where("seq < ", f.Before)
	}
	args = append(args, f.Limit)
	query += fmt.Sprintf(" ORDER BY seq DESC LIMIT $%d", len(args))
	return db.auditEntries(ctx, query, args)
}

func (db *DB) auditEntries(ctx context.Context, query string, args []any) ([]AuditEntry, error) {
	rows, err := db.query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list audit log: %w", err)
	}
	defer rows.Close()
	var entries []AuditEntry
	for rows.Next() {
		var e AuditEntry
		var at int64
		if err := rows.Scan(&e.Seq, &at, &e.Who, &e.Source, &e.Action, &e.Subject, &e.Detail); err != nil {
			return nil, fmt.Errorf("list audit log: %w", err)
		}
		e.At = fromMillis(at)
		entries = append(entries, e)
	}
	return entries, rows.Err()
}

// AddAudit writes an entry in its own transaction, for a change outside of the database.
func (db *DB) AddAudit(ctx context.Context, e AuditEntry) error {
	return db.Write(ctx, Scope{}, func(tx *Tx) error { return tx.addAudit(e) })
}

// ForgetAudit deletes up to limit entries created at or before made, oldest first, and returns
// their number.
func (db *DB) ForgetAudit(ctx context.Context, made time.Time, limit int) (forgotten int, err error) {
	err = db.Write(ctx, Scope{}, func(tx *Tx) error {
		n, err := tx.exec(`DELETE FROM audit WHERE seq IN (
			SELECT seq FROM audit WHERE at <= $1 ORDER BY at LIMIT $2`+tx.dialect.Take+`)`, millis(made), limit)
		forgotten = int(n)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("forget audit log: %w", err)
	}
	return forgotten, nil
}
