package store

import (
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"countersign/internal/store/driver"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

// maxQueued bounds the queue of each writer.
const maxQueued = 8192

// ErrOverloaded is wrapped by the error of a write that other writes prevented. Either the
// queue was full, or other transactions conflicted with it or held its locks for too long.
// The write is not stored, so the caller may repeat it.
var ErrOverloaded = errors.New("too many writes at the same time")

// ErrClosed is returned by [DB.Write] after [DB.Close].
var ErrClosed = errors.New("database is closed")

// writer is a goroutine that executes writes: one for an SQLite file, several for PostgreSQL.
// It commits all queued jobs in one transaction (group commit).
type writer struct {
	conn driver.Writer
	tx   *Tx
	log  *slog.Logger

	around    func(commit func()) error            // see Config
	committed func(writes int, took time.Duration) // see Config; never nil

	mu     sync.RWMutex // guards closed and sending on queue
	closed bool
	queue  chan job
	done   chan struct{}

	waiting atomic.Int32 // jobs that are queued or running
}

type job struct {
	Scope
	do     func(*Tx) error
	result chan error
}

func startWriter(conn driver.Writer, db *DB, cfg Config) *writer {
	w := &writer{
		conn: conn, tx: newTx(conn, db), log: cfg.Log, around: cfg.Around, committed: cfg.Committed,
		queue: make(chan job, maxQueued), done: make(chan struct{}),
	}
	if w.committed == nil {
		w.committed = func(int, time.Duration) {}
	}
	go w.run()
	return w
}

// stop waits until the queue is empty. The caller closes the connection.
func (w *writer) stop() {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.queue)
	}
	w.mu.Unlock()
	<-w.done
}

// Scope names the rows that a write may change. On a shared database the store locks them
// before the write begins: for a whole batch in one round trip, and in a fixed order, which
// avoids deadlocks. A write with the zero value locks its rows itself.
type Scope struct {
	Account string // payer (verify.Account.Payer) with the balance that may change; "" means Limit.Account
	Charges bool   // the write probably changes the balance of Account, so it is locked in advance
	Limit   *Limit // rate limit to count against, or nil

	Number       string    // address with a history that may change (Tx.NumberHistory), or ""
	Verification verify.ID // verification that may change with the history of its address, or zero
	Changes      verify.ID // verification that may change without a history, or zero

	// Refs are message ids of carriers. The verifications of these messages may change.
	Refs []verify.Ref

	// Begins is the account that begins a verification for Number, charged to Account, or "".
	Begins string
}

// Write runs do in a transaction and returns after the commit is durable. If do fails, its
// changes are rolled back and Write returns its error. Commits are shared with other callers,
// so do must be quick and use only its Tx. do may run again after a rollback and must reset its
// results. A queued write runs even if ctx is cancelled, so its outcome is always known. Write
// returns ErrOverloaded if the queue is full, ErrClosed after Close, ErrRate above in.Limit, and
// an error that wraps ErrUnknown if the connection was lost during the commit.
func (db *DB) Write(ctx context.Context, in Scope, do func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	do, done := audited(ctx, do)
	j := job{Scope: in, do: do, result: make(chan error, 1)}
	j.Charges = in.Charges || in.Begins != ""
	if in.Limit != nil {
		j.Account = cmp.Or(in.Account, in.Limit.Account)
		if !db.Shared() { // the only node has counted the request
			j.Limit = nil
		}
	}
	if err := db.writerFor(j.Account).enqueue(j); err != nil {
		return err
	}
	if err := db.engine.Note(<-j.result); err != nil {
		return db.at.Full(err)
	}
	done()
	return nil
}

// writerFor returns the writer for a balance: always the same for one account, so that writers
// do not wait for each other's lock. For "" it returns the writer with the shortest queue.
func (db *DB) writerFor(account string) *writer {
	if len(db.writers) == 1 {
		return db.writers[0]
	}
	if account != "" {
		h := fnv.New32a()
		_, _ = io.WriteString(h, account) // never fails
		return db.writers[int(h.Sum32()%uint32(len(db.writers)))]
	}
	return slices.MinFunc(db.writers, func(a, b *writer) int { return cmp.Compare(a.waiting.Load(), b.waiting.Load()) })
}

func (w *writer) enqueue(j job) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return ErrClosed
	}
	w.waiting.Add(1)
	select {
	case w.queue <- j:
		return nil
	default:
		w.waiting.Add(-1)
		return ErrOverloaded
	}
}

func (w *writer) run() {
	defer close(w.done)
	batch := make([]job, 0, maxBatch)
	for j := range w.queue {
		batch = append(batch[:0], j)
	collect:
		for len(batch) < maxBatch {
			select {
			case j, ok := <-w.queue:
				if !ok {
					break collect
				}
				batch = append(batch, j)
			default:
				break collect
			}
		}
		slices.SortStableFunc(batch, func(a, b job) int { return cmp.Compare(a.Account, b.Account) })
		begun := time.Now()
		results := w.commit(batch)
		w.committed(len(batch), time.Since(begun))
		w.waiting.Add(-int32(len(batch))) // before the results, so that waiting includes no answered write
		for i, err := range results {
			batch[i].result <- err
		}
	}
}

// commit runs a batch inside Config.Around and returns the result of each job.
func (w *writer) commit(batch []job) (results []error) {
	if w.around == nil {
		return w.carryOut(batch)
	}
	if err := w.around(func() { results = w.carryOut(batch) }); err != nil {
		return slices.Repeat([]error{err}, len(batch))
	}
	return results
}

// Tx is the transaction of one Write.
type Tx struct {
	conn    driver.Writer
	seal    *vault.Sealer
	dialect driver.Dialect
	changed bool // the job may have changed rows

	// Rows of the batch. Tx.preload fills loaded and refs if a statement costs a round trip.
	balances balances
	guards   guards
	loaded   loaded
	refs     map[verify.Ref]verify.ID // verifications of Scope.Refs
	posts    map[string]bool          // ledger keys posted in the batch; empty where each post queries the ledger
	careful  bool                     // rerun one by one: check ledger keys when posting
}

// exec runs a statement and returns the number of rows that it changed.
func (tx *Tx) exec(query string, args ...any) (int64, error) {
	tx.changed = true
	return tx.conn.Exec(query, args)
}

// send runs a statement without a result. Its error may be returned by a later call, or at the
// end of the job.
func (tx *Tx) send(query string, args ...any) error {
	tx.changed = true
	return tx.conn.Send(query, args)
}

// change is send for a change of one row about a verification.
func (tx *Tx) change(c driver.Change, of verify.ID, row ...any) error {
	tx.changed = true
	delete(tx.loaded, of)
	return tx.conn.Add(c, of, row)
}

func (tx *Tx) query(query string, args ...any) (driver.Rows, error) {
	return tx.conn.Query(query, args)
}

// queryRow reads one row into dest; ok is false for an empty result.
func (tx *Tx) queryRow(query string, args []any, dest ...any) (ok bool, err error) {
	rows, err := tx.query(query, args...)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	if !rows.Next() {
		return false, rows.Err()
	}
	return true, rows.Scan(dest...)
}
