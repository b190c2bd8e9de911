package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"countersign/internal/verify"
)

// Forget configures the erasure of a number.
type Forget struct {
	Number  string
	Cancel  bool // ends verifications in progress; otherwise they refuse the erasure
	Unblock bool // also removes the number from the block list
}

// Forgotten is the result of ForgetNumber.
type Forgotten struct {
	Cancelled     int  // verifications in progress that were ended
	Verifications int  // finished verifications that moved to the archive, Cancelled included
	Archived      int  // archived verifications that had the number
	Messages      int  // messages of the virtual phone, deleted
	Refusals      int  // rows of refused starts, deleted
	Approved      int  // approvals of trial accounts, deleted
	Guarded       bool // the number had a history for its caps; it was deleted
	Unblocked     bool
	Blocked       bool // the number is on the block list and stays on it
	Held          int  // verifications leased by a node; repeat the call for them
}

// forgetBatch bounds the rows that one transaction changes: concurrent requests wait for
// it.
const forgetBatch = 50

// ForgetNumber erases a number, in both forms if its plan has two, from all finished
// verifications. It also erases codes, IP addresses and payee, as Redact does at the end of
// retention. Outcome and cost remain. If a verification is in progress it makes no change
// and returns an error wrapping ErrRunning: the engine ends them first, if Cancel is set.
// It is idempotent.
func (db *DB) ForgetNumber(ctx context.Context, f Forget, now time.Time) (done Forgotten, err error) {
	for _, step := range []func(context.Context, Forget, time.Time, *Forgotten) error{
		db.forgetRules, db.forgetOver, db.forgetArchived, db.forgetMessages, db.forgetRefusals, db.forgetLog,
	} {
		if err := step(ctx, f, now, &done); err != nil {
			return done, fmt.Errorf("forget number: %w", err)
		}
	}
	return done, nil
}

// forgetRules deletes the rules about the number, unless a verification is in progress. It
// runs first, so that a refusal makes no change.
func (db *DB) forgetRules(ctx context.Context, f Forget, _ time.Time, done *Forgotten) error {
	var changes []topic
	canonical, other := verify.NumberForms(f.Number)
	err := db.Write(ctx, Scope{Number: f.Number}, func(tx *Tx) (err error) {
		*done, changes = Forgotten{}, nil
		running, err := tx.RunningOf(f.Number)
		if err == nil && len(running) > 0 {
			err = ErrRunning
		}
		if err != nil {
			return err
		}
		if done.Guarded, err = tx.ForgetNumberHistory(f.Number); err != nil {
			return err
		}
		approved, err := tx.exec(`DELETE FROM approved_numbers WHERE number IN ($1, $2)`, canonical, other)
		if err != nil {
			return err
		}
		done.Approved = int(approved)
		if f.Unblock {
			n, err := tx.exec(`DELETE FROM blocked_numbers WHERE number IN ($1, $2)`, canonical, other)
			if done.Unblocked = n > 0; done.Unblocked {
				changes = []topic{ofBlocked}
			}
			if err != nil {
				return err
			}
			return tx.bumpVersions(changes...)
		}
		var one int
		done.Blocked, err = tx.queryRow(`SELECT 1 FROM blocked_numbers WHERE number IN ($1, $2)`, []any{canonical, other}, &one)
		return err
	})
	db.waitForNodes(ctx, err, changes...)
	return err
}

// findRunningOf reads the index of rows that have a due time: each verification in progress
// has one, and few others do.
const findRunningOf = `SELECT ` + verificationColumns + ` FROM verifications
	WHERE status = 'IN PROGRESS' AND id IN (SELECT id FROM verifications WHERE address = $1 AND due_at >= 0) ORDER BY id`

// RunningOf loads and locks the verifications in progress of a number, in all its forms.
func (tx *Tx) RunningOf(number string) ([]verify.Verification, error) {
	return tx.all(findRunningOf+tx.dialect.Lock, verify.CanonicalNumber(number))
}

