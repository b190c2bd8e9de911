package sqlite

import (
	"errors"
	"fmt"

	"modernc.org/libc"
	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

var errMemory = errors.New("sqlite: out of memory")

// Error is an error of SQLite.
type Error struct {
	code    int
	message string
}

// Code returns the extended result code. Its low octet is the primary code. See
// https://www.sqlite.org/rescode.html.
func (e *Error) Code() int { return e.code }

// Error returns the description of the code, the message of the connection and the code.
func (e *Error) Error() string { return e.message }

// AsError returns the error of SQLite that err wraps, with its extended result code, or nil
// if it wraps none. It also finds an error of the driver for database/sql.
func AsError(err error) (code int, found error) {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.code, e
	}
	if e, ok := errors.AsType[*driver.Error](err); ok {
		return e.Code(), e
	}
	return 0, nil
}

// failure returns the error of the last call on the connection.
func (c *Conn) failure(rc int32) error {
	text := libc.GoString(sqlite3.Xsqlite3_errstr(c.tls, rc))
	if c.db != 0 {
		if message := libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db)); message != text {
			text += ": " + message
		}
	}
	text = fmt.Sprintf("%s (%d)", text, rc)
	if rc&0xff == sqlite3.SQLITE_BUSY {
		text += " (SQLITE_BUSY)"
	}
	return &Error{code: int(rc), message: text}
}
