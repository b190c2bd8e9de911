package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"countersign/internal/fraud"
	"countersign/internal/store/driver"
	"countersign/internal/verify"
)

// guardKey is the keyed hash of the canonical form of an address.
type guardKey = [16]byte

// guards are the rows of addresses that a batch has loaded, and locked on a shared database.
// Each changed row is written once, with the commit of the batch.
//
// An address without a row cannot be locked. If two nodes add its row at the same time, the
// second insert fails, and the store runs its job again with the row of the first.
type guards struct {
	conn    driver.Writer
	dialect driver.Dialect
	hash    func(number string) guardKey
	keys    map[string]guardKey // cached hashes of numbers
	rows    map[guardKey]*guardRow
}

func newGuards(conn driver.Writer, d driver.Dialect, hash func(string) guardKey) guards {
	return guards{conn, d, hash, map[string]guardKey{}, map[guardKey]*guardRow{}}
}

// reset begins a batch.
func (g *guards) reset() {
	clear(g.keys)
	clear(g.rows)
}

// key returns the key of an address.
func (g *guards) key(number string) guardKey {
	key, ok := g.keys[number]
	if !ok {
		key = g.hash(number)
		g.keys[number] = key
	}
	return key
}

type guardRow struct {
	state   []byte      // encoded fraud.Number; nil without a history
	running []verify.ID // verifications that may be in progress for the address
	staleAt int64       // in milliseconds since 1970, see staleDay
	stored  bool        // the row was loaded from the database
	changed bool
}

// scanGuard reads a row with the columns number, state, running, stale_at.
func scanGuard(from driver.Scanner) (key guardKey, row *guardRow, err error) {
	var number, running []byte
	row = &guardRow{stored: true}
	if err = from.Scan(&number, &row.state, &running, &row.staleAt); err != nil {
		return key, nil, fmt.Errorf("load number history: %w", err)
	}
	row.state = bytes.Clone(row.state)
	copy(key[:], number)
	for id := range slices.Chunk(running, len(verify.ID{})) {
		if len(id) == len(verify.ID{}) {
			row.running = append(row.running, verify.ID(id))
		}
	}
	return key, row, nil
}

