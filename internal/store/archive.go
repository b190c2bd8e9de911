package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"countersign/internal/store/driver"
	"countersign/internal/verify"
)

// Cutoffs are the ends of the retention periods: each applies to verifications that ended at
// or before it. The zero time applies to no verification.
type Cutoffs struct {
	Codes   time.Time // move to the archive, which has no codes
	Numbers time.Time // erase numbers and other personal data
	History time.Time // delete
}

// Archive moves up to limit verifications that ended at or before c.Codes to the archive,
// oldest first, and returns their number. It deletes verifications that are too old for the
// archive, and skips verifications with a lease.
func (db *DB) Archive(ctx context.Context, c Cutoffs, limit int) (moved int, err error) {
	moved, err = db.move(ctx, c, func(tx *Tx) ([]verify.Verification, error) { return tx.ended(c.Codes, limit) })
	if err != nil {
		return 0, fmt.Errorf("archive: %w", err)
	}
	return moved, nil
}

// move moves the verifications of find to the archive, in one transaction.
func (db *DB) move(ctx context.Context, c Cutoffs, find func(*Tx) ([]verify.Verification, error)) (moved int, err error) {
	for {
		partitioned, err := db.engine.Partitioned(ctx, archiveTable)
		if err != nil {
			return 0, err
		}
		var missing []time.Time
		err = db.Write(ctx, Scope{}, func(tx *Tx) error {
			found, err := find(tx)
			if err != nil {
				return err
			}
			moved, missing = len(found), withoutPartition(found, partitioned, c.History)
			if moved == 0 || len(missing) > 0 {
				return nil
			}
			return tx.moveToArchive(found, c)
		})
		if err != nil {
			return 0, err
		}
		if len(missing) == 0 {
			return moved, nil
		}
		if err := db.engine.AddPartitions(ctx, archiveTable, missing...); err != nil {
			return 0, err
		}
	}
}

// withoutPartition lists the ends of verifications that the archive has no partition for.
func withoutPartition(list []verify.Verification, partitioned func(time.Time) bool, history time.Time) (missing []time.Time) {
	for _, v := range list {
		if at := v.FinalizedAt; !partitioned(at) && !reached(at, history) {
			missing = append(missing, at)
		}
	}
	return missing
}

// archiveTable may have a partition for each month.
const archiveTable = "archive"

// Prepare makes room in the archive for the verifications that end now and within the next
// month, before they end.
func (db *DB) Prepare(ctx context.Context, now time.Time) error {
	now = now.UTC()
	next := time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC)
	return db.engine.AddPartitions(ctx, archiveTable, now, next)
}

func (tx *Tx) moveToArchive(list []verify.Verification, c Cutoffs) error {
	ids := make([]verify.ID, len(list))
	for i := range list {
		v := &list[i]
		ids[i] = v.ID
		if err := tx.deleteRefs(v); err != nil {
			return err
		}
		if reached(v.FinalizedAt, c.History) {
			continue
		}
		if err := tx.insertArchive(v, reached(v.FinalizedAt, c.Numbers)); err != nil {
			return err
		}
	}
	set, err := tx.idSet(ids)
	if err != nil {
		return err
	}
	return tx.send(`DELETE FROM verifications WHERE id`+tx.dialect.Among, set)
}

// reached reports whether a cutoff is at t or after it.
func reached(t, cutoff time.Time) bool { return !cutoff.IsZero() && !t.After(cutoff) }

// ended loads the verifications that ended at or before a time and have no lease. They include
// rows that cannot be decoded, with their columns only.
func (tx *Tx) ended(until time.Time, limit int) (found []verify.Verification, err error) {
	found, err = tx.all(`SELECT `+verificationColumns+` FROM verifications
		WHERE finalized_at <= $1 AND due_at IS NULL ORDER BY finalized_at LIMIT $2`+tx.dialect.Take, millis(until), limit)
	if err != nil {
		return nil, fmt.Errorf("load ended verifications: %w", err)
	}
	return found, nil
}

// insertArchive adds a verification to the archive; anonymous, without personal data.
func (tx *Tx) insertArchive(v *verify.Verification, anonymous bool) error {
	doc, err := encodeDocument(v, nil)
	if err != nil {
		return err
	}
	var address sql.NullString
	var personal []byte
	if !anonymous {
		address = sql.NullString{String: v.To.Canonical, Valid: true}
		if personal, err = encodePersonal(v); err != nil {
			return err
		}
	}
	err = tx.send(`INSERT INTO archive (id, account, address, finalized_at, submitted_at, personal, document)
		VALUES (`+placeholders(7)+`)`,
		v.ID[:], v.Account, address, millis(v.FinalizedAt), millis(v.SubmittedAt), personal, doc)
	if err != nil {
		return fmt.Errorf("archive verification %s: %w", v.ID, err)
	}
	return nil
}

const findArchived = `SELECT account, address, finalized_at, submitted_at, personal, document FROM archive WHERE id = $1`

// archived reads the row of findArchived; ok is false for an empty result. The query
// searches all partitions, one for each month of retention.
func archived(rows driver.Rows, id verify.ID) (v verify.Verification, ok bool, err error) {
	var (
		address              sql.NullString
		personal, doc        []byte
		finalized, submitted int64
	)
	if !rows.Next() {
		return v, false, rows.Err()
	}
	if err := rows.Scan(&v.Account, &address, &finalized, &submitted, &personal, &doc); err != nil {
		return v, false, fmt.Errorf("search the archive: %w", err)
	}
	v.ID = id
	v.FinalizedAt, v.SubmittedAt = fromMillis(finalized), fromMillis(submitted)
	err = decodeDocument(&v, address.String, doc, nil)
	if err == nil && personal != nil {
		err = decodePersonal(&v, personal)
	}
	if err != nil {
		return v, false, fmt.Errorf("verification %s in the archive: %w", id, err)
	}
	return v, true, rows.Err()
}
