package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"countersign/internal/store/driver"
)

// A partitioned table has a partition for each month (UTC) of a column with milliseconds. The
// oldest partition is dropped as a whole and leaves no dead rows.

// partitionWait is the longest wait for the lock of a partitioned table: all later users of
// the table wait as well. A backup may read it for a long time.
const partitionWait = "100ms"

// monthLayout is the end of the name of a partition, as a layout of package time.
const monthLayout = "_2006_01"

// PartitionName returns the name of the partition of a month, such as archive_2026_11.
func PartitionName(table string, month time.Time) string { return table + month.Format(monthLayout) }

// PartitionBounds returns the clause FOR VALUES of the partition of a month.
func PartitionBounds(month time.Time) string {
	return fmt.Sprintf(`FOR VALUES FROM (%d) TO (%d)`, month.UnixMilli(), NextMonth(month).UnixMilli())
}

// Month returns the beginning of the month of t in UTC.
func Month(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}

// NextMonth returns the beginning of the month after a month.
func NextMonth(month time.Time) time.Time { return month.AddDate(0, 1, 0) }

// Partitioned returns a function that reports whether the month of a time has a partition.
func (e *Engine) Partitioned(ctx context.Context, table string) (covers func(time.Time) bool, err error) {
	months, err := e.months(ctx, table)
	return func(t time.Time) bool { return months[Month(t)] }, err
}

// AddPartitions makes the partitions of the months of some times, if they do not exist. It
// attaches an empty table to the partitioned one, for which neither readers nor writers wait.
// They would wait for CREATE TABLE … PARTITION OF.
func (e *Engine) AddPartitions(ctx context.Context, table string, times ...time.Time) error {
	have, err := e.months(ctx, table)
	if err != nil {
		return err
	}
	var months []time.Time
	for _, t := range times {
		if m := Month(t); !have[m] && !slices.Contains(months, m) {
			months = append(months, m)
		}
	}
	if len(months) == 0 {
		return nil
	}
	err = e.alter(ctx, table, func(tx *sql.Tx, have map[time.Time]bool) error {
		for _, m := range months {
			if have[m] {
				continue // possibly made by another node
			}
			name := PartitionName(table, m)
			if _, err := tx.ExecContext(ctx, `CREATE TABLE `+name+` (LIKE `+table+` INCLUDING ALL)`); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `ALTER TABLE `+table+` ATTACH PARTITION `+name+` `+PartitionBounds(m)); err != nil {
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

// DropPartition drops the oldest partition if its month was over at a time. dropped is also
// false while a reader has the table.
func (e *Engine) DropPartition(ctx context.Context, table string, over time.Time) (dropped, partitioned bool, err error) {
	months, err := e.months(ctx, table)
	if err != nil || oldest(months, over).IsZero() {
		return false, true, err
	}
	err = e.alter(ctx, table, func(tx *sql.Tx, have map[time.Time]bool) error {
		month := oldest(have, over)
		if dropped = !month.IsZero(); !dropped {
			return nil // dropped by another node
		}
		_, err := tx.ExecContext(ctx, `DROP TABLE `+PartitionName(table, month))
		return err
	})
	switch {
	case SQLState(err) == LockNotAvailable:
		return false, true, nil
	case err != nil:
		return false, true, fmt.Errorf("drop partition: %w", err)
	}
	return dropped, true, nil
}

// oldest returns the first of the months that were over at a time, or the zero time.
func oldest(months map[time.Time]bool, over time.Time) (month time.Time) {
	for m := range months {
		if !NextMonth(m).After(over) && (month.IsZero() || m.Before(month)) {
			month = m
		}
	}
	return month
}

// months returns the months that have a partition.
func (e *Engine) months(ctx context.Context, table string) (map[time.Time]bool, error) {
	rows, err := e.Query(ctx, listPartitions, table)
	if err != nil {
		return nil, fmt.Errorf("list partitions: %w", err)
	}
	return scanMonths(rows, table)
}

const listPartitions = `SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
	WHERE i.inhparent = $1::TEXT::regclass`

func scanMonths(rows driver.Rows, table string) (map[time.Time]bool, error) {
	defer rows.Close()
	months := map[time.Time]bool{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("list partitions: %w", err)
		}
		if m, err := time.Parse(table+monthLayout, name); err == nil { // other names are not partitions of this program
			months[m] = true
		}
	}
	return months, rows.Err()
}

// alter changes the partitions of a table in a separate transaction, outside of the queue
// of writes, so that no request waits for it. One node at a time does so, and reads the
// changes of the previous one. do is idempotent, so alter repeats it after the loss of its
// connection.
func (e *Engine) alter(ctx context.Context, table string, do func(tx *sql.Tx, have map[time.Time]bool) error) error {
	_, err := retry(ctx, e.primary, func() (any, error) { return nil, e.alterOnce(ctx, table, do) })
	return err
}

func (e *Engine) alterOnce(ctx context.Context, table string, do func(tx *sql.Tx, have map[time.Time]bool) error) (err error) {
	tx, err := e.pool.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err = e.outage.note(err); err != nil {
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
	rows, err := tx.QueryContext(ctx, listPartitions, table) //nolint:rowserrcheck // scanMonths does
	if err != nil {
		return err
	}
	have, err := scanMonths(rows, table)
	if err != nil {
		return err
	}
	if err := do(tx, have); err != nil {
		return err
	}
	return tx.Commit()
}