// forgetOver moves finished verifications to the archive, without the number.
func (db *DB) forgetOver(ctx context.Context, f Forget, now time.Time, done *Forgotten) error {
	return db.eachOf(ctx, "verifications", f.Number, now, func(ids []verify.ID) error {
		moved, err := db.move(ctx, Cutoffs{Numbers: now.Add(longestVerification)}, func(tx *Tx) ([]verify.Verification, error) {
			set, err := tx.idSet(ids)
			if err != nil {
				return nil, err
			}
			return tx.all(`SELECT `+verificationColumns+` FROM verifications
				WHERE id`+tx.dialect.Among+` AND finalized_at IS NOT NULL AND due_at IS NULL`+tx.dialect.Take, set)
		})
		done.Verifications += moved
		done.Held += len(ids) - moved
		return err
	})
}

func (db *DB) forgetArchived(ctx context.Context, f Forget, now time.Time, done *Forgotten) error {
	return db.eachOf(ctx, "archive", f.Number, now, func(ids []verify.ID) error {
		var changed int64
		err := db.Write(ctx, Scope{}, func(tx *Tx) error {
			set, err := tx.idSet(ids)
			if err != nil {
				return err
			}
			changed, err = tx.exec(`UPDATE archive SET address = NULL, personal = NULL WHERE id`+tx.dialect.Among, set)
			return err
		})
		done.Archived += int(changed)
		return err
	})
}

func (db *DB) forgetMessages(ctx context.Context, f Forget, _ time.Time, done *Forgotten) error {
	return db.deleteRows(ctx, "phone_messages", "seq", f.Number, &done.Messages)
}

// deleteRows deletes the rows of a table with a number, in either of its forms, and adds
// their count to deleted. key is the column that identifies a row. Each batch is a separate
// transaction.
func (db *DB) deleteRows(ctx context.Context, table, key, number string, deleted *int) error {
	canonical, other := verify.NumberForms(number)
	for more := true; more; {
		var n int64
		err := db.Write(ctx, Scope{}, func(tx *Tx) (err error) {
			n, err = tx.exec(`DELETE FROM `+table+` WHERE `+key+` IN (
				SELECT `+key+` FROM `+table+` WHERE number IN ($1, $2) ORDER BY `+key+` LIMIT $3`+tx.dialect.Take+`)`, canonical, other, forgetBatch)
			return err
		})
		if err != nil {
			return err
		}
		*deleted += int(n)
		more = n == forgetBatch
	}
	return nil
}

// forgetLog removes old versions of pages from the write-ahead log of a file.
func (db *DB) forgetLog(ctx context.Context, _ Forget, _ time.Time, _ *Forgotten) error {
	return db.engine.EmptyLog(ctx)
}

// eachOf finds the finished verifications of a number in a table, a few at a time.
// Numbers have no index, since each request would have to maintain it. So it reads short
// windows of end times, one after the other.
func (db *DB) eachOf(ctx context.Context, table, number string, now time.Time, do func([]verify.ID) error) error {
	var oldest sql.NullInt64
	if err := db.queryRow(ctx, `SELECT MIN(finalized_at) FROM `+table+` WHERE finalized_at IS NOT NULL`, nil, &oldest); err != nil || !oldest.Valid {
		return err
	}
	address := verify.CanonicalNumber(number)
	window := time.Hour
	until := now.Add(longestVerification) // the clock of another node may be ahead
	for from := fromMillis(oldest.Int64); !from.After(until); {
		to, began := from.Add(window), time.Now()
		ids, err := db.idsOf(ctx, `SELECT id FROM `+table+` WHERE finalized_at >= $1 AND finalized_at < $2 AND address = $3`,
			millis(from), millis(to), address)
		if err != nil {
			return err
		}
		switch took := time.Since(began); {
		case took < 50*time.Millisecond:
			window *= 2
		case took > time.Second:
			window = max(window/2, time.Minute)
		}
		for ; len(ids) > 0; ids = ids[min(len(ids), forgetBatch):] {
			if err := do(ids[:min(len(ids), forgetBatch)]); err != nil {
				return err
			}
		}
		from = to
	}
	return nil
}

func (db *DB) idsOf(ctx context.Context, query string, args ...any) (ids []verify.ID, err error) {
	rows, err := db.query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, verify.ID(id))
	}
	return ids, rows.Err()
}
