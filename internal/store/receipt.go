package store

import (
	"fmt"
	"hash/fnv"
	"io"
	"time"

	"countersign/internal/store/driver"
	"countersign/internal/verify"
)

// saveRef adds a carrier's message id to the index, in place of any other message with the
// same id.
func (tx *Tx) saveRef(ref verify.Ref, id verify.ID) error {
	delete(tx.refs, storedRef(ref))
	err := tx.send(`INSERT INTO message_ids (carrier, ref, verification) VALUES ($1, $2, $3)
		ON CONFLICT (carrier, ref) DO UPDATE SET verification = excluded.verification`, ref.Carrier, ref.ID, id[:])
	if err != nil {
		return fmt.Errorf("index message %s of carrier %s: %w", ref.ID, ref.Carrier, err)
	}
	return nil
}

// storedRef returns a message id as PostgreSQL stores it.
func storedRef(ref verify.Ref) verify.Ref {
	return verify.Ref{Carrier: driver.Text(ref.Carrier), ID: driver.Text(ref.ID)}
}

// deleteRefs removes the message ids of a verification from the index.
func (tx *Tx) deleteRefs(v *verify.Verification) error {
	for _, e := range v.Events {
		for _, p := range e.Parts {
			delete(tx.refs, storedRef(verify.Ref{Carrier: p.Carrier, ID: p.Ref}))
			err := tx.send(`DELETE FROM message_ids WHERE carrier = $1 AND ref = $2 AND verification = $3`, p.Carrier, p.Ref, v.ID[:])
			if err != nil {
				return fmt.Errorf("delete message %s of carrier %s from the index: %w", p.Ref, p.Carrier, err)
			}
		}
	}
	return nil
}

// LockRef locks a carrier's message id against other nodes until the transaction ends,
// also if no row has it.
func (tx *Tx) LockRef(ref verify.Ref) error {
	if !tx.dialect.Shared {
		return nil
	}
	h := fnv.New64a()
	_, _ = io.WriteString(h, ref.Carrier+"\x00"+ref.ID) // never fails
	return tx.conn.Send(tx.dialect.LockNumber, []any{int64(h.Sum64())})
}

// VerificationOf finds the verification with a carrier's message id; ok is false for an
// unknown id.
func (tx *Tx) VerificationOf(ref verify.Ref) (id verify.ID, ok bool, err error) {
	if id, ok = tx.refs[storedRef(ref)]; ok {
		return id, true, nil
	}
	var found []byte
	ok, err = tx.queryRow(`SELECT verification FROM message_ids WHERE carrier = $1 AND ref = $2`, []any{ref.Carrier, ref.ID}, &found)
	if err != nil {
		return id, false, fmt.Errorf("find message %s of carrier %s: %w", ref.ID, ref.Carrier, err)
	}
	copy(id[:], found)
	return id, ok, nil
}

// receiptLife is the time for which an early receipt is kept.
const receiptLife = time.Hour

// waiting is the condition on an early receipt that can still match its message. $3 and
// $4 bound the time of its receipt: now less receiptLife, and the latest time that is not
// in the future.
const waiting = `carrier = $1 AND ref = $2 AND received_at >= $3 AND received_at <= $4`

// KeepReceipt keeps a receipt without a known message. Of several for one id it keeps the
// result of all. The caller holds LockRef. ForgetReceipts deletes old ones.
func (tx *Tx) KeepReceipt(r verify.Receipt, now time.Time) error {
	before, received := verify.Part{}, millis(now)
	ok, err := tx.queryRow(`SELECT state, error, received_at FROM receipts WHERE `+waiting,
		[]any{r.Carrier, r.ID, millis(now.Add(-receiptLife)), latest(now)}, &before.State, &before.Error, &received)
	if err != nil {
		return fmt.Errorf("find receipt: %w", err)
	}
	if ok {
		kept := before.Report(r.State, r.Error)
		r.State, r.Error = kept.State, kept.Error
	}
	err = tx.send(`INSERT INTO receipts (carrier, ref, state, error, received_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (carrier, ref) DO UPDATE SET state = excluded.state, error = excluded.error, received_at = excluded.received_at`,
		r.Carrier, r.ID, string(r.State), r.Error, received)
	if err != nil {
		return fmt.Errorf("keep receipt: %w", err)
	}
	return nil
}

// TakeReceipt deletes and returns the early receipt for a carrier's message id, as the
// state of a part; ok is false without one. It ignores receipts older than receiptLife,
// since carriers reuse ids.
func (tx *Tx) TakeReceipt(ref verify.Ref, now time.Time) (p verify.Part, ok bool, err error) {
	if err := tx.LockRef(ref); err != nil {
		return p, false, err
	}
	var received int64
	ok, err = tx.queryRow(`DELETE FROM receipts WHERE `+waiting+` RETURNING state, error, received_at`,
		[]any{ref.Carrier, ref.ID, millis(now.Add(-receiptLife)), latest(now)}, &p.State, &p.Error, &received)
	switch {
	case err != nil:
		return p, false, fmt.Errorf("take receipt: %w", err)
	case !ok:
		return p, false, nil
	}
	tx.changed = true
	p.ReportedAt = fromMillis(received)
	return p, true, nil
}
