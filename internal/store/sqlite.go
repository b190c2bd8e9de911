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

	_ "modernc.org/sqlite" // pure Go, so the binary needs no C library

	"countersign/internal/verify"
)

// sqliteReads is enough to keep two cores busy; SQLite readers do not block.
const sqliteReads = 8

// sqliteBatch is how many writes are committed together. A commit costs one flush
// of the disk however many callers share it, so a batch takes all that wait, up to
// a size that keeps the slowest of them quick, and lets others be read from the network
// and answered meanwhile.
const sqliteBatch = 64

// openSQLite opens the file in write-ahead mode with every commit on disk before
// it is acknowledged (synchronous=FULL). A writer of another process (the command
// line) is waited for, but not for longer than a client would wait for an answer. Each
// connection has a cache of so many KiB.
func openSQLite(path string, conns, cache int) (*sql.DB, error) {
	db, err := sql.Open("sqlite", fileURI(path,
		"busy_timeout(2000)",
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"foreign_keys(ON)",
		"wal_autocheckpoint(4000)",
		fmt.Sprintf("cache_size(-%d)", cache),
		"secure_delete(ON)", // what is deleted is overwritten; requests delete nothing
	))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// createPrivate creates a missing file with mode 0600: it holds numbers of people. SQLite
// gives its log and index the same mode. An existing file is not opened: closing it would
// release the locks of other connections of this process (see package filelock).
func createPrivate(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// What is read is in the cache of the operating system; what is written goes through the
// pages of every index.
const (
	readCache  = 2_000 // KiB, of each connection
	writeCache = 16_000
)

// longestClaim exceeds the lease of every claim. A claim beyond longestVerification is
// from the future; the bounds spare the rows between.
const longestClaim = time.Minute

// releaseClaims lets what a dead server held fall due at once.
const releaseClaims = `UPDATE verifications SET due_at = 0 WHERE node IS NOT NULL AND due_at IS NOT NULL`

// start opens the file for reading and writing.
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
	write, err := openSQLite(cfg.Database, 1, writeCache)
	if err != nil {
		return err
	}
	conn, err := db.prepareSQLite(ctx, write, cfg)
	if err != nil {
		return cmp.Or(err, write.Close())
	}
	if db.lock != nil {
		if db.files, err = watchFiles(db.lock.f, cfg.Log); err != nil {
			return cmp.Or(err, conn.close())
		}
		conn.files = db.files
	}
	db.writers = []*writer{startWriter(conn, db.seal, db.dialect, cfg, sqliteBatch)}
	if db.keys, err = openSQLite(cfg.Database, 1, readCache); err != nil {
		return err
	}
	db.read, err = openSQLite(cfg.Database, sqliteReads, readCache)
	return err
}

func (db *DB) prepareSQLite(ctx context.Context, write *sql.DB, cfg Config) (*sqliteConn, error) {
	if err := migrate(ctx, write, db.dialect); err != nil {
		return nil, err
	}
	if err := db.openKeys(ctx, write, cfg); err != nil {
		return nil, err
	}
	if cfg.Serve { // whatever is held is held by a dead process; what falls due later is held by nobody
		now := cfg.Now
		if now.IsZero() {
			now = time.Now()
		}
		if _, err := write.ExecContext(ctx, releaseClaims+` AND (due_at <= $1 OR due_at > $2)`,
			millis(now.Add(longestClaim)), millis(now.Add(longestVerification))); err != nil {
			return nil, err
		}
	}
	conn, err := write.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &sqliteConn{db: write, conn: conn, log: cfg.Log, stmts: map[string]*sql.Stmt{}, changes: map[change]string{}}, nil
}

// sqliteConn writes to a file. A batch has no savepoints, for which SQLite would keep a
// copy of every page: when a job fails after it has written, the batch is rolled back,
// and its jobs are run again, each in a transaction of its own. That is rare: a refusal
// is decided on before anything is written.
type sqliteConn struct {
	db    *sql.DB
	conn  *sql.Conn
	log   *slog.Logger
	stmts map[string]*sql.Stmt // prepared on conn
	files *files               // nil unless opened for serving

	changes map[change]string // their texts for one row
}

func (c *sqliteConn) close() error {
	var errs []error
	for _, s := range c.stmts { // SQLite folds its log in only when none is left
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, c.conn.Close(), c.db.Close())...)
}

// carryOut commits the batch as a whole where it can, and job by job where not. A failed
// commit hurts all, since none of it is durable.
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

// attempt carries out jobs in one transaction. With an error nothing of it was kept.
func (c *sqliteConn) attempt(tx *Tx, batch []job, results []error) error {
	if err := c.run("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	clear(tx.balances)
	tx.guards.reset()
	end, err := "COMMIT", error(nil)
	for i, j := range batch {
		tx.changed = false
		if results[i] = j.do(tx); results[i] == nil || !tx.changed {
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
		// Fails when SQLite has rolled back already, as on a full disk.
		if rerr := c.run("ROLLBACK"); rerr != nil {
			c.log.Debug("roll back", "error", rerr)
		}
	}
	return err
}

// stmt prepares each statement once. No context is passed to the driver: a write
// that has begun is finished, and the driver would start a goroutine to watch it.
func (c *sqliteConn) stmt(query string) (*sql.Stmt, error) {
	if s := c.stmts[query]; s != nil {
		return s, nil
	}
	s, err := c.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	c.stmts[query] = s
	return s, nil
}

func (c *sqliteConn) run(query string) error {
	s, err := c.stmt(query) //nolint:sqlclosecheck // it is kept
	if err == nil {
		_, err = s.Exec() //nolint:noctx // see stmt
	}
	return err
}

func (c *sqliteConn) exec(query string, args []any) (int64, error) {
	s, err := c.stmt(query) //nolint:sqlclosecheck // it is kept
	if err != nil {
		return 0, err
	}
	res, err := s.Exec(args...) //nolint:noctx // see stmt
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (c *sqliteConn) send(query string, args []any) error {
	_, err := c.exec(query, args)
	return err
}

func (c *sqliteConn) change(ch change, _ verify.ID, row []any) error {
	query := c.changes[ch]
	if query == "" {
		query = ch.parse().one()
		c.changes[ch] = query
	}
	return c.send(query, row)
}

func (c *sqliteConn) query(query string, args []any) (rows, error) {
	s, err := c.stmt(query) //nolint:sqlclosecheck // it is kept
	if err != nil {
		return nil, err
	}
	r, err := s.Query(args...) //nolint:noctx,rowserrcheck // see stmt; it is the caller's
	if err != nil {
		return nil, err // and not a *sql.Rows that is nil
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

// tryLockGuards finds all rows free: there is one writer.
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
