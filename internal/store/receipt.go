package store

import (
	"database/sql"
	"fmt"
	"hash/fnv"
	"io"
	"time"

	"countersign/internal/verify"
)

const partColumns = `attempt, seq, count, carrier, ref, state, error, reported_at`

func scanPart(p *verify.Part) []any {
	return []any{&p.Attempt, &p.Seq, &p.Count, &p.Carrier, &p.Ref, &p.State, &p.Error, &moment{&p.ReportedAt}}
}

// moment reads a time in milliseconds; NULL is the zero time.
type moment struct{ to *time.Time }

// Scan implements sql.Scanner.
func (m *moment) Scan(value any) error {
	var ms sql.NullInt64
	err := ms.Scan(value)
	*m.to = fromMillisOrNull(ms)
	return err
}

// SavePart writes a part of an event under its carrier's id, whatever that stood
// for before. That a carrier took it is no news of a part of which more is known:
// it is said twice after a commit whose outcome was not known.
func (tx *Tx) SavePart(event verify.EventKey, p verify.Part) error {
	if err := tx.lockRef(p.Carrier, p.Ref); err != nil {
		return err
	}
	err := tx.send(`INSERT INTO parts (verification, event_seq, `+partColumns+`) VALUES (`+placeholders(10)+`)
		ON CONFLICT (carrier, ref) DO UPDATE SET verification = excluded.verification, event_seq = excluded.event_seq, attempt = excluded.attempt,
			seq = excluded.seq, count = excluded.count,
			state = CASE WHEN `+sameTaken+` THEN parts.state ELSE excluded.state END,
			error = CASE WHEN `+sameTaken+` THEN parts.error ELSE excluded.error END,
			reported_at = CASE WHEN `+sameTaken+` THEN parts.reported_at ELSE excluded.reported_at END`,
		event.Verification[:], event.Seq, p.Attempt, p.Seq, p.Count, p.Carrier, p.Ref, string(p.State), p.Error, millisOrNull(p.ReportedAt))
	if err != nil {
		return fmt.Errorf("save part of event %s: %w", event, err)
	}
	return nil
}

// lockRef keeps other nodes from what a carrier's id stands for until the
// transaction ends, whether anything is stored of it or not: what says that there
// is nothing must still be true when the receipt, or the part, is written.
func (tx *Tx) lockRef(carrier, ref string) error {
	if tx.lockNumber == "" {
		return nil
	}
	h := fnv.New64a()
	_, _ = io.WriteString(h, carrier+"\x00"+ref) // never fails
	return tx.conn.send(tx.lockNumber, []any{int64(h.Sum64())})
}

const sameTaken = `excluded.state = 'accepted' AND parts.verification = excluded.verification AND parts.event_seq = excluded.event_seq
	AND parts.attempt = excluded.attempt AND parts.seq = excluded.seq`

// Part finds what a carrier took under its id, and the event that it is of.
func (tx *Tx) Part(carrier, ref string) (event verify.EventKey, p verify.Part, ok bool, err error) {
	if err := tx.lockRef(carrier, ref); err != nil {
		return event, p, false, err
	}
	var id []byte
	ok, err = tx.queryRow(`SELECT verification, event_seq, `+partColumns+` FROM parts WHERE carrier = $1 AND ref = $2`,
		[]any{carrier, ref}, append([]any{&id, &event.Seq}, scanPart(&p)...)...)
	copy(event.Verification[:], id)
	return event, p, ok, err
}

// Parts lists what carriers took of an event.
func (tx *Tx) Parts(event verify.EventKey) ([]verify.Part, error) {
	rows, err := tx.query(`SELECT `+partColumns+` FROM parts
		WHERE verification = $1 AND event_seq = $2 ORDER BY attempt, seq`, event.Verification[:], event.Seq)
	if err != nil {
		return nil, fmt.Errorf("load parts: %w", err)
	}
	defer rows.Close()
	var parts []verify.Part
	for rows.Next() {
		var p verify.Part
		if err := rows.Scan(scanPart(&p)...); err != nil {
			return nil, fmt.Errorf("load parts: %w", err)
		}
		parts = append(parts, p)
	}
	return parts, rows.Err()
}

// findParts finds the parts of verifications; a condition on one or several follows.
const findParts = `SELECT verification, event_seq, ` + partColumns + ` FROM parts WHERE verification`

// scanParts reads the rows of findParts.
func scanParts(rows rows, err error) (map[verify.ID][]EventPart, error) {
	if err != nil {
		return nil, fmt.Errorf("load parts: %w", err)
	}
	defer rows.Close()
	parts := map[verify.ID][]EventPart{}
	for rows.Next() {
		var id []byte
		var p EventPart
		if err := rows.Scan(append([]any{&id, &p.Event}, scanPart(&p.Part)...)...); err != nil {
			return nil, fmt.Errorf("load parts: %w", err)
		}
		parts[verify.ID(id)] = append(parts[verify.ID(id)], p)
	}
	return parts, rows.Err()
}

// receiptLife is how long a receipt waits for the message that it is about.
const receiptLife = time.Hour

// waiting is the condition on a receipt that may still find its message. $3 and $4 are
// the times between which it was received: receiptLife ago, and the latest that is not
// from the future.
const waiting = `carrier = $1 AND ref = $2 AND received_at >= $3 AND received_at <= $4`

// KeepReceipt keeps a receipt for which there is no part yet; of several, the one
// that tells the most. ForgetReceipts deletes those that have waited too long.
func (tx *Tx) KeepReceipt(p verify.Part, now time.Time) error {
	if err := tx.lockRef(p.Carrier, p.Ref); err != nil {
		return err
	}
	before, received := verify.Part{Carrier: p.Carrier, Ref: p.Ref}, millis(now)
	ok, err := tx.queryRow(`SELECT state, error, received_at FROM receipts WHERE `+waiting,
		[]any{p.Carrier, p.Ref, millis(now.Add(-receiptLife)), latest(now)}, &before.State, &before.Error, &received)
	if err != nil {
		return fmt.Errorf("find receipt: %w", err)
	}
	if ok {
		p = before.Report(p.State, p.Error)
	}
	err = tx.send(`INSERT INTO receipts (carrier, ref, state, error, received_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (carrier, ref) DO UPDATE SET state = excluded.state, error = excluded.error, received_at = excluded.received_at`,
		p.Carrier, p.Ref, string(p.State), p.Error, received)
	if err != nil {
		return fmt.Errorf("keep receipt: %w", err)
	}
	return nil
}

// TakeReceipt removes and returns the receipt that was kept for a carrier's id.
// One that has waited too long is not about what the id stands for now.
func (tx *Tx) TakeReceipt(carrier, ref string, now time.Time) (p verify.Part, ok bool, err error) {
	p.Carrier, p.Ref = carrier, ref
	if err := tx.lockRef(carrier, ref); err != nil {
		return p, false, err
	}
	ok, err = tx.queryRow(`DELETE FROM receipts WHERE `+waiting+` RETURNING state, error, received_at`,
		[]any{carrier, ref, millis(now.Add(-receiptLife)), latest(now)}, &p.State, &p.Error, &moment{&p.ReportedAt})
	if err != nil {
		return p, false, fmt.Errorf("take receipt: %w", err)
	}
	tx.changed = tx.changed || ok
	return p, ok, nil
}
