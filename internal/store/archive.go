package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"countersign/internal/verify"
)

// Cutoffs are the times up to which verifications that ended lose something, or all.
// A zero time is before all of them.
type Cutoffs struct {
	Codes   time.Time // they move to the archive, which has no codes
	Numbers time.Time // their numbers go, and what else tells of a person
	History time.Time // they go
}

// Archive moves up to limit verifications that ended until c.Codes from the tables
// that requests use to the archive, the oldest first, and reports how many. What is
// too old for the archive goes at once. Those that a node holds stay.
func (db *DB) Archive(ctx context.Context, c Cutoffs, limit int) (moved int, err error) {
	moved, err = db.move(ctx, c, func(tx *Tx) ([]*Row, error) { return tx.ended(c.Codes, limit) })
	if err != nil {
		return 0, fmt.Errorf("archive: %w", err)
	}
	return moved, nil
}

// move moves what find finds to the archive, in one transaction.
func (db *DB) move(ctx context.Context, c Cutoffs, find func(*Tx) ([]*Row, error)) (moved int, err error) {
	for {
		months, err := db.months(ctx)
		if err != nil {
			return 0, err
		}
		var b archiveBatch
		err = db.Write(ctx, func(tx *Tx) error {
			b = archiveBatch{cutoffs: c, find: find, months: months}
			return b.move(tx)
		})
		if err != nil {
			return 0, err
		}
		if len(b.missing) == 0 {
			return len(b.rows), nil
		}
		if err := db.addMonths(ctx, b.missing); err != nil {
			return 0, err
		}
	}
}

// archiveBatch is what moves in one transaction.
type archiveBatch struct {
	cutoffs Cutoffs
	find    func(*Tx) ([]*Row, error)
	months  map[time.Time]bool // that have a partition; nil where none is needed
	missing []time.Time        // months without one: then nothing has moved

	rows   []*Row
	events map[verify.ID][]verify.Event
	parts  map[verify.ID][]EventPart
	checks map[verify.ID][]verify.Check // without codes
}

func (b *archiveBatch) move(tx *Tx) error {
	if err := b.load(tx); err != nil || len(b.rows) == 0 || len(b.missing) > 0 {
		return err
	}
	for _, r := range b.rows {
		if reached(r.FinalizedAt, b.cutoffs.History) {
			continue
		}
		if err := tx.insertArchive(r, b.events[r.ID], b.parts[r.ID], b.checks[r.ID], reached(r.FinalizedAt, b.cutoffs.Numbers)); err != nil {
			return err
		}
	}
	set, err := tx.idSet(ids(b.rows))
	if err != nil {
		return err
	}
	for _, query := range []string{
		`DELETE FROM parts WHERE verification` + tx.among,
		`DELETE FROM events WHERE verification` + tx.among,
		`DELETE FROM checks WHERE verification` + tx.among,
		`DELETE FROM verifications WHERE id` + tx.among,
	} {
		if err := tx.send(query, set); err != nil {
			return err
		}
	}
	return nil
}

// reached reports whether a cutoff is at t or after it.
func reached(t, cutoff time.Time) bool { return !cutoff.IsZero() && !t.After(cutoff) }

func ids(rows []*Row) []verify.ID {
	list := make([]verify.ID, len(rows))
	for i, r := range rows {
		list[i] = r.ID
	}
	return list
}

// load finds what is to move. A verification of which somebody else holds a row
// stays: whoever is told of its events locks them before it, and neither must wait
// for the other.
func (b *archiveBatch) load(tx *Tx) error {
	found, err := b.find(tx)
	if err != nil || len(found) == 0 {
		return err
	}
	set, err := tx.idSet(ids(found))
	if err != nil {
		return err
	}
	rows, err := tx.query(`SELECT `+eventColumns+` FROM events WHERE verification`+tx.among+` ORDER BY verification, seq`+tx.take, set)
	events, err := scanEvents(rows, err)
	if err != nil {
		return err
	}
	b.events = map[verify.ID][]verify.Event{}
	for _, e := range events {
		b.events[e.Verification] = append(b.events[e.Verification], e)
	}
	if b.parts, err = scanParts(tx.query(findParts+tx.among+` ORDER BY attempt, seq`, set)); err != nil {
		return err
	}
	if b.checks, err = tx.checksWithoutCodes(set); err != nil {
		return err
	}
	missing := map[time.Time]bool{}
	for _, r := range found {
		if len(b.events[r.ID]) < r.Events {
			continue
		}
		b.rows = append(b.rows, r)
		if m := monthOf(r.FinalizedAt); b.months != nil && !b.months[m] && !missing[m] && !reached(r.FinalizedAt, b.cutoffs.History) {
			missing[m] = true
			b.missing = append(b.missing, m)
		}
	}
	return nil
}

