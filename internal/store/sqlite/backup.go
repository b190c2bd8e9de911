package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"countersign/internal/atomicfile"
	"countersign/internal/store/driver"
)

// backupStep is the number of pages copied between two checks of the context.
const backupStep = 4096

// Backup writes a consistent copy of the database to a new file while the database is in
// use. It checks the integrity of the copy and compares its row counts with the source
// before the file gets its name. The key is not in it. It returns the tables by name.
func (e *Engine) Backup(ctx context.Context, path string) ([]driver.TableRows, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("back up: %w", &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist})
	}
	f, err := atomicfile.Create(path, 0o600)
	if err != nil {
		return nil, fmt.Errorf("back up: %w", File(path).Full(err))
	}
	tables, err := e.backUp(ctx, f.Name())
	if err == nil {
		err = f.Commit()
	}
	if err = cmp.Or(err, f.Close()); err != nil {
		return nil, fmt.Errorf("back up to %s: %w", path, File(path).Full(err))
	}
	return tables, nil
}

// backUp copies the pages and counts the rows in one read transaction, so that both are
// of the same moment.
func (e *Engine) backUp(ctx context.Context, to string) (tables []driver.TableRows, err error) {
	if err := RemoveBeside(to); err != nil {
		return nil, err
	}
	if err := e.files.known(); err != nil {
		return nil, err
	}
	var want []driver.TableRows
	err = e.read.Use(ctx, func(conn *Conn) error {
		if _, err := conn.Exec(ctx, `BEGIN`); err != nil {
			return err
		}
		want, err = countRows(ctx, conn)
		if err == nil {
			err = conn.Backup(ctx, to, backupStep)
		}
		_, endErr := conn.Exec(context.WithoutCancel(ctx), `ROLLBACK`)
		return cmp.Or(err, endErr)
	})
	if err != nil {
		return nil, err
	}
	got, err := VerifyFile(ctx, to)
	if err == nil && !slices.Equal(got, want) {
		err = fmt.Errorf("the copy differs from the database: rows %v, want %v", got, want)
	}
	return got, err
}

// VerifyFile checks the integrity of a file that no other process uses, and returns the
// tables by name. It leaves the file without a write-ahead log, complete in itself.
func VerifyFile(ctx context.Context, path string) (tables []driver.TableRows, err error) {
	file, err := Open(path, "journal_mode(DELETE)")
	if err != nil {
		return nil, fmt.Errorf("integrity check: %w", err)
	}
	defer func() { err = cmp.Or(err, file.Close()) }()
	var verdict string
	if err := file.QueryRow(ctx, `PRAGMA integrity_check(1)`, nil, &verdict); err != nil {
		return nil, fmt.Errorf("integrity check: %w", err)
	}
	if verdict != "ok" {
		return nil, fmt.Errorf("integrity check: %s", verdict)
	}
	return countRows(ctx, file)
}

// countRows counts the rows of each table, by name.
func countRows(ctx context.Context, file *Conn) (tables []driver.TableRows, err error) {
	rows, err := file.Query(ctx, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var t driver.TableRows
		if err := rows.Scan(&t.Name); err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for i, t := range tables {
		if err := file.QueryRow(ctx, `SELECT COUNT(*) FROM "`+t.Name+`"`, nil, &tables[i].Rows); err != nil {
			return nil, fmt.Errorf("count %s: %w", t.Name, err)
		}
	}
	return tables, nil
}

// Beside lists the suffixes of SQLite's auxiliary files.
func Beside() []string { return []string{"-wal", "-shm", "-journal"} }

// RemoveBeside removes auxiliary files of a killed process before a database is written
// under this name: SQLite would apply them to the new content.
func RemoveBeside(path string) error {
	for _, end := range Beside() {
		if err := os.Remove(path + end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Backup copies the database to an existing file, and checks ctx after each group of pages.
// Inside a transaction it copies the state that the transaction reads.
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
