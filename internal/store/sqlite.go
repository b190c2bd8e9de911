package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"countersign/internal/store/sqlite"
	"countersign/internal/verify"
)

// sqliteReads is enough to keep two cores busy; SQLite readers do not block.
const sqliteReads = 8

// sqliteBatch is the maximum number of writes in a commit. A commit costs one flush of the
// disk for any number of callers. The maximum bounds the wait of the first caller, and leaves
// processor time for reading requests and writing answers.
const sqliteBatch = 64

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

// openSQLite opens a connection for goose and for tools, which need database/sql. SQLite
// creates a missing file.
func openSQLite(path string, cache int) (*sql.DB, error) {
	db, err := sql.Open("sqlite", fileURI(path, pragmas(cache)...))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)
	return db, nil
}

// readPool returns a pool of read connections.
func readPool(path string, limit int) fileReader {
	return fileReader{sqlite.NewPool(limit, func() (*sqlite.Conn, error) { return sqlite.Open(path, pragmas(readCache)...) })}
}

// checkpointSize is the size of the write-ahead log, in octets, above which a commit copies the
// pages of the log to the file.
const checkpointSize = 16 << 20

// pageSize is the page size of new files in octets. Each start and each check changes a page at
// random, in the table of number histories. Smaller pages write fewer octets; in larger pages
// fewer documents need overflow pages.
const pageSize = 1024

// createPrivate creates a missing file with mode 0600, since it contains phone numbers. SQLite
// creates its log and its index with the same mode. An existing file with content is not opened: closing
// it would release the locks of other connections of this process (see package filelock).
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
	conn, err := sqlite.Open(path, fmt.Sprintf("page_size(%d)", pageSize), "journal_mode(WAL)")
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

// longestClaim is longer than every lease. Rows that are due later than that have no lease,
// unless they are due after longestVerification: such a lease is from the future.
const longestClaim = time.Minute

// releaseClaims makes all leased rows due, after the death of the server with the leases.
const releaseClaims = `UPDATE verifications SET due_at = 0 WHERE node IS NOT NULL AND due_at IS NOT NULL`

// startSQLite opens the file for reads and writes, and starts the writer.
func (db *DB) startSQLite(ctx context.Context, cfg Config) (err error) {
	if err := createPrivate(cfg.Database); err != nil {
		return err
	}
	if cfg.Serve {
		if db.lock, err = lockFile(cfg.Database); err != nil {
			return err
		}
	} else if err := checkName(cfg.Database); err != nil {
		return err
	}
	conn, err := db.prepareSQLite(ctx, cfg)
	if err != nil {
		return err
	}
	if db.lock != nil {
		if db.files, err = watchFiles(db.lock.f, cfg.Log); err != nil {
			return cmp.Or(err, conn.close())
		}
		conn.files = db.files
	}
	db.writers = []*writer{startWriter(conn, db.seal, db.dialect, cfg, sqliteBatch)}
	db.keys, db.read = readPool(cfg.Database, 1), readPool(cfg.Database, sqliteReads)
	return nil
}

// prepareSQLite migrates the schema, reads the keys and opens the connection of the writer.
func (db *DB) prepareSQLite(ctx context.Context, cfg Config) (_ *sqliteConn, err error) {
	file, err := openSQLite(cfg.Database, writeCache)
	if err != nil {
		return nil, err
	}
	defer func() { err = cmp.Or(err, file.Close()) }()
	if err := migrate(ctx, file, db.dialect); err != nil {
		return nil, err
	}
	if err := db.openKeys(ctx, file, cfg); err != nil {
		return nil, err
	}
	conn, err := sqlite.Open(cfg.Database, pragmas(writeCache)...)
	if err != nil {
		return nil, err
	}
	if cfg.Serve {
		if err := releaseDead(ctx, conn, cfg.Now); err != nil {
			return nil, cmp.Or(err, conn.Close())
		}
	}
	return &sqliteConn{Conn: conn, log: cfg.Log, changes: map[change]string{}}, nil
}

// releaseDead makes the rows that a dead process leased due. See longestClaim for the bounds.
func releaseDead(ctx context.Context, conn *sqlite.Conn, now time.Time) error {
	if now.IsZero() {
		now = time.Now()
	}
	_, err := conn.Exec(ctx, releaseClaims+` AND (due_at <= $1 OR due_at > $2)`,
		millis(now.Add(longestClaim)), millis(now.Add(longestVerification)))
	return err
}

