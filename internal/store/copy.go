package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"countersign/internal/vault"
)

// CopyConfig says which installation to move, and where.
type CopyConfig struct {
	From string    // path of the SQLite file
	To   string    // URL of the PostgreSQL database
	Key  vault.Key // of both

	Batch int // rows of a commit; 0 for a good number

	// Progress, if not nil, is called after each commit of rows.
	Progress func(table string, rows int)
}

// CopiedTable is what Copy did with a table.
type CopiedTable struct {
	Name     string
	Copied   int // rows that were not in the target yet
	Compared int // rows that are in both
}

// What Copy refuses.
var (
	ErrDirection = errors.New("a copy goes from SQLite to PostgreSQL, and no other way")
	ErrForeign   = errors.New("it has data that is not of this source; name an empty database")
	ErrOutdated  = errors.New("it is a copy of another state of this source; name an empty database")
	ErrDiffers   = errors.New("source and target differ")
)

// ErrCopied is returned by Copy when the copy was complete already, and the source
// has not changed since.
var ErrCopied = errors.New("it was copied already")

// ErrHalfCopied is returned by Open for the target of a copy that did not come to
// its end.
var ErrHalfCopied = errors.New("the copy into it is not complete; run countersign migrate copy (again)")

// copyBatch is enough for the round trips not to count, and little enough memory.
const copyBatch = 1000

// copyWait is how long Copy waits for servers to be gone from the target: the
// connection of one that has just stopped may take a moment.
const copyWait = 5 * time.Second

const (
	copyMark  = "copy"  // the row of settings that says how far a copy is:
	copyBegun = "begun" // or, when it is complete, the sum of the source
)

// copyLock is the number of the advisory lock that servers share, and that a copy
// has for itself.
const copyLock = 0x636f70792e2e2e2e // "copy...."

// Copy moves an installation from an SQLite file, which no server may use
// meanwhile, to an empty PostgreSQL database. Every row is compared afterwards. A
// copy that was interrupted is continued by the next call; until it is complete,
// Open refuses the target. The source stays as it is, but for its schema, which is
// brought up to date.
func Copy(ctx context.Context, cfg CopyConfig) (done []CopiedTable, err error) {
	if IsPostgres(cfg.From) || !IsPostgres(cfg.To) {
		return nil, ErrDirection
	}
	if cfg.Batch == 0 {
		cfg.Batch = copyBatch
	}
	c := &copier{CopyConfig: cfg}
	defer func() { err = cmp.Or(err, c.close(context.WithoutCancel(ctx))) }()
	if err := c.openSource(ctx); err != nil {
		return nil, fmt.Errorf("copy from %s: %w", cfg.From, err)
	}
	if err := c.openTarget(ctx); err != nil {
		return nil, fmt.Errorf("copy to %s: %w", Redact(cfg.To), diskFull(cfg.To, err))
	}
	if done, err = c.run(ctx); err != nil {
		return nil, fmt.Errorf("copy %s to %s: %w", cfg.From, Redact(cfg.To), diskFull(cfg.To, err))
	}
	return done, nil
}

// shareWithCopy marks the database as in use, and refuses one that a copy is under
// way to. The mark goes with the connection.
func shareWithCopy(ctx context.Context, conn *pgx.Conn) error {
	var free bool
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock_shared($1)`, int64(copyLock)).Scan(&free); err != nil {
		return err
	}
	if !free {
		return ErrHalfCopied
	}
	return nil
}

// checkCopied refuses the target of a copy that is not complete.
func checkCopied(ctx context.Context, conn *pgx.Conn) error {
	var half bool
	err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM settings WHERE name = $1 AND value = $2)`, copyMark, []byte(copyBegun)).Scan(&half)
	if err == nil && half {
		err = ErrHalfCopied
	}
	return err
}

// copier is one call of Copy.
type copier struct {
	CopyConfig
	lock   *fileLock
	file   *sql.DB
	source *copySource
	target *pgx.Conn
	tables []copyTable // in an order that suits foreign keys
}

