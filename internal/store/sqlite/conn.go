// Package sqlite is the SQLite engine of package store ([File], [Engine], [Writer]). It
// locks the file, detects its replacement, opens connections and runs transactions. It
// copies pages for a backup, and recognizes damage and a full disk. It must not know the
// tables of Countersign.
//
// [Conn] and [Pool] call modernc.org/sqlite/lib, which is SQLite compiled to Go, without
// database/sql. goose needs database/sql, so [OpenSQL] opens a file with it.
//
// A connection keeps each statement prepared. Arguments of a statement are named $1, $2, …
// in its text. They are nil, booleans, integers, floats, strings, byte slices, types of
// these kinds, and implementations of [driver.Valuer]. [Rows.Scan] reads into pointers to
// the same types, and into implementations of [sql.Scanner].
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Conn is a connection. Only one goroutine may use it at a time.
type Conn struct {
	tls   *libc.TLS
	db    uintptr          // sqlite3*
	stmts map[string]*stmt // Keys are the texts of statements.
	extra int              // statements in use that stmts lacks, see take

	watching sync.Mutex
	watch    uint64 // number of the context that may interrupt the connection, see interruptAt
}

// Open opens an existing file and executes the pragmas, such as "busy_timeout(2000)", in
// order.
func Open(path string, pragmas ...string) (*Conn, error) {
	c := &Conn{tls: libc.NewTLS(), stmts: map[string]*stmt{}}
	err := c.open(path)
	for _, p := range pragmas {
		if err == nil {
			err = c.once("PRAGMA " + p)
		}
	}
	if err != nil {
		_ = c.Close() // the first error is the reason
		return nil, err
	}
	return c, nil
}

func (c *Conn) open(path string) error {
	name, err := libc.CString(path)
	if err != nil {
		return err
	}
	defer libc.Xfree(c.tls, name)
	out := libc.Xcalloc(c.tls, 1, pointerSize)
	if out == 0 {
		return errMemory
	}
	defer libc.Xfree(c.tls, out)
	// Without the mutex of SQLite, since one goroutine uses a connection at a time.
	rc := sqlite3.Xsqlite3_open_v2(c.tls, name, out, sqlite3.SQLITE_OPEN_READWRITE|sqlite3.SQLITE_OPEN_NOMUTEX, 0)
	c.db = libc.AtomicLoadPUintptr(out) // set even if opening fails, for its message
	if rc != sqlite3.SQLITE_OK {
		return c.failure(rc)
	}
	sqlite3.Xsqlite3_extended_result_codes(c.tls, c.db, 1)
	return nil
}

// Close finalizes the statements and closes the connection. It fails if rows are open. It is
// idempotent.
func (c *Conn) Close() error {
	if c.tls == nil {
		return nil
	}
	for text, s := range c.stmts {
		if s.open {
			return fmt.Errorf("close connection: rows of %q are open", text)
		}
	}
	if c.extra > 0 {
		return errors.New("close connection: rows are open of a statement that is used more than once")
	}
	for _, s := range c.stmts {
		s.finalize()
	}
	clear(c.stmts)
	c.watching.Lock()
	defer c.watching.Unlock()
	c.watch++ // no interrupt reaches the closed connection
	var err error
	if rc := sqlite3.Xsqlite3_close(c.tls, c.db); rc != sqlite3.SQLITE_OK {
		err = c.failure(rc)
		sqlite3.Xsqlite3_close_v2(c.tls, c.db)
	}
	c.db = 0
	c.tls.Close()
	c.tls = nil
	return err
}

// Exec runs a statement to its end and returns the number of rows that it changed. If ctx
// ends first, the statement is interrupted, and Exec returns the error of ctx.
func (c *Conn) Exec(ctx context.Context, text string, args ...any) (changed int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s, kept, err := c.take(text)
	if err != nil {
		return 0, err
	}
	s.open = true
	if err = s.bind(args); err == nil {
		stop := c.interruptAt(ctx)
		for more := true; more && err == nil; {
			more, err = s.stepFor(ctx)
		}
		c.endInterrupt(stop)
	}
	if err = s.done(kept, err); err != nil {
		return 0, err
	}
	return sqlite3.Xsqlite3_changes64(c.tls, c.db), nil
}

// InTransaction reports whether a transaction is open. SQLite ends one after some errors of
// any statement, such as an I/O error.
func (c *Conn) InTransaction() bool {
	return sqlite3.Xsqlite3_get_autocommit(c.tls, c.db) == 0
}

// once runs a statement without arguments and does not keep it.
func (c *Conn) once(text string) error {
	s, err := c.prepare(text)
	if err != nil {
		return err
	}
	defer s.finalize()
	for {
		if more, err := s.step(); !more {
			return err
		}
	}
}

// interruptGap is the time between interrupts of a statement. One is lost if it comes
// before the first step of the statement.
const interruptGap = time.Millisecond

// interruptAt interrupts the connection when ctx ends. The caller passes the result to
// endInterrupt; nil means that ctx never ends.
func (c *Conn) interruptAt(ctx context.Context) (stop func() bool) {
	if ctx.Done() == nil {
		return nil
	}
	watch := c.watch
	return context.AfterFunc(ctx, func() {
		for c.interrupt(watch) {
			time.Sleep(interruptGap)
		}
	})
}

// interrupt interrupts the connection for a context. It reports false when the statement
// of the context has ended.
func (c *Conn) interrupt(watch uint64) bool {
	c.watching.Lock()
	defer c.watching.Unlock()
	if watch != c.watch {
		return false
	}
	tls := libc.NewTLS() // The goroutine of the statement uses c.tls.
	defer tls.Close()
	sqlite3.Xsqlite3_interrupt(tls, c.db)
	return true
}

// endInterrupt ends the watch of a context. No interrupt follows its return.
func (c *Conn) endInterrupt(stop func() bool) {
	if stop == nil || stop() {
		return
	}
	c.watching.Lock()
	defer c.watching.Unlock()
	c.watch++
}
