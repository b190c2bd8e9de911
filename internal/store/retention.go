package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"countersign/internal/verify"
)

// Redact takes the numbers, and what else tells of a person, out of up to limit
// archived verifications that ended until a time, the oldest first. It reports of
// how many.
func (db *DB) Redact(ctx context.Context, ended time.Time, limit int) (redacted int, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		ids, first, last, err := tx.named(ended, limit)
		redacted = len(ids)
		if err != nil || redacted == 0 {
			return err
		}
		set, err := tx.idSet(ids)
		if err != nil {
			return err
		}
		// The times spare a look at the other partitions.
		return tx.send(`UPDATE archive SET number = NULL, personal = NULL
			WHERE id`+tx.among+` AND finalized_at BETWEEN $2 AND $3`, set, first, last)
	})
	if err != nil {
		return 0, fmt.Errorf("redact: %w", err)
	}
	return redacted, nil
}

// named finds archived verifications that still have their number.
func (tx *Tx) named(ended time.Time, limit int) (ids []verify.ID, first, last int64, err error) {
	rows, err := tx.query(`SELECT id, finalized_at FROM archive
		WHERE number IS NOT NULL AND finalized_at <= $1 ORDER BY finalized_at LIMIT $2`+tx.claim, millis(ended), limit)
	if err != nil {
		return nil, 0, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id, &last); err != nil {
			return nil, 0, 0, err
		}
		if len(ids) == 0 {
			first = last
		}
		ids = append(ids, verify.ID(id))
	}
	return ids, first, last, rows.Err()
}

// Drop forgets archived verifications that ended until a time, the oldest first: up
// to limit of them on SQLite, and on PostgreSQL a month, once all of it may go. more
// reports whether there may be others.
func (db *DB) Drop(ctx context.Context, ended time.Time, limit int) (more bool, err error) {
	if db.postgres() {
		return db.dropMonth(ctx, ended)
	}
	err = db.Write(ctx, func(tx *Tx) error {
		n, err := tx.exec(`DELETE FROM archive WHERE id IN (
			SELECT id FROM archive WHERE finalized_at <= $1 ORDER BY finalized_at LIMIT $2)`, millis(ended), limit)
		more = n == int64(limit)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("drop: %w", err)
	}
	return more, nil
}

// Carry folds up to limit entries of the ledger that were made until a time into
// one for each account, the oldest first, so that the sum stays. It reports how many.
func (db *DB) Carry(ctx context.Context, made time.Time, limit int) (carried int, err error) {
	var account string
	// One look at the index for each account: its first entry but the carried one.
	err = db.queryRow(ctx, `SELECT key FROM accounts WHERE (
			SELECT created_at FROM ledger WHERE account = accounts.key AND kind <> 'carried' ORDER BY created_at LIMIT 1
		) <= $1 ORDER BY key LIMIT 1`, []any{millis(made)}, &account)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("carry the ledger over: %w", err)
	}
	err = db.Write(ctx, func(tx *Tx) (err error) {
		carried, err = tx.carry(account, made, limit)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("carry the ledger over: %w", err)
	}
	return carried, nil
}

// carry takes entries out and adds their sum, in one transaction: whatever happens
// to it, and whoever does the same meanwhile, each entry counts once.
func (tx *Tx) carry(account string, made time.Time, limit int) (carried int, err error) {
	rows, err := tx.query(`DELETE FROM ledger WHERE key IN (
			SELECT key FROM ledger WHERE account = $1 AND created_at <= $2 AND kind <> 'carried'
			ORDER BY created_at LIMIT $3`+tx.take+`)
		RETURNING amount, created_at`, account, millis(made), limit)
	if err != nil {
		return 0, err
	}
	tx.changed = true
	defer rows.Close()
	var sum, newest int64
	for rows.Next() {
		var amount, created int64
		if err := rows.Scan(&amount, &created); err != nil {
			return 0, err
		}
		sum += amount
		newest = max(newest, created)
		carried++
	}
	if err := rows.Err(); err != nil || carried == 0 {
		return 0, err
	}
	return carried, tx.send(`INSERT INTO ledger (key, account, kind, amount, created_at) VALUES ($1, $2, 'carried', $3, $4)
		ON CONFLICT (key) DO UPDATE SET amount = ledger.amount + excluded.amount,
			created_at = CASE WHEN ledger.created_at > excluded.created_at THEN ledger.created_at ELSE excluded.created_at END`,
		"carried/"+account, account, sum, newest)
}

// ForgetMessages deletes up to limit messages of the virtual phone that were sent
// until a time, the oldest first, and reports how many. It looks at no more than
// limit, so one whose clock was ahead keeps those behind it.
func (db *DB) ForgetMessages(ctx context.Context, sent time.Time, limit int) (forgotten int, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		n, err := tx.exec(`DELETE FROM phone_messages WHERE sent_at <= $1 AND seq IN (
			SELECT seq FROM phone_messages ORDER BY seq LIMIT $2`+tx.take+`)`, millis(sent), limit)
		forgotten = int(n)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("forget phone messages: %w", err)
	}
	return forgotten, nil
}

// ForgetReceipts deletes the receipts that have waited too long for their message.
func (db *DB) ForgetReceipts(ctx context.Context, now time.Time) error {
	err := db.Write(ctx, func(tx *Tx) error { return tx.send(tx.forget, millis(now.Add(-receiptLife))) })
	if err != nil {
		return fmt.Errorf("forget receipts: %w", err)
	}
	return nil
}

// OldestEnded is when the verification ended that is next to move to the archive;
// ok is false when all that are over have moved.
func (db *DB) OldestEnded(ctx context.Context) (at time.Time, ok bool, err error) {
	var ms sql.NullInt64
	err = db.queryRow(ctx, `SELECT MIN(finalized_at) FROM verifications WHERE finalized_at IS NOT NULL`, nil, &ms)
	return fromMillisOrNull(ms), ms.Valid, err
}
