package store

import (
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"countersign/internal/store/driver"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

// verificationColumns are the columns of a verification: the columns for queries, and the
// document. step_at is the next step, due_at the time at which a runner must handle the
// row for due_reason (see verify.Verification.Due).
const verificationColumns = `id, account, address, status, submitted_at, finalized_at, step_at, due_at, due_reason, node, fence, document`

// ErrRunning is wrapped where a verification would be the second in progress for its
// account and address.
var ErrRunning = errors.New("a verification is in progress for this number")

// ErrBroken is wrapped where a verification exists but its row cannot be decoded.
var ErrBroken = errors.New("broken row")

// Save writes the change of a verification: its row, the message ids of its parts, and its
// ledger entries. The history of its number is written by SaveNumberHistory.
func (tx *Tx) Save(c verify.Change) error {
	v, id := &c.Verification, c.Verification.ID // a copy: the row refers to it, so it is on the heap
	doc, err := encodeDocument(v, tx.seal)
	if err == nil {
		err = tx.noteRunning(&c)
	}
	if err != nil {
		return fmt.Errorf("save verification %s: %w", v.ID, err)
	}
	due, why := v.Due()
	node := sql.NullString{String: v.Lease.Node, Valid: v.Lease.Node != ""}
	if c.New {
		err = tx.change(addVerification, id, id[:], v.Account, v.To.Canonical, string(v.Status), millis(v.SubmittedAt), millisOrNull(v.FinalizedAt),
			millisOrNull(v.NextAt), millisOrNull(due), string(why), node, v.Lease.Token, doc)
	} else {
		err = tx.change(saveVerification, id, string(v.Status), millisOrNull(v.FinalizedAt),
			millisOrNull(v.NextAt), millisOrNull(due), string(why), node, v.Lease.Token, doc, id[:])
	}
	if err != nil {
		return fmt.Errorf("save verification %s: %w", v.ID, err)
	}
	for _, ref := range c.Refs {
		if err := tx.saveRef(ref, v.ID); err != nil {
			return err
		}
	}
	for _, e := range c.Entries {
		if err := tx.post(v, e); err != nil {
			return err
		}
	}
	return nil
}

const (
	addVerification  driver.Change = `INSERT INTO verifications (` + verificationColumns + `)`
	saveVerification driver.Change = `UPDATE verifications SET status = new.status, finalized_at = new.finalized_at, step_at = new.step_at,
			due_at = new.due_at, due_reason = new.due_reason, node = new.node, fence = new.fence, document = new.document
		FROM new (status TEXT, finalized_at BIGINT, step_at BIGINT, due_at BIGINT, due_reason TEXT, node TEXT, fence BIGINT, document BYTEA, id BYTEA)
		WHERE verifications.id = new.id`
)

// Renew extends the lease with a fencing token until the given time, but not past the next
// step. It has no effect if the token is stale. It skips a row locked by another transaction
// until the next renewal: renewals and releases lock many rows, and waiting could deadlock.
func (tx *Tx) Renew(id verify.ID, token int64, until time.Time) error {
	delete(tx.loaded, id)
	err := tx.send(`UPDATE verifications SET due_at = CASE WHEN step_at < $1 THEN step_at ELSE $1 END
		WHERE id IN (SELECT id FROM verifications
			WHERE id = $2 AND fence = $3 AND node IS NOT NULL AND due_at < $1`+tx.dialect.Claim+`)`, millis(until), id[:], token)
	if err != nil {
		return fmt.Errorf("renew the lease of verification %s: %w", id, err)
	}
	return nil
}

// Postpone sets the due time of a broken row to until.
func (tx *Tx) Postpone(id verify.ID, until time.Time) error {
	delete(tx.loaded, id)
	return tx.send(`UPDATE verifications SET due_at = $1 WHERE id = $2`, millis(until), id[:])
}

// loaded are the verifications that were locked and loaded before the jobs of a batch
// began. Each is used once, and not after a change.
type loaded map[verify.ID]*verify.Verification

func (l loaded) take(id verify.ID) *verify.Verification {
	v := l[id]
	delete(l, id)
	return v
}

const findVerification = `SELECT ` + verificationColumns + ` FROM verifications WHERE id = $1`

// Verification loads and locks a verification; ok is false if the id does not exist. An error
// wraps ErrBroken if its row cannot be decoded; v then has the columns of the row.
func (tx *Tx) Verification(id verify.ID) (v verify.Verification, ok bool, err error) {
	if v := tx.loaded.take(id); v != nil {
		return *v, true, nil
	}
	return tx.one(findVerification+tx.dialect.Lock, id[:])
}

// FreeVerification is like Verification, but ok is also false for a row that is locked by
// another transaction.
func (tx *Tx) FreeVerification(id verify.ID) (v verify.Verification, ok bool, err error) {
	return tx.one(findVerification+tx.dialect.Claim, id[:])
}

// Running loads and locks the verification in progress for an account and address; ok is
// false if no verification is in progress. The row of the address lists the ids of
// verifications that may be in progress, so a start writes no index of addresses.
func (tx *Tx) Running(account string, to verify.Address) (v verify.Verification, ok bool, err error) {
	row, err := tx.guards.load(tx.guards.key(to.Canonical))
	if err != nil {
		return v, false, err
	}
	for _, id := range slices.Clone(row.running) {
		var (
			owner  string
			status verify.Status
		)
		found, err := tx.queryRow(`SELECT account, status FROM verifications WHERE id = $1`, []any{id[:]}, &owner, &status)
		switch {
		case err != nil:
			return v, false, fmt.Errorf("load verification: %w", err)
		case !found || status != verify.InProgress:
			row.end(id)
			continue
		case owner != account: // skipped without a lock and decoding
			continue
		}
		v, ok, err := tx.Verification(id)
		switch {
		case !ok && err == nil, v.Status != "" && v.Status != verify.InProgress: // also if the row is broken
			row.end(id)
		default:
			return v, ok, err
		}
	}
	return v, false, nil
}

// noteRunning updates the row of the address for a verification that begins or ends. It returns
// ErrRunning for a second verification of the account and address.
func (tx *Tx) noteRunning(c *verify.Change) error {
	key, v := tx.guards.key(c.Verification.To.Canonical), &c.Verification
	switch {
	case c.New:
		if _, found, err := tx.Running(v.Account, v.To); err != nil || found {
			return cmp.Or(err, ErrRunning)
		}
		tx.guards.rows[key].begin(v)
	case v.Status != verify.InProgress && tx.guards.rows[key] != nil:
		tx.guards.rows[key].end(v.ID)
	}
	return nil
}

func (tx *Tx) one(query string, args ...any) (v verify.Verification, ok bool, err error) {
	rows, err := tx.query(query, args...)
	if err != nil {
		return v, false, fmt.Errorf("load verification: %w", err)
	}
	defer rows.Close()
	if !rows.Next() {
		return v, false, rows.Err()
	}
	return complete(rows, tx.seal)
}

// complete reads the current row. After an error v has the decoded part of the row.
func complete(rows driver.Rows, seal *vault.Sealer) (v verify.Verification, ok bool, err error) {
	r, err := scanRow(rows, seal)
	switch {
	case r == nil:
		return v, false, err
	case err != nil:
		return r.Verification, false, err
	}
	return r.Verification, true, rows.Err()
}

// DueRow is a due row with the reason.
type DueRow struct {
	verify.Verification
	Reason verify.Reason
}

// Due loads and locks up to limit due verifications, longest overdue first. It skips rows
// locked by another transaction. broken has the errors of rows that cannot be decoded.
func (tx *Tx) Due(now time.Time, limit int) (due []DueRow, broken map[verify.ID]error, err error) {
	rows, err := tx.query(`SELECT `+verificationColumns+` FROM verifications
		WHERE due_at <= $1 ORDER BY due_at LIMIT $2`+tx.dialect.Claim, millis(now), limit)
	if err != nil {
		return nil, nil, fmt.Errorf("load due verifications: %w", err)
	}
	defer rows.Close()
	broken = map[verify.ID]error{}
	for rows.Next() {
		r, err := scanRow(rows, tx.seal)
		switch {
		case err == nil:
			due = append(due, *r)
		case r != nil:
			broken[r.ID] = err
		default:
			return nil, nil, err
		}
	}
	return due, broken, rows.Err()
}

// all loads the verifications of a query, including rows that cannot be decoded completely.
func (tx *Tx) all(query string, args ...any) (found []verify.Verification, err error) {
	rows, err := tx.query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scanRow(rows, tx.seal)
		if r == nil {
			return nil, err
		}
		found = append(found, r.Verification)
	}
	return found, rows.Err()
}

