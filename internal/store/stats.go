package store

import (
	"context"
	"fmt"
	"time"

	"countersign/internal/store/driver"
)

// PoolStats is the state of a pool of connections.
type PoolStats = driver.PoolStats

// Stats is the state of a database in this process. It takes no query.
type Stats struct {
	Read, Keys PoolStats // pools of connections for reads, and for reads of keys
	Queued     int       // writes that wait or are carried out
	QueueLimit int       // writes that may wait
}

// Stats returns the state of the database in this process.
func (db *DB) Stats() Stats {
	s := Stats{QueueLimit: len(db.writers) * maxQueued}
	s.Read, s.Keys = db.engine.Stats()
	for _, w := range db.writers {
		s.Queued += int(w.waiting.Load())
	}
	return s
}

// MaxBacklog is the highest number that [DB.Backlog] counts to, so that a count is quick.
const MaxBacklog = 10_000

// Backlog is the work that waits in the database, of all servers that share it. Counts
// end at [MaxBacklog].
type Backlog struct {
	Due      int64 // steps that are due, and leases that have ended
	Overdue  int64 // steps and leases that were due before a given time
	Receipts int64 // early receipts without a known message
}

// Backlog counts the work that is due at now, and was due before overdue.
func (db *DB) Backlog(ctx context.Context, now, overdue time.Time) (b Backlog, err error) {
	limit := fmt.Sprintf("LIMIT %d", MaxBacklog)
	err = db.queryRow(ctx, `SELECT
		(SELECT COUNT(*) FROM (SELECT 1 FROM verifications WHERE due_at <= $1 `+limit+`) due),
		(SELECT COUNT(*) FROM (SELECT 1 FROM verifications WHERE due_at < $2 `+limit+`) overdue),
		(SELECT COUNT(*) FROM (SELECT 1 FROM receipts WHERE received_at >= $3 `+limit+`) waiting)`,
		[]any{millis(now), millis(overdue), millis(now.Add(-receiptLife))}, &b.Due, &b.Overdue, &b.Receipts)
	if err != nil {
		return Backlog{}, fmt.Errorf("count the backlog: %w", err)
	}
	return b, nil
}
