package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"

	"countersign/internal/atomicfile"
	"countersign/internal/store/sqlite"
)

// ErrBackup is returned by Backup and Restore for a PostgreSQL database.
var ErrBackup = errors.New("a PostgreSQL database is backed up and restored with PostgreSQL's own tools: pg_dump and pg_restore, or continuous archiving")

// TableRows is the number of rows of a table.
type TableRows struct {
	Name string
	Rows int64
}

// backupStep is the number of pages copied between two checks of the context.
const backupStep = 4096

// Backup writes a consistent copy of the database to a new file while the database is in
// use. It checks the integrity of the copy and compares its row counts with the source
// before the file gets its name. The key is not in it. It returns the tables by name.
func (db *DB) Backup(ctx context.Context, path string) ([]TableRows, error) {
	if db.postgres() {
		return nil, ErrBackup
	}
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("back up: %w", &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist})
	}
	f, err := atomicfile.Create(path, 0o600)
	if err != nil {
		return nil, fmt.Errorf("back up: %w", diskFull(path, err))
	}
	tables, err := db.backUp(ctx, f.Name())
	if err == nil {
		err = f.Commit()
	}
	if err = cmp.Or(err, f.Close()); err != nil {
		return nil, fmt.Errorf("back up to %s: %w", path, diskFull(path, err))
	}
	return tables, nil
}

// backUp copies the pages and counts the rows in one read transaction, so that both are
// of the same moment.
func (db *DB) backUp(ctx context.Context, to string) (tables []TableRows, err error) {
	if err := removeBeside(to); err != nil {
		return nil, err
	}
	if err := db.files.known(); err != nil {
		return nil, err
	}
	var want []TableRows
	err = db.read.(fileReader).Use(ctx, func(conn *sqlite.Conn) error {
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
	got, err := verifyFile(ctx, to)
	if err == nil && !slices.Equal(got, want) {
		err = fmt.Errorf("the copy differs from the database: rows %v, want %v", got, want)
	}
	return got, err
}

// verifyFile checks the integrity of a file that no other process uses, and returns the
// tables by name. It leaves the file without a write-ahead log, complete in itself.
func verifyFile(ctx context.Context, path string) (tables []TableRows, err error) {
	file, err := sqlite.Open(path, "journal_mode(DELETE)")
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
func countRows(ctx context.Context, file *sqlite.Conn) (tables []TableRows, err error) {
	rows, err := file.Query(ctx, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var t TableRows
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

// besides lists the suffixes of SQLite's auxiliary files.
func besides() []string { return []string{"-wal", "-shm", "-journal"} }

// removeBeside removes auxiliary files of a killed process before a database is written
// under this name: SQLite would apply them to the new content.
func removeBeside(path string) error {
	for _, end := range besides() {
		if err := os.Remove(path + end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// fileURI names an SQLite file, with pragmas for each connection.
func fileURI(path string, pragmas ...string) string {
	q := url.Values{"_pragma": pragmas}
	return (&url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: q.Encode()}).String()
}