// load returns the row of an address. It loads and locks the row if the batch does not have it.
func (g *guards) load(key guardKey) (*guardRow, error) {
	if row := g.rows[key]; row != nil {
		return row, nil
	}
	rows, err := g.conn.Query(`SELECT number, state, running, stale_at FROM guards WHERE number = $1`+g.dialect.Lock, []any{key[:]})
	if err != nil {
		return nil, fmt.Errorf("load number history: %w", err)
	}
	defer rows.Close()
	row := &guardRow{}
	if rows.Next() {
		if _, row, err = scanGuard(rows); err != nil {
			return nil, err
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("load number history: %w", err)
	}
	g.rows[key] = row
	return row, nil
}

// save writes the changed rows in the order of their keys, which avoids deadlocks.
func (g *guards) save() error {
	var changed, added []guardKey
	for key, row := range g.rows {
		switch {
		case !row.changed:
		case row.stored:
			changed = append(changed, key)
		default:
			added = append(added, key)
		}
	}
	byKey := func(a, b guardKey) int { return bytes.Compare(a[:], b[:]) }
	slices.SortFunc(changed, byKey)
	slices.SortFunc(added, byKey)
	if err := g.write(changed, added); err != nil {
		return fmt.Errorf("save number histories: %w", err)
	}
	return nil
}

// columns returns the values of a row for the columns number, state, running, stale_at.
func (g *guards) columns(key guardKey) (number, state, running []byte, staleAt int64) {
	row := g.rows[key]
	for _, id := range row.running {
		running = append(running, id[:]...)
	}
	if state = row.state; state == nil {
		state = fraud.Number{}.Encode()
	}
	return bytes.Clone(key[:]), state, running, row.staleAt
}

// begin adds a new verification of the address.
func (r *guardRow) begin(v *verify.Verification) {
	r.running, r.changed = append(r.running, v.ID), true
	r.staleAt = max(r.staleAt, staleDay(v.SubmittedAt.Add(longestVerification)))
}

// end removes a finished verification. It does not mark the row as changed: Running skips a
// stored id if its verification has ended.
func (r *guardRow) end(id verify.ID) {
	r.running = slices.DeleteFunc(r.running, func(running verify.ID) bool { return running == id })
}

// empty reports whether the history of the address has no uses. A state that cannot be decoded
// is not empty.
func (r *guardRow) empty() bool {
	n, err := decodeNumber(r.state)
	return err == nil && len(n.Uses) == 0
}

// NumberHistory is the stored history of an address.
type NumberHistory struct {
	fraud.Number
	row *guardRow
}

// NumberHistory loads and locks the history of an address. The history of Scope.Number was
// loaded before the transaction began.
func (tx *Tx) NumberHistory(number string) (NumberHistory, error) {
	row, err := tx.guards.load(tx.guards.key(number))
	if err != nil {
		return NumberHistory{}, err
	}
	n, err := decodeNumber(row.state)
	return NumberHistory{n, row}, err
}

func decodeNumber(state []byte) (n fraud.Number, err error) {
	if state == nil {
		return n, nil
	}
	if n, err = fraud.Decode(state); err != nil {
		return n, fmt.Errorf("load number history: %w", err)
	}
	return n, nil
}

// SaveNumberHistory saves a history that this transaction has loaded, and the time from
// which it is stale. An unchanged history is not written.
func (tx *Tx) SaveNumberHistory(h NumberHistory, staleAt time.Time) error {
	state := h.Encode()
	if bytes.Equal(state, h.row.state) || h.row.state == nil && len(h.Uses) == 0 {
		return nil
	}
	tx.changed = true
	h.row.state, h.row.changed, h.row.staleAt = state, true, staleDay(staleAt)
	for _, id := range h.row.running { // out of order if the clock was set back
		h.row.staleAt = max(h.row.staleAt, staleDay(id.Time().Add(longestVerification)))
	}
	return nil
}

// staleDay returns the end of the day (UTC) of a time, in milliseconds since 1970; 0 for the
// zero time.
func staleDay(at time.Time) int64 {
	const day = 24 * time.Hour
	if at.IsZero() {
		return 0
	}
	return millis(at.Truncate(day).Add(day))
}

// HeldNumbers returns the subset of numbers that another transaction has locked. On a shared
// database it locks and loads the histories of the rest. It does not wait for locks: a caller
// with locked rows could deadlock.
func (tx *Tx) HeldNumbers(numbers []string) (held map[string]bool, err error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	keys := make(map[guardKey]bool)
	for _, number := range numbers {
		keys[tx.guards.key(number)] = true
	}
	locked, err := tx.guards.tryLock(keys)
	if err != nil {
		return nil, err
	}
	held = make(map[string]bool)
	for _, number := range numbers {
		held[number] = locked[tx.guards.key(number)]
	}
	return held, nil
}

// ForgetNumberHistory deletes the history of an address, including a history that cannot be
// decoded; found is false if the history is empty.
func (tx *Tx) ForgetNumberHistory(number string) (found bool, err error) {
	key := tx.guards.key(number)
	row, err := tx.guards.load(key)
	if err != nil {
		return false, err
	}
	tx.guards.rows[key], tx.changed = &guardRow{}, true
	if row.stored { // otherwise another node may have added the row, for a new verification
		if _, err := tx.exec(`DELETE FROM guards WHERE number = $1`, key[:]); err != nil {
			return false, fmt.Errorf("forget number history: %w", err)
		}
	}
	return !row.empty(), nil
}

// NumberHistory reads the history of an address without a lock.
func (db *DB) NumberHistory(ctx context.Context, number string) (fraud.Number, error) {
	key := db.seal.HashNumber(number)
	var stored []byte
	err := db.queryRow(ctx, `SELECT state FROM guards WHERE number = $1`, []any{key[:]}, &stored)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fraud.Number{}, fmt.Errorf("load number history: %w", err)
	}
	return decodeNumber(stored)
}

// NumberHistoryWalk is the position of a walk through all histories. The zero value is the
// start of a walk.
type NumberHistoryWalk struct {
	day   int64    // day of the start, in days since 1970
	after guardKey // key of the last history read; no number has the zero key
	done  bool
}

// PruneNumberHistories continues a walk with the next limit histories and deletes the stale
// ones. It returns their number, and more is true until the walk is complete. Histories become
// stale at the end of a day (see staleDay), so each day needs one walk. There is no index of
// stale histories: each message to a new number would write one of its pages at random.
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
		err = db.Write(ctx, Scope{}, func(tx *Tx) error {
			n, err := tx.exec(`DELETE FROM guards WHERE number IN (
				SELECT number FROM guards WHERE number > $1 AND number <= $2 AND stale_at <= $3 ORDER BY number`+tx.dialect.Take+`)`,
				w.after[:], next[:], millis(now))
			forgotten = int(n)
			return err
		})
	}
	if err != nil {
		return 0, false, fmt.Errorf("prune number histories: %w", err)
	}
	w.after, w.done = next, seen < limit
	return forgotten, !w.done, nil
}

// nextGuards reads the limit histories that follow a key. It returns the last key and the
// number of histories that were read and that are stale.
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

// ResetNumberHistory deletes the counts of a number and lifts its locks; found is false
// without counts and locks. Successes and verifications in progress remain.
func (db *DB) ResetNumberHistory(ctx context.Context, number string, caps fraud.Caps, now time.Time) (found bool, err error) {
	err = db.Write(ctx, Scope{Number: number}, func(tx *Tx) error {
		g, err := tx.NumberHistory(number)
		if err != nil {
			return err
		}
		if !caps.Counts(g.Number, now) {
			return errNothing // no change, no audit entry
		}
		g.Number = caps.Cleared(g.Number, now)
		return tx.SaveNumberHistory(g, caps.StaleAt(g.Number))
	})
	if errors.Is(err, errNothing) {
		return false, nil
	}
	return err == nil, err
}
