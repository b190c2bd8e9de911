package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// UnavailableError is the failure of a PostgreSQL server that cannot be reached, accepts no
// sessions, or executes no statements. It wraps the error of the driver.
type UnavailableError struct {
	Reason string // root cause, one line
	Remedy string
	err    error
}

// Error returns reason and remedy in one line.
func (e *UnavailableError) Error() string { return e.Reason + "; " + e.Remedy }

// Unwrap returns the error of the driver.
func (e *UnavailableError) Unwrap() error { return e.err }

// serverCause is a row of the table of SQLSTATEs that mean an unavailable server.
type serverCause struct {
	state  string // SQLSTATE, or the beginning of several (PostgreSQL's manual, appendix A)
	remedy string
}

// serverCauses returns the table, most specific cause first. If err joins the errors of
// several hosts, the first match in the table is the root cause.
func serverCauses() []serverCause {
	const perServer = maxReads + writers + 2 // one for keys, one for LISTEN
	return []serverCause{
		{"28P01", "correct the user or the password in the setting database"},
		{"28", "permit this user, database and host, with or without TLS, in pg_hba.conf of the server"},
		{"3D000", "create the database, or correct its name in the setting database"},
		{"53300", fmt.Sprintf("raise max_connections of the server, or stop other clients; each countersign server uses up to %d connections", perServer)},
		{"53", "free disk space or memory on the database server"},
		{"25006", "connect to the primary, since a standby takes no writes"},
		{"57P03", "wait until the server has started; its log has the progress"},
		{"57P", "find in the log of the database server why it ended the session"},
		{"58", "find the failure in the log of the database server"},
		{"08", "find the failure in the log of the database server"},
	}
}

// unavailable returns err as an [*UnavailableError] if it means that the server is
// unavailable; otherwise nil. The end of a caller's context does not.
func unavailable(err error) *UnavailableError {
	if known, ok := errors.AsType[*UnavailableError](err); ok {
		return known
	}
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	if err == nil || errors.Is(err, context.Canceled) || !connecting && errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	leaves := attempts(err)
	for _, row := range serverCauses() {
		for _, leaf := range leaves {
			if e, ok := errors.AsType[*pgconn.PgError](leaf); ok && strings.HasPrefix(e.Code, row.state) {
				return &UnavailableError{Reason: fmt.Sprintf("%s (SQLSTATE %s)", e.Message, e.Code), Remedy: row.remedy, err: err}
			}
		}
	}
	if _, answered := errors.AsType[*pgconn.PgError](err); answered {
		return nil
	}
	for _, row := range networkCauses() {
		for _, leaf := range leaves {
			if row.is(leaf) {
				return &UnavailableError{Reason: oneLine(leaf), Remedy: row.remedy, err: err}
			}
		}
	}
	if connecting {
		return &UnavailableError{Reason: oneLine(leaves[len(leaves)-1]), Remedy: "correct the setting database", err: err}
	}
	return nil
}

// attempts returns the errors of the single attempts to connect that are joined in err:
// one for each host and address, with sslmode=prefer one with TLS and one without.
func attempts(err error) []error {
	for e := err; e != nil; e = errors.Unwrap(e) {
		joined, ok := e.(interface{ Unwrap() []error })
		if !ok {
			continue
		}
		var list []error
		for _, part := range joined.Unwrap() {
			list = append(list, attempts(part)...)
		}
		return list
	}
	return []error{err}
}

// networkCause is a row of the table of failures below PostgreSQL's protocol.
type networkCause struct {
	is     func(error) bool
	remedy string
}

// networkCauses returns the table, most specific cause first.
func networkCauses() []networkCause {
	number := func(n ...syscall.Errno) func(error) bool {
		return func(err error) bool {
			for _, no := range n {
				if errors.Is(err, no) {
					return true
				}
			}
			return false
		}
	}
	return []networkCause{
		{func(err error) bool { _, ok := errors.AsType[*net.DNSError](err); return ok }, "correct the host in the setting database, or the name service"},
		{number(syscall.ECONNREFUSED), "start PostgreSQL, or correct host and port in the setting database"},
		{number(syscall.ENOENT, syscall.EACCES), "start PostgreSQL, or correct the directory of its socket in the setting database"},
		{number(syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN), "repair the route to the database server, or correct the host in the setting database"},
		{isTimeout, "find out whether the database server runs, and whether a firewall drops its packets"},
		{func(err error) bool { return strings.Contains(err.Error(), "server refused TLS connection") }, "turn TLS on at the database server (ssl), or correct sslmode in the setting database"},
		{func(err error) bool { return strings.Contains(err.Error(), "tls error") }, "correct sslmode or sslrootcert in the setting database, or the certificate of the server"},
		{isBroken, "find in the log of the database server why the connection ended"},
	}
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

func isBroken(err error) bool {
	_, network := errors.AsType[*net.OpError](err)
	return network || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, pgconn.ErrConnClosed)
}

// oneLine returns the text of an error in one line. Errors of the driver name the address,
// but never the password.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