func (c *copier) close(ctx context.Context) error {
	var errs []error
	if c.target != nil {
		// By itself the lock would go a moment after the connection, and a server that
		// is started at once would meet it.
		ctx, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		_, _ = c.target.Exec(ctx, `SELECT pg_advisory_unlock($1)`, int64(copyLock)) // of no use where the connection is lost
		_ = c.target.Close(ctx)                                                     // a goodbye that nobody needs to hear
	}
	if c.source != nil {
		errs = append(errs, c.source.close(ctx))
	}
	if c.file != nil {
		errs = append(errs, c.file.Close())
	}
	if c.lock != nil {
		errs = append(errs, c.lock.release())
	}
	return errors.Join(errs...)
}

// openSource opens the file as a server does, so that none has it meanwhile.
func (c *copier) openSource(ctx context.Context) (err error) {
	if _, err := os.Stat(c.From); err != nil {
		return fmt.Errorf("no database: %w", err) // and none is to be made
	}
	if c.lock, err = lockFile(c.From); err != nil {
		return err
	}
	if c.file, err = openSQLite(c.From, writeCache); err != nil {
		return err
	}
	if err := migrate(ctx, c.file, onSQLite()); err != nil {
		return err
	}
	source := &DB{dialect: onSQLite()}
	if err := source.openKeys(ctx, c.file, Config{Key: c.Key}); err != nil {
		return err
	}
	c.source, err = newCopySource(ctx, c.file)
	return err
}

// openTarget connects to the server, waits until no other server uses the database,
// and keeps them away while the connection lasts.
func (c *copier) openTarget(ctx context.Context) error {
	conf, err := parsePostgres(c.To)
	if err != nil {
		return err
	}
	if c.target, err = pgx.ConnectConfig(ctx, conf); err != nil {
		return err
	}
	if err := setDurable(ctx, c.target); err != nil {
		return err
	}
	if _, err := c.target.Exec(ctx, fmt.Sprintf(`SET lock_timeout = %d`, copyWait.Milliseconds())); err != nil {
		return err
	}
	if _, err := c.target.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(copyLock)); err != nil {
		if sqlState(err) == lockNotAvailable {
			return ErrInUse
		}
		return err
	}
	if err := Migrate(ctx, c.To); err != nil {
		return err
	}
	c.tables, err = copyTables(ctx, c.source, c.target)
	return err
}

func (c *copier) run(ctx context.Context) ([]CopiedTable, error) {
	if err := c.claim(ctx); err != nil {
		return nil, err
	}
	done := make([]CopiedTable, len(c.tables))
	for i, t := range c.tables {
		n, err := c.copyTable(ctx, t)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", t.name, err)
		}
		done[i] = CopiedTable{Name: t.name, Copied: n}
	}
	all := comparison{source: c.source, target: c.target, size: c.Batch, sum: sha256.New()}
	for i, t := range c.tables {
		n, err := all.table(ctx, t)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", t.name, err)
		}
		done[i].Compared = n
	}
	return done, c.finish(ctx, all.sum.Sum(nil))
}

// claim sees that the target is empty, and makes it that of this source; or that it
// was this source's before.
func (c *copier) claim(ctx context.Context) error {
	ours, err := c.source.setting(ctx, keyCheck)
	if err != nil {
		return err
	}
	theirs, err := c.setting(ctx, keyCheck)
	if err != nil {
		return err
	}
	state, err := c.setting(ctx, copyMark)
	if err != nil {
		return err
	}
	if theirs != nil {
		if err := c.opensTarget(ctx); err != nil {
			return fmt.Errorf("the target: %w", err)
		}
	}
	switch {
	case state == nil:
		return c.claimEmpty(ctx, ours)
	case !bytes.Equal(ours, theirs): // sealing is random, so it is an installation's own
		return fmt.Errorf("the target: %w", ErrForeign)
	case string(state) == copyBegun:
		return nil
	}
	sum, err := c.source.sum(ctx, c.tables, c.Batch)
	switch {
	case err != nil:
		return err
	case !bytes.Equal(state, sum): // such as that of a backup, to try it
		return fmt.Errorf("the target: %w", ErrOutdated)
	}
	return ErrCopied
}

// opensTarget sees that the key is that of the target, too, if it has one. A copy
// that has only just begun has no keys yet, and that is of this source if of any.
func (c *copier) opensTarget(ctx context.Context) error {
	var files, ours int
	err := c.target.QueryRow(ctx, `SELECT COUNT(*), COUNT(*) FILTER (WHERE encode(fingerprint, 'hex') = $1) FROM key_files`, c.Key.Fingerprint()).Scan(&files, &ours)
	if err == nil && files > 0 && ours == 0 {
		err = vault.ErrKey
	}
	return err
}