// scanRow reads one row. With an error that wraps ErrBroken or vault.ErrUnavailable it returns the row
// with its columns, and as much of its document as could be decoded.
func scanRow(from driver.Scanner, seal *vault.Sealer) (*DueRow, error) {
	var (
		r                        DueRow
		address                  string
		id, doc                  []byte
		submitted                int64
		finalized, stepAt, dueAt sql.NullInt64
		node                     sql.NullString
		status                   verify.Status
	)
	if err := from.Scan(&id, &r.Account, &address, &status, &submitted, &finalized, &stepAt, &dueAt, &r.Reason, &node, &r.Lease.Token, &doc); err != nil {
		return nil, fmt.Errorf("read verification: %w", err)
	}
	copy(r.ID[:], id)
	r.Status, r.SubmittedAt, r.FinalizedAt, r.NextAt = status, fromMillis(submitted), fromMillisOrNull(finalized), fromMillisOrNull(stepAt)
	if node.Valid {
		r.Lease.Node, r.Lease.Until = node.String, fromMillisOrNull(dueAt)
	}
	switch err := decodeDocument(&r.Verification, address, doc, seal); {
	case errors.Is(err, vault.ErrUnavailable): // the keys may be available later
		return &r, fmt.Errorf("verification %s: %w", r.ID, err)
	case err != nil:
		return &r, fmt.Errorf("%w: verification %s: %w", ErrBroken, r.ID, err)
	}
	r.Status = status
	return &r, nil
}
