package postgres

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"countersign/internal/atomicfile"
)

// SQLSTATEs (PostgreSQL's manual, appendix A).
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	uniqueViolation      = "23505"
	LockNotAvailable     = "55P03" // a lock was not available within lock_timeout
	queryCanceled        = "57014" // also by statement_timeout
	readOnlyTransaction  = "25006"
	inFailedTransaction  = "25P02"
	completionUnknown    = "40003"
	diskFull             = "53100"
)

// SQLState returns the SQLSTATE of an error of the server; "" for other errors.
func SQLState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// Full returns err, as an error that wraps atomicfile.ErrDiskFull if the disk of the server is
// full.
func (u URL) Full(err error) error {
	if err == nil || errors.Is(err, atomicfile.ErrDiskFull) {
		return err
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		if e.Code == diskFull {
			return &atomicfile.FullError{Where: "the PostgreSQL server of " + u.String(), Cause: e, Err: err}
		}
		return err
	}
	return atomicfile.Full(u.String(), err)
}

// Reason returns the error of the server that err wraps, or nil.
func (URL) Reason(err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e
	}
	return nil
}

// unusable reports whether an error of the server makes its connection useless for a node
// that writes. The SQLSTATEs are from PostgreSQL's manual, appendix A.
func unusable(err *pgconn.PgError) bool {
	switch {
	case fatal(err), // the server closes the connection
		strings.HasPrefix(err.Code, "08"),   // connection exception
		strings.HasPrefix(err.Code, "57P0"), // shutdown, crash, recovery, database dropped, idle for too long
		err.Code == readOnlyTransaction,     // a standby, or a session that began while writes were off
		err.Code == inFailedTransaction,     // the session has a transaction that we have not begun
		err.Code == completionUnknown:
		return true
	}
	return false
}

// fatal reports whether the server ends the connection with err.
func fatal(err *pgconn.PgError) bool {
	// Severity is in the language of the server. Poolers may omit the other field.
	severity := err.SeverityUnlocalized
	if severity == "" {
		severity = err.Severity
	}
	return severity == "FATAL" || severity == "PANIC"
}

// undecided reports whether the transaction may be durable after the connection has failed
// with err in its commit. After a refused statement it cannot be, since that aborts the
// transaction.
func undecided(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return !ok || fatal(e) || e.Code == completionUnknown ||
		strings.HasPrefix(e.Code, "08") || strings.HasPrefix(e.Code, "57P0")
}

// retry runs do, which must be idempotent, again after the loss of its connection. After a
// restart of the server, each connection of the pool is lost once.
func retry[T any](ctx context.Context, p *primary, do func() (T, error)) (T, error) {
	for try := 0; ; try++ {
		term := p.now()
		v, err := do()
		if ctx.Err() == nil && gone(err) {
			p.leave(term, err)
		}
		if try == maxReads || ctx.Err() != nil || !lost(err) {
			return v, err
		}
	}
}

// lost reports whether err indicates the loss of an established connection, so that
// another connection may serve.
func lost(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return established(err) && unusable(e)
	}
	return gone(err) && !timedOut(err) // a retry would double the wait
}

// gone reports whether err indicates that the server closed an established connection, or
// does not answer on it. An answer has a SQLSTATE.
func gone(err error) bool {
	if err == nil || errors.Is(err, sql.ErrNoRows) || !established(err) || SQLState(err) != "" {
		return false
	}
	_, network := errors.AsType[*net.OpError](err)
	return network || timedOut(err) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// established reports whether err is not the failure to open a connection.
func established(err error) bool {
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	return !connecting
}

func timedOut(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}