// sqliteConn writes to a file. A batch has no savepoints, since SQLite would keep a copy of
// every changed page. If a job fails after its first write, the batch is rolled back and its
// jobs run again, each in its own transaction. This is rare: rules refuse before the first
// write.
type sqliteConn struct {
	*sqlite.Conn
	log   *slog.Logger
	files *files // nil unless opened for serving

	changes map[change]string // Statements for one row.
}

func (c *sqliteConn) close() error { return c.Close() }

// carryOut commits the batch in one transaction. If a job fails after a write, it commits each
// job in its own transaction. A failed commit is the error of all jobs.
func (c *sqliteConn) carryOut(tx *Tx, batch []job) []error {
	results := make([]error, len(batch))
	err := c.files.check()
	if err == nil {
		err = c.attempt(tx, batch, results)
	}
	for i := range batch {
		switch {
		case err == nil:
		case errors.Is(err, errApart):
			results[i] = c.runSingly(tx, batch[i])
		default:
			results[i] = fmt.Errorf("write: %w", err)
		}
	}
	return results
}

func (c *sqliteConn) runSingly(tx *Tx, j job) error {
	var result [1]error
	if err := c.attempt(tx, []job{j}, result[:]); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return result[0]
}

// attempt runs jobs in one transaction and commits it. After an error it rolls back.
func (c *sqliteConn) attempt(tx *Tx, batch []job, results []error) error {
	if err := c.run("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	clear(tx.balances)
	tx.guards.reset()
	end, err := "COMMIT", error(nil)
	for i, j := range batch {
		tx.changed = false
		// A failed read may have ended the transaction; each later statement would commit.
		if results[i] = j.do(tx); results[i] == nil || !tx.changed && c.InTransaction() {
			continue
		}
		if end = "ROLLBACK"; len(batch) > 1 {
			err = errApart
		}
		break
	}
	if end == "COMMIT" {
		if err = errors.Join(tx.writeBalances(), tx.guards.save()); err == nil {
			err = c.run(end)
		}
	}
	if err != nil || end == "ROLLBACK" {
		// Fails if SQLite has already rolled back, as on a full disk.
		if rerr := c.run("ROLLBACK"); rerr != nil {
			c.log.Debug("roll back", "error", rerr)
		}
	}
	return err
}

// run executes a statement without arguments. Statements of a write have no context, so a write
// in progress is never cancelled.
func (c *sqliteConn) run(text string) error {
	_, err := c.Exec(context.Background(), text)
	return err
}

func (c *sqliteConn) exec(text string, args []any) (int64, error) {
	return c.Exec(context.Background(), text, args...)
}

func (c *sqliteConn) send(text string, args []any) error {
	_, err := c.exec(text, args)
	return err
}

func (c *sqliteConn) change(ch change, _ verify.ID, row []any) error {
	text := c.changes[ch]
	if text == "" {
		text = ch.parse().one()
		c.changes[ch] = text
	}
	return c.send(text, row)
}

func (c *sqliteConn) query(text string, args []any) (rows, error) {
	r, err := c.Query(context.Background(), text, args...)
	if err != nil {
		return nil, err // A nil *sqlite.Rows would not be a nil rows.
	}
	return r, nil
}

func (c *sqliteConn) loadGuard(g *guards, key guardKey) error {
	rows, err := c.query(`SELECT number, state, running, stale_at FROM guards WHERE number = $1`, []any{key[:]})
	if err != nil {
		return fmt.Errorf("load number history: %w", err)
	}
	defer rows.Close()
	if !rows.Next() {
		return rows.Err()
	}
	_, row, err := scanGuard(rows)
	g.rows[key] = row
	return err
}

// tryLockGuards empties keys: the file has one writer, so no row is locked.
func (c *sqliteConn) tryLockGuards(_ *guards, keys map[guardKey]bool) error {
	clear(keys)
	return nil
}

func (c *sqliteConn) saveGuards(g *guards, changed, added []guardKey) error {
	for _, key := range slices.Concat(changed, added) {
		number, state, running, staleAt := g.columns(key)
		if err := c.send(`INSERT INTO guards (number, state, running, stale_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (number) DO UPDATE SET state = excluded.state, running = excluded.running, stale_at = excluded.stale_at`,
			[]any{number, state, running, staleAt}); err != nil {
			return err
		}
	}
	return nil
}
