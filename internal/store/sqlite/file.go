package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	"countersign/internal/filelock"
	"countersign/internal/store/driver"
)

// File is the path of a database. It implements [driver.Database].
type File string

var _ driver.Database = File("")

// String returns the path.
func (f File) String() string { return string(f) }

// Dialect returns the SQL of SQLite.
func (File) Dialect() driver.Dialect { return dialect() }

// Schema opens the file with database/sql, which goose needs. It makes a missing file.
func (f File) Schema(context.Context) (*sql.DB, error) {
	if err := createPrivate(string(f)); err != nil {
		return nil, err
	}
	return OpenSQL(string(f))
}

// OpenSQL opens a file, or ":memory:", with database/sql and one connection.
func OpenSQL(path string) (*sql.DB, error) {
	return openURI(fileURI(path, pragmas(writeCache)...))
}

func openURI(uri string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", uri)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)
	return db, nil
}

// fileURI names a file, with pragmas for each connection.
func fileURI(path string, pragmas ...string) string {
	q := url.Values{"_pragma": pragmas}
	return (&url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: q.Encode()}).String()
}

// LockSchema returns an unlock without effect: only one process writes at a time.
func (File) LockSchema(context.Context, *sql.DB) (unlock func() error, err error) {
	return func() error { return nil }, nil
}

// Inspect calls use with a connection to an existing file that is not empty.
func (f File) Inspect(_ context.Context, use func(*sql.DB) error) error {
	path, state, absent := string(f), "", error(nil)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		state, absent = "is missing", driver.ErrMissing
	case err != nil:
		return err
	case info.Size() == 0:
		state, absent = "is empty (0 bytes)", driver.ErrEmpty
	}
	if absent != nil {
		// SQLite would delete the log when it opens an empty file.
		if wal, err := os.Stat(path + "-wal"); err == nil && wal.Size() > 0 {
			return fmt.Errorf("it %s, but its write-ahead log %s-wal has %d bytes of data; copy the log elsewhere, then restore a backup (countersign restore --from FILE)",
				state, path, wal.Size())
		}
		return absent
	}
	if err := checkName(path); err != nil {
		return err
	}
	return f.Read(use)
}

// Read is Inspect for a file that no server uses.
func (f File) Read(use func(*sql.DB) error) error {
	db, err := openURI(fileURI(string(f), "busy_timeout(2000)", "query_only(ON)") + "&mode=rw")
	if err != nil {
		return err
	}
	if err = cmp.Or(use(db), db.Close()); f.Reason(err) != nil {
		err = fmt.Errorf("it cannot be read: %w; if it is damaged, restore a backup (countersign restore --from FILE)", err)
	}
	return err
}

// Serving reports whether a server has the file. It is false for a missing file. It must not
// be called in a process that has the file open: see package filelock.
func (f File) Serving() bool {
	file, err := os.OpenFile(string(f), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	locked, err := filelock.Locked(file)
	return errors.Join(err, file.Close()) == nil && locked
}

// pragmas returns the pragmas of a connection with a cache of the given size in KiB. Commits
// in write-ahead mode are on disk before they are acknowledged. A write waits for another
// process (the command line), but not longer than a client waits for its response.
func pragmas(cache int) []string {
	return []string{
		"busy_timeout(2000)",
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"foreign_keys(ON)",
		fmt.Sprintf("wal_autocheckpoint(%d)", checkpointSize/pageSize),
		fmt.Sprintf("cache_size(-%d)", cache),
		"secure_delete(ON)", // deleted content is overwritten; requests delete no rows
	}
}

// checkpointSize is the size of the write-ahead log, in octets, above which a commit copies the
// pages of the log to the file.
const checkpointSize = 16 << 20

// pageSize is the page size of new files in octets. Each start and each check changes a page at
// random, in the table of number histories. Smaller pages write fewer octets; in larger pages
// fewer documents need overflow pages.
const pageSize = 1024

// createPrivate creates a missing file with mode 0600, since it contains phone numbers. SQLite
// creates its log and its index with the same mode. An existing file with content is not
// opened: closing it would release the locks of other connections of this process (see package
// filelock).
func createPrivate(path string) error {
	if info, err := os.Stat(path); err == nil && info.Size() > 0 {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	// The page size is fixed when the first page is written.
	conn, err := Open(path, fmt.Sprintf("page_size(%d)", pageSize), "journal_mode(WAL)")
	if err != nil {
		return err
	}
	return conn.Close()
}

// Cache sizes in KiB per connection. The operating system caches pages for reads as well. A
// write needs pages of each index.
const (
	readCache  = 2_000
	writeCache = 16_000
)