// claimEmpty takes a target in which there is nothing but what migrations put
// there, which goes: the source has its own.
func (c *copier) claimEmpty(ctx context.Context, keyCheckOfSource []byte) error {
	if err := c.untouched(ctx); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, c.target, func(tx pgx.Tx) error {
		for i := len(c.tables) - 1; i >= 0; i-- {
			if _, err := tx.Exec(ctx, `DELETE FROM `+c.tables[i].ident()); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `INSERT INTO settings (name, value) VALUES ($1, $2), ($3, $4)`,
			keyCheck, keyCheckOfSource, copyMark, []byte(copyBegun))
		return err
	})
}

// untouched compares the target with a database that was just made.
func (c *copier) untouched(ctx context.Context) (err error) {
	file, err := openSQLite(":memory:", readCache)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := migrate(ctx, file, onSQLite()); err != nil {
		return err
	}
	empty, err := newCopySource(ctx, file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, empty.close(ctx)) }()
	known, err := empty.tables(ctx)
	if err != nil {
		return err
	}
	all := comparison{source: empty, target: c.target, size: c.Batch, sum: sha256.New()}
	for _, t := range c.tables {
		if slices.Contains([]string{settingsTable, "key_files", "data_keys"}, t.name) { // of which any start makes a few
			continue
		}
		if _, ok := known[t.name]; ok {
			_, err = all.table(ctx, t)
		} else if n, cerr := t.count(ctx, c.target); n > 0 || cerr != nil {
			err = cmp.Or(cerr, ErrDiffers)
		}
		switch {
		case errors.Is(err, ErrDiffers):
			return fmt.Errorf("the target, table %s: %w", t.name, ErrForeign)
		case err != nil:
			return err
		}
	}
	return nil
}

// setting reads a setting of the target; nil when there is none.
func (c *copier) setting(ctx context.Context, name string) (value []byte, err error) {
	err = c.target.QueryRow(ctx, `SELECT value FROM settings WHERE name = $1`, name).Scan(&value)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return value, err
}

// copyTable copies the rows that the target lacks. Rows go in the order of their
// keys, and each batch is committed, so as many as are there need not go again.
func (c *copier) copyTable(ctx context.Context, t copyTable) (copied int, err error) {
	if err := c.makePartitions(ctx, t); err != nil {
		return 0, err
	}
	there := 0
	if t.name != settingsTable { // whose rows came out of order, with the claim
		if there, err = t.count(ctx, c.target); err != nil {
			return 0, err
		}
	}
	err = c.source.batches(ctx, t, there, c.Batch, func(rows [][]any) error {
		n, err := c.insert(ctx, t, rows)
		copied += n
		if err == nil && c.Progress != nil {
			c.Progress(t.name, n)
		}
		return err
	})
	return copied, err
}

// insert commits a batch. It need not reach the disk at once: what a crash of the
// server loses are the last batches, and the next call copies those again.
func (c *copier) insert(ctx context.Context, t copyTable, rows [][]any) (inserted int, err error) {
	err = pgx.BeginFunc(ctx, c.target, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL synchronous_commit = off`); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, t.insert(), arrays(rows)...)
		inserted = int(tag.RowsAffected())
		return err
	})
	return inserted, err
}

// finish lets the target be used. What the stopped server held falls due at once.
func (c *copier) finish(ctx context.Context, sum []byte) error {
	for _, t := range c.tables { // for the plans of the first queries
		if _, err := c.target.Exec(ctx, `ANALYZE `+t.ident()); err != nil {
			return err
		}
	}
	return pgx.BeginFunc(ctx, c.target, func(tx pgx.Tx) error {
		for _, t := range c.tables {
			for _, query := range t.advance() {
				if _, err := tx.Exec(ctx, query); err != nil {
					return fmt.Errorf("table %s: %w", t.name, err)
				}
			}
		}
		if _, err := tx.Exec(ctx, releaseClaims); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE settings SET value = $1 WHERE name = $2`, sum, copyMark)
		return err
	})
}