// ended loads the verifications that ended until a time and that no node holds. One
// that cannot be read in full is over nevertheless, and what can be read is kept.
func (tx *Tx) ended(until time.Time, limit int) (found []*Row, err error) {
	found, err = tx.rows(`SELECT `+verificationColumns+` FROM verifications
		WHERE finalized_at <= $1 AND due_at IS NULL ORDER BY finalized_at LIMIT $2`+tx.take, millis(until), limit)
	if err != nil {
		return nil, fmt.Errorf("load ended verifications: %w", err)
	}
	return found, nil
}

func (tx *Tx) checksWithoutCodes(set any) (map[verify.ID][]verify.Check, error) {
	rows, err := tx.query(`SELECT verification, generation, valid, ip_address, received_at
		FROM checks WHERE verification`+tx.among+` ORDER BY verification, seq`, set)
	if err != nil {
		return nil, fmt.Errorf("load checks: %w", err)
	}
	defer rows.Close()
	checks := map[verify.ID][]verify.Check{}
	for rows.Next() {
		var c verify.Check
		var id []byte
		var received int64
		if err := rows.Scan(&id, &c.Generation, &c.Valid, &c.IPAddress, &received); err != nil {
			return nil, fmt.Errorf("load checks: %w", err)
		}
		copy(c.Verification[:], id)
		c.ReceivedAt = fromMillis(received)
		checks[c.Verification] = append(checks[c.Verification], c)
	}
	return checks, rows.Err()
}

// insertArchive adds a verification to the archive; anonymous, without what tells of
// a person.
func (tx *Tx) insertArchive(r *Row, events []verify.Event, parts []EventPart, checks []verify.Check, anonymous bool) error {
	doc, err := encodeDocument(r.Verification, events, parts, checks)
	if err != nil {
		return err
	}
	var number, personal sql.NullString
	if !anonymous {
		number = sql.NullString{String: r.Number, Valid: true}
		if personal, err = encodePersonal(r.Verification, checks); err != nil {
			return err
		}
	}
	err = tx.send(`INSERT INTO archive (id, account, number, finalized_at, submitted_at, price, personal, document)
		VALUES (`+placeholders(8)+`)`,
		r.ID[:], r.Account, number, millis(r.FinalizedAt), millis(r.SubmittedAt), int64(r.Charged()), personal, doc)
	if err != nil {
		return fmt.Errorf("archive verification %s: %w", r.ID, err)
	}
	return nil
}

// queryArchive finds a verification that has moved. Its id is looked for in each
// partition, of which there are as many as months are kept.
func queryArchive(ctx context.Context, tx *sql.Tx, account string, id verify.ID) (rec Record, ok bool, err error) {
	var (
		number, personal     sql.NullString
		doc                  string
		finalized, submitted int64
	)
	rows, err := tx.QueryContext(ctx, `SELECT number, finalized_at, submitted_at, price, personal, document
		FROM archive WHERE id = $1 AND account = $2`, id[:], account)
	if err != nil {
		return rec, false, fmt.Errorf("search the archive: %w", err)
	}
	defer rows.Close()
	if !rows.Next() {
		return rec, false, rows.Err()
	}
	if err := rows.Scan(&number, &finalized, &submitted, &rec.Price, &personal, &doc); err != nil {
		return rec, false, fmt.Errorf("search the archive: %w", err)
	}
	rec.ID, rec.Account, rec.Number, rec.Paid = id, account, number.String, true // what was not paid is 0 there
	rec.FinalizedAt, rec.SubmittedAt = fromMillis(finalized), fromMillis(submitted)
	var d document
	if err := json.Unmarshal([]byte(doc), &d); err != nil {
		return rec, false, fmt.Errorf("verification %s in the archive: %w", id, err)
	}
	if err := d.fill(&rec); err != nil {
		return rec, false, fmt.Errorf("verification %s in the archive: %w", id, err)
	}
	if personal.Valid {
		if err := fillPersonal(&rec, personal.String); err != nil {
			return rec, false, fmt.Errorf("verification %s in the archive: %w", id, err)
		}
	}
	return rec, true, rows.Err()
}
