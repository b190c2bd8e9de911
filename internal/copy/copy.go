// Package copy moves an installation from an SQLite file to a PostgreSQL database, and
// compares every row of both.
//
// It finds tables, columns and keys in both databases, so it must not depend on their
// meaning. The exceptions are the settings with the progress of a copy and with the key
// check, the tables of keys, and the leases of a stopped server.
package copy

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"countersign/internal/store"
	"countersign/internal/store/postgres"
	"countersign/internal/vault"
)

// Config is the source and the target of [Run].
type Config struct {
	From string    // path of the SQLite file
	To   string    // URL of the PostgreSQL database
	Key  vault.Key // key file of source and target

	Batch int // rows per commit; 0 means copyBatch

	// Progress, if not nil, is called after each commit of rows.
	Progress func(table string, rows int)
}

// Table is the result of [Run] for one table.
type Table struct {
	Name     string
	Copied   int // rows that this call inserted into the target
	Compared int // rows that are equal in source and target
}

// Errors of [Run].
var (
	ErrDirection = errors.New("a copy must be from SQLite to PostgreSQL")
	ErrForeign   = errors.New("it has data from another source; name an empty database")
	ErrOutdated  = errors.New("it is a copy of another state of this source; name an empty database")
	ErrDiffers   = errors.New("source and target differ")
)

// ErrCopied is returned by [Run] if an earlier copy is complete and the source has not
// changed since.
var ErrCopied = errors.New("the copy is already complete")

// copyBatch is the default number of rows per commit: round trips take little of the time, and
// a batch needs little memory.
const copyBatch = 1000

// copyWait bounds the wait for servers to disconnect from the target. The connection of a
// stopped server may outlive it by a moment.
const copyWait = 5 * time.Second

// Run moves an installation from an SQLite file to an empty PostgreSQL database. No server
// may use either during the copy. Afterwards Run compares every row. The next call continues
// an interrupted copy; until it is complete, store.Open refuses the target. Of the source, only
// the schema is changed: it is migrated to the current version.
func Run(ctx context.Context, cfg Config) (done []Table, err error) {
	if postgres.IsURL(cfg.From) || !postgres.IsURL(cfg.To) {
		return nil, ErrDirection
	}
	to := postgres.URL(cfg.To)
	if cfg.Batch == 0 {
		cfg.Batch = copyBatch
	}
	c := &copier{Config: cfg}
	defer func() { err = cmp.Or(err, c.close(context.WithoutCancel(ctx))) }()
	if err := c.openSource(ctx); err != nil {
		return nil, fmt.Errorf("copy from %s: %w", cfg.From, err)
	}
	if err := c.openTarget(ctx); err != nil {
		return nil, fmt.Errorf("copy to %s: %w", to, to.Full(err))
	}
	if done, err = c.run(ctx); err != nil {
		return nil, fmt.Errorf("copy %s to %s: %w", cfg.From, to, to.Full(err))
	}
	return done, nil
}

// copier is one call of Run.
type copier struct {
	Config
	file   *store.Source
	source *copySource
	target *pgx.Conn
	tables []copyTable // referenced tables before the tables that refer to them
}

func (c *copier) close(ctx context.Context) error {
	var errs []error
	if c.target != nil {
		postgres.Release(ctx, c.target)
	}
	if c.source != nil {
		errs = append(errs, c.source.close(ctx))
	}
	if c.file != nil {
		errs = append(errs, c.file.Close())
	}
	return errors.Join(errs...)
}

// openSource locks the file as a server does, so no server can use it, and opens it.
func (c *copier) openSource(ctx context.Context) (err error) {
	if c.file, err = store.OpenSource(ctx, c.From, c.Key); err != nil {
		return err
	}
	c.source, err = newCopySource(ctx, c.file.DB)
	return err
}

