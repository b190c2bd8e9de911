package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// On PostgreSQL the archive has a partition for each month (UTC), so that the oldest
// goes as a whole and leaves nothing to clean up. SQLite has a table without
// partitions, and none of this does anything there.

// partitionName is the name of a month's partition, as a layout of package time.
const partitionName = "archive_2006_01"

const (
	// partitionLock is the number of the advisory lock that whoever makes or drops
	// partitions holds.
	partitionLock = schemaLock + 1
	// partitionWait bounds how long the archive is waited for, since all who come
	// later then wait as well: a backup that reads it can take its time.
	partitionWait = "100ms"
)

func monthOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}

func nextMonth(month time.Time) time.Time { return month.AddDate(0, 1, 0) }

// Prepare makes room in the archive for what ends now and within the next month,
// before it is needed.
func (db *DB) Prepare(ctx context.Context, now time.Time) error {
	months, err := db.months(ctx)
	if err != nil || months == nil {
		return err
	}
	var missing []time.Time
	this := monthOf(now.UTC())
	for _, m := range []time.Time{this, nextMonth(this)} {
		if !months[m] {
			missing = append(missing, m)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return db.addMonths(ctx, missing)
}

// months are those that have a partition; nil on SQLite.
func (db *DB) months(ctx context.Context) (map[time.Time]bool, error) {
	if !db.postgres() {
		return nil, nil
	}
	rows, err := db.query(ctx, listPartitions)
	if err != nil {
		return nil, fmt.Errorf("list partitions: %w", err)
	}
	return scanMonths(rows)
}

const listPartitions = `SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
	WHERE i.inhparent = 'archive'::regclass`

func scanMonths(rows rows) (map[time.Time]bool, error) {
	defer rows.Close()
	months := map[time.Time]bool{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("list partitions: %w", err)
		}
		if m, err := time.Parse(partitionName, name); err == nil { // others are not ours
			months[m] = true
		}
	}
	return months, rows.Err()
}

// addMonths makes partitions that are not there yet. A table that is filled by
// nobody is attached to the archive, which neither reading nor writing waits for; to
// create it there would be waited for by all.
func (db *DB) addMonths(ctx context.Context, months []time.Time) error {
	err := db.alterArchive(ctx, func(tx *sql.Tx, have map[time.Time]bool) error {
		for _, m := range months {
			if have[m] {
				continue // another node was faster
			}
			name := m.Format(partitionName)
			if _, err := tx.ExecContext(ctx, `CREATE TABLE `+name+` (LIKE archive INCLUDING ALL)`); err != nil {
				return err
			}
			//nolint:gosec // of our own making, and no statement of this kind takes arguments
			attach := fmt.Sprintf(`ALTER TABLE archive ATTACH PARTITION %s FOR VALUES FROM (%d) TO (%d)`, name, millis(m), millis(nextMonth(m)))
			if _, err := tx.ExecContext(ctx, attach); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("add partitions: %w", err)
	}
	return nil
}

// dropMonth drops the oldest partition, if all in it ended until a time. It reports
// whether it did: not while somebody reads the archive at length.
func (db *DB) dropMonth(ctx context.Context, ended time.Time) (dropped bool, err error) {
	months, err := db.months(ctx)
	if err != nil || oldest(months, ended).IsZero() {
		return false, err
	}
	err = db.alterArchive(ctx, func(tx *sql.Tx, have map[time.Time]bool) error {
		month := oldest(have, ended)
		if dropped = !month.IsZero(); !dropped {
			return nil // another node was faster
		}
		_, err := tx.ExecContext(ctx, `DROP TABLE `+month.Format(partitionName))
		return err
	})
	if sqlState(err) == lockNotAvailable {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("drop partition: %w", err)
	}
	return dropped, nil
}

// oldest is the first of the months that were over at a time; zero if none was.
func oldest(months map[time.Time]bool, ended time.Time) (month time.Time) {
	for m := range months {
		if !nextMonth(m).After(ended) && (month.IsZero() || m.Before(month)) {
			month = m
		}
	}
	return month
}

// alterArchive changes the partitions in a transaction of its own, so that no
// request waits behind it in the queue of writes. One node does so at a time, and
// each sees what the one before has made. It is idempotent, and so is run again where its
// connection is lost.
func (db *DB) alterArchive(ctx context.Context, do func(tx *sql.Tx, have map[time.Time]bool) error) error {
	_, err := retry(ctx, db.primary, func() (any, error) { return nil, db.alterArchiveOnce(ctx, do) })
	return err
}

func (db *DB) alterArchiveOnce(ctx context.Context, do func(tx *sql.Tx, have map[time.Time]bool) error) (err error) {
	tx, err := db.pool.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err = db.outage.note(err); err != nil {
		return err
	}
	defer func() {
		if rerr := tx.Rollback(); !errors.Is(rerr, sql.ErrTxDone) && !errors.Is(rerr, pgconn.ErrConnClosed) {
			err = errors.Join(err, rerr)
		}
	}()
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(partitionLock)); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `SET LOCAL lock_timeout = '`+partitionWait+`'`); err != nil {
		return err
	}
	rows, err := tx.QueryContext(ctx, listPartitions) //nolint:rowserrcheck // scanMonths does
	if err != nil {
		return err
	}
	have, err := scanMonths(rows)
	if err != nil {
		return err
	}
	if err := do(tx, have); err != nil {
		return err
	}
	return tx.Commit()
}
