package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"countersign/internal/fraud"
)

// guardKey stands for a number: a keyed hash.
type guardKey [16]byte

// NumberHistory is what is known of a number, as it lies in the database.
type NumberHistory struct {
	fraud.Number
	key    guardKey
	stored []byte // as it was read; nil where there is no row
}

// NumberHistory loads what is known of a number to change it: until the transaction ends
// nobody else does. A write that says in its [Scope] whose guard it needs finds it
// here without another look at the database.
func (tx *Tx) NumberHistory(number string) (NumberHistory, error) {
	key := tx.seal.hashNumber(number)
	if tx.guards != nil {
		return tx.guards.load(key)
	}
	var stored []byte
	if _, err := tx.queryRow(`SELECT state FROM guards WHERE number = $1`, []any{key[:]}, &stored); err != nil {
		return NumberHistory{}, fmt.Errorf("load guard: %w", err)
	}
	return decodeGuard(key, stored)
}

func decodeGuard(key guardKey, stored []byte) (g NumberHistory, err error) {
	g = NumberHistory{key: key, stored: stored}
	if stored == nil {
		return g, nil
	}
	if g.Number, err = fraud.Decode(stored); err != nil {
		return g, fmt.Errorf("load guard: %w", err)
	}
	return g, nil
}

// SaveNumberHistory writes what became of a guard that was loaded in this transaction, and
// when it may go. It costs nothing where nothing has changed.
func (tx *Tx) SaveNumberHistory(g NumberHistory, staleAt time.Time) error {
	state := g.Encode()
	if bytes.Equal(state, g.stored) || g.stored == nil && len(g.Uses) == 0 {
		return nil
	}
	if tx.guards != nil {
		tx.changed = true
		tx.guards.save(g.key, state, staleDay(staleAt))
		return nil
	}
	err := tx.send(`INSERT INTO guards (number, state, stale_at) VALUES ($1, $2, $3)
		ON CONFLICT (number) DO UPDATE SET state = excluded.state, stale_at = excluded.stale_at`, g.key[:], state, staleDay(staleAt))
	if err != nil {
		return fmt.Errorf("save guard: %w", err)
	}
	return nil
}

// staleDay is the end of the day.
func staleDay(at time.Time) int64 {
	const day = 24 * time.Hour
	if at.IsZero() {
		return 0
	}
	return millis(at.Truncate(day).Add(day))
}

// HeldNumbers tells which of some numbers another transaction works on, so that they
// are better left alone: whoever has locked something else, and waited for them, could
// be waited for himself. The guards of the others are loaded.
func (tx *Tx) HeldNumbers(numbers []string) (held map[string]bool, err error) {
	if tx.guards == nil || len(numbers) == 0 {
		return nil, nil
	}
	keys := make(map[guardKey]bool)
	for _, number := range numbers {
		keys[tx.seal.hashNumber(number)] = true
	}
	if err := tx.guards.tryLock(keys); err != nil {
		return nil, err
	}
	held = make(map[string]bool)
	for _, number := range numbers {
		held[number] = keys[tx.seal.hashNumber(number)]
	}
	return held, nil
}

// ForgetNumberHistory deletes what is known of a number; found is false when that is nothing.
func (tx *Tx) ForgetNumberHistory(number string) (found bool, err error) {
	key := tx.seal.hashNumber(number)
	if tx.guards != nil {
		tx.guards.drop(key)
	}
	n, err := tx.exec(`DELETE FROM guards WHERE number = $1`, key[:])
	if err != nil {
		return false, fmt.Errorf("forget guard: %w", err)
	}
	return n > 0, nil
}

// NumberHistory reads what is known of a number.
func (db *DB) NumberHistory(ctx context.Context, number string) (fraud.Number, error) {
	key := db.seal.hashNumber(number)
	var stored []byte
	err := db.queryRow(ctx, `SELECT state FROM guards WHERE number = $1`, []any{key[:]}, &stored)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fraud.Number{}, fmt.Errorf("load guard: %w", err)
	}
	g, err := decodeGuard(key, stored)
	return g.Number, err
}

// NumberHistoryWalk is how far a walk through all guards has come. The zero value has not begun.
type NumberHistoryWalk struct {
	day   int64    // when it began, in days since 1970
	after guardKey // the last that it has seen; no number has the zero key
	done  bool
}

// PruneNumberHistories goes on with a walk: it looks at the next limit guards, deletes those
// that no longer matter, and reports how many, and whether the walk goes on. Guards go
// stale where a day ends (see staleDay), so each day needs one walk and no more: when it
// is done, nothing happens until a new day. There is no index of what is stale, which
// every message to a new number would have to write to at random.
func (db *DB) PruneNumberHistories(ctx context.Context, w *NumberHistoryWalk, now time.Time, limit int) (forgotten int, more bool, err error) {
	day := spendDay(now)
	switch {
	case w.done && w.day == day:
		return 0, false, nil
	case w.done || w.after == guardKey{}:
		*w = NumberHistoryWalk{day: day}
	}
	next, seen, stale, err := db.nextGuards(ctx, w.after, now, limit)
	if err == nil && stale > 0 {
		err = db.Write(ctx, func(tx *Tx) error {
			n, err := tx.exec(`DELETE FROM guards WHERE number IN (
				SELECT number FROM guards WHERE number > $1 AND number <= $2 AND stale_at <= $3 ORDER BY number`+tx.take+`)`,
				w.after[:], next[:], millis(now))
			forgotten = int(n)
			return err
		})
	}
	if err != nil {
		return 0, false, fmt.Errorf("forget guards: %w", err)
	}
	w.after, w.done = next, seen < limit
	return forgotten, !w.done, nil
}

// nextGuards looks at the limit guards after one, and tells the last, and how many are
// stale.
func (db *DB) nextGuards(ctx context.Context, after guardKey, now time.Time, limit int) (last guardKey, seen, stale int, err error) {
	rows, err := db.query(ctx, `SELECT number, stale_at FROM guards WHERE number > $1 ORDER BY number LIMIT $2`, after[:], limit)
	if err != nil {
		return last, 0, 0, err
	}
	defer rows.Close()
	last = after
	for rows.Next() {
		var number []byte
		var staleAt int64
		if err := rows.Scan(&number, &staleAt); err != nil {
			return last, 0, 0, err
		}
		copy(last[:], number)
		seen++
		if staleAt <= millis(now) {
			stale++
		}
	}
	return last, seen, stale, rows.Err()
}

// ResetNumberHistory forgets what is counted of a number, and lifts its locks; found is false
// when nothing is counted of it and no lock holds.
func (db *DB) ResetNumberHistory(ctx context.Context, number string, caps fraud.Caps, now time.Time) (found bool, err error) {
	err = db.WriteIn(ctx, Scope{Number: number}, func(tx *Tx) error {
		g, err := tx.NumberHistory(number)
		if err != nil {
			return err
		}
		if !caps.Counts(g.Number, now) {
			return errNothing // nor is anything logged
		}
		g.Number = caps.Cleared(g.Number, now)
		return tx.SaveNumberHistory(g, caps.StaleAt(g.Number))
	})
	if errors.Is(err, errNothing) {
		return false, nil
	}
	return err == nil, err
}