// openTarget connects to PostgreSQL, waits until no Countersign server uses the database, and
// excludes them for the life of the connection.
func (c *copier) openTarget(ctx context.Context) (err error) {
	if c.target, err = postgres.URL(c.To).Exclusive(ctx, copyWait); err != nil {
		return err
	}
	if err := store.Migrate(ctx, c.To); err != nil {
		return err
	}
	c.tables, err = copyTables(ctx, c.source, c.target)
	return err
}

func (c *copier) run(ctx context.Context) ([]Table, error) {
	if err := c.claim(ctx); err != nil {
		return nil, err
	}
	done := make([]Table, len(c.tables))
	for i, t := range c.tables {
		n, err := c.copyTable(ctx, t)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", t.name, err)
		}
		done[i] = Table{Name: t.name, Copied: n}
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

// claim marks an empty target as the copy of this source. It accepts an incomplete copy of the
// source, and returns ErrForeign, ErrOutdated or ErrCopied for other contents.
func (c *copier) claim(ctx context.Context) error {
	ours, err := c.source.setting(ctx, store.KeyCheck)
	if err != nil {
		return err
	}
	theirs, err := c.setting(ctx, store.KeyCheck)
	if err != nil {
		return err
	}
	state, err := c.setting(ctx, store.CopyMark)
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
	case !bytes.Equal(ours, theirs): // sealing is random, so the value differs in each installation
		return fmt.Errorf("the target: %w", ErrForeign)
	case string(state) == store.CopyBegun:
		return nil
	}
	sum, err := c.source.sum(ctx, c.tables, c.Batch)
	switch {
	case err != nil:
		return err
	case !bytes.Equal(state, sum): // the copy may be of a backup, as a trial
		return fmt.Errorf("the target: %w", ErrOutdated)
	}
	return ErrCopied
}

// opensTarget returns vault.ErrKey if the target has key files and none of them is the key. A
// copy that has just begun has no key files yet.
func (c *copier) opensTarget(ctx context.Context) error {
	var files, ours int
	err := c.target.QueryRow(ctx, `SELECT COUNT(*), COUNT(*) FILTER (WHERE encode(fingerprint, 'hex') = $1) FROM key_files`, c.Key.Fingerprint()).Scan(&files, &ours)
	if err == nil && files > 0 && ours == 0 {
		err = vault.ErrKey
	}
	return err
}

// claimEmpty claims a target that has only the rows of migrations. It deletes those rows,
// since the source also has them.
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
			store.KeyCheck, keyCheckOfSource, store.CopyMark, []byte(store.CopyBegun))
		return err
	})
}

// untouched returns ErrForeign unless the target equals a new database.
func (c *copier) untouched(ctx context.Context) (err error) {
	file, err := store.EmptySource(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	empty, err := newCopySource(ctx, file.DB)
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
		if slices.Contains([]string{settingsTable, "key_files", "data_keys"}, t.name) { // every first start adds rows
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

// setting reads a setting of the target; nil if it is not set.
func (c *copier) setting(ctx context.Context, name string) (value []byte, err error) {
	err = c.target.QueryRow(ctx, `SELECT value FROM settings WHERE name = $1`, name).Scan(&value)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return value, err
}

// copyTable copies the rows that the target lacks. Rows are copied in the order of their keys
// and each batch is committed, so a repeated copy skips as many rows as the target has.
func (c *copier) copyTable(ctx context.Context, t copyTable) (copied int, err error) {
	if err := c.makePartitions(ctx, t); err != nil {
		return 0, err
	}
	there := 0
	if t.name != settingsTable { // claim has inserted two of its rows, out of order
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

// insert commits a batch without a wait for the disk: a crash of the server loses only the
// last batches, and the next call copies them again.
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

// finish marks the target as complete. Rows that the stopped server leased become due.
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
		if _, err := tx.Exec(ctx, store.ReleaseLeases); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE settings SET value = $1 WHERE name = $2`, sum, store.CopyMark)
		return err
	})
}
