package sqlite

import (
	"cmp"
	"context"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Backup copies the database to an existing file, and checks ctx after each group of pages. Inside a
// transaction it copies the state that the transaction reads.
func (c *Conn) Backup(ctx context.Context, path string, pages int32) (err error) {
	to, err := Open(path, "journal_mode(OFF)", "synchronous(OFF)")
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, to.Close()) }()
	main, err := libc.CString("main")
	if err != nil {
		return err
	}
	defer libc.Xfree(c.tls, main)
	b := sqlite3.Xsqlite3_backup_init(c.tls, to.db, main, c.db, main)
	if b == 0 {
		return to.failure(sqlite3.Xsqlite3_extended_errcode(c.tls, to.db))
	}
	rc := int32(sqlite3.SQLITE_OK)
	for rc == sqlite3.SQLITE_OK && err == nil {
		rc = sqlite3.Xsqlite3_backup_step(c.tls, b, pages)
		err = ctx.Err()
	}
	end := sqlite3.Xsqlite3_backup_finish(c.tls, b)
	switch {
	case err != nil:
		return err
	case rc != sqlite3.SQLITE_DONE:
		return to.failure(rc)
	case end != sqlite3.SQLITE_OK:
		return to.failure(end)
	}
	return nil
}
