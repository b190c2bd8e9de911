package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// RetentionState is the state of the retention job, which all nodes share. It is stored in
// a row of settings.
type RetentionState struct {
	LastRun   time.Time // time of the last run, by the clock of its node; zero before the first run
	Suspended bool      // deletion by age is off

	// The clock jumped from Before to After. Counted is the running time since then with a
	// plausible clock. All are zero unless Suspended.
	Before, After time.Time
	Counted       time.Duration
}

// ErrNotSuspended is returned by ConfirmRetention when retention is not suspended.
var ErrNotSuspended = errors.New("retention is not suspended")

const retentionRow = "retention"

// retentionJSON is the stored form. Times and durations are in milliseconds.
type retentionJSON struct {
	LastRun   int64 `json:"last_run"`
	Suspended bool  `json:"suspended,omitempty"`
	Before    int64 `json:"before,omitempty"`
	After     int64 `json:"after,omitempty"`
	Counted   int64 `json:"counted,omitempty"`
}

func (s RetentionState) encode() ([]byte, error) {
	stored := retentionJSON{LastRun: millis(s.LastRun)}
	if s.Suspended {
		stored.Suspended, stored.Before, stored.After = true, millis(s.Before), millis(s.After)
		stored.Counted = s.Counted.Milliseconds()
	}
	return json.Marshal(stored)
}

func decodeRetentionState(b []byte) (s RetentionState, err error) {
	if len(b) == 0 { // no run yet
		return s, nil
	}
	var stored retentionJSON
	if err := json.Unmarshal(b, &stored); err != nil {
		return s, fmt.Errorf("read the row %q of settings: %w", retentionRow, err)
	}
	s.LastRun, s.Suspended = fromMillis(stored.LastRun), stored.Suspended
	if s.Suspended {
		s.Before, s.After = fromMillis(stored.Before), fromMillis(stored.After)
		s.Counted = time.Duration(stored.Counted) * time.Millisecond
	}
	return s, nil
}

// RetentionState reads the record. It is zero before the first run.
func (db *DB) RetentionState(ctx context.Context) (RetentionState, error) {
	var stored []byte
	err := db.queryRow(ctx, `SELECT value FROM settings WHERE name = $1`, []any{retentionRow}, &stored)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return RetentionState{}, fmt.Errorf("read the state of retention: %w", err)
	}
	return decodeRetentionState(stored)
}

// ChangeRetentionState replaces the record by the result of change, in one transaction
// across nodes. change may run more than once.
func (db *DB) ChangeRetentionState(ctx context.Context, change func(RetentionState) (RetentionState, error)) error {
	err := db.Write(ctx, Scope{}, func(tx *Tx) error {
		err := tx.send(`INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING`, retentionRow, []byte{})
		if err != nil {
			return err
		}
		var stored []byte
		if _, err := tx.queryRow(`SELECT value FROM settings WHERE name = $1`+tx.dialect.Lock, []any{retentionRow}, &stored); err != nil {
			return err
		}
		state, err := decodeRetentionState(stored)
		if err != nil {
			return err
		}
		if state, err = change(state); err != nil {
			return err
		}
		next, err := state.encode()
		if err != nil {
			return err
		}
		return tx.send(`UPDATE settings SET value = $1 WHERE name = $2`, next, retentionRow)
	})
	if err != nil {
		return fmt.Errorf("change the state of retention: %w", err)
	}
	return nil
}

// ConfirmRetention ends a suspension and takes now as the correct time. Its error wraps
// ErrNotSuspended if retention is active.
func (db *DB) ConfirmRetention(ctx context.Context, now time.Time) error {
	return db.ChangeRetentionState(ctx, func(s RetentionState) (RetentionState, error) {
		if !s.Suspended {
			return s, ErrNotSuspended
		}
		return RetentionState{LastRun: now}, nil
	})
}

// NewestStored returns the newest time in rows that a server writes at least once a day or
// with each request; zero in a new database. It replaces the time of the last run if there
// is no RetentionState. The first data keys of an upgraded installation do not count, since
// the present start may have made them.
func (db *DB) NewestStored(ctx context.Context) (newest time.Time, err error) {
	for _, query := range []string{
		`SELECT MAX(created_at) FROM data_keys WHERE purpose IN ('pin', 'code') AND id <> 0`,
		`SELECT MAX(finalized_at) FROM verifications WHERE finalized_at IS NOT NULL`,
		`SELECT MAX(finalized_at) FROM archive`,
		`SELECT MAX(at) FROM audit`,
		`SELECT MAX(at) FROM fraud_log`,
	} {
		var at sql.NullInt64
		if err := db.queryRow(ctx, query, nil, &at); err != nil {
			return newest, fmt.Errorf("find the newest time: %w", err)
		}
		if t := fromMillisOrNull(at); t.After(newest) {
			newest = t
		}
	}
	return newest, nil
}

// HastenFuture makes up to limit verifications due whose due time is from the future: a
// step or the end of a lease later than any verification lasts. It returns their number.
func (db *DB) HastenFuture(ctx context.Context, now time.Time, limit int) (hastened int, err error) {
	err = db.Write(ctx, Scope{}, func(tx *Tx) error {
		n, err := tx.exec(`UPDATE verifications SET due_at = $1 WHERE id IN (
			SELECT id FROM verifications WHERE due_at > $2 ORDER BY due_at LIMIT $3`+tx.dialect.Claim+`)`,
			millis(now), surelyFuture(now), limit)
		hastened = int(n)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("hasten verifications from the future: %w", err)
	}
	return hastened, nil
}
