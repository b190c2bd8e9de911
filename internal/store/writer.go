package store

import (
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"countersign/internal/vault"
	"countersign/internal/verify"
)

// maxQueued bounds the queue of each writer.
const maxQueued = 8192

// ErrOverloaded is returned by [DB.Write] if the queue is full.
var ErrOverloaded = errors.New("too many writes are waiting")

// ErrClosed is returned by [DB.Write] after [DB.Close].
var ErrClosed = errors.New("database is closed")

// writer is a goroutine that executes writes: one for an SQLite file, several for PostgreSQL.
// It commits all queued jobs in one transaction (group commit).
type writer struct {
	conn writeConn
	tx   *Tx
	max  int // maximum number of jobs in a batch

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

// writeConn is the connection of a writer. SQLite and PostgreSQL differ in batching and in
// their recoverable errors.
type writeConn interface {
	// carryOut runs the jobs of a batch, commits them and returns the result of each. A failed
	// job is rolled back and does not affect the others.
	carryOut(tx *Tx, batch []job) []error
	close() error

	// Statements of a job. send is like exec without a result: its error may be returned by a
	// later call, or be the result of the job.
	exec(query string, args []any) (changed int64, err error)
	send(query string, args []any) error
	change(c change, of verify.ID, row []any) error // like send, for a change of one row
	query(query string, args []any) (rows, error)

	// loadGuard locks the row of an address and adds it to g. A missing row is no error.
	loadGuard(g *guards, key guardKey) error
	// tryLockGuards locks and loads the rows of keys that are not locked by another
	// transaction, and reduces keys to the rest.
	tryLockGuards(g *guards, keys map[guardKey]bool) error
	// saveGuards writes the changed and the added rows of g.
	saveGuards(g *guards, changed, added []guardKey) error
}

// rows is the subset of *sql.Rows that the store uses.
type rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close() error
}

// scanner is a row that can be read.
type scanner interface{ Scan(dest ...any) error }

func startWriter(conn writeConn, seal *vault.Sealer, d dialect, cfg Config, maxBatch int) *writer {
	w := &writer{
		conn: conn, tx: &Tx{conn: conn, seal: seal, dialect: d, balances: balances{}, guards: newGuards(conn, seal.HashNumber)}, max: maxBatch, around: cfg.Around, committed: cfg.Committed,
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
	if err := db.outage.note(<-j.result); err != nil {
		return diskFull(db.path, err)
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
	batch := make([]job, 0, w.max)
	for j := range w.queue {
		batch = append(batch[:0], j)
	collect:
		for len(batch) < w.max {
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
		return w.conn.carryOut(w.tx, batch)
	}
	if err := w.around(func() { results = w.conn.carryOut(w.tx, batch) }); err != nil {
		return slices.Repeat([]error{err}, len(batch))
	}
	return results
}

// Tx is the transaction of one Write.
type Tx struct {
	conn writeConn
	seal *vault.Sealer
	dialect
	changed bool // the job may have changed rows

	// State of the batch.
	balances balances
	guards   guards
	loaded   loaded                   // preloaded verifications; nil on SQLite, which reads each on demand
	refs     map[verify.Ref]verify.ID // verifications of Scope.Refs; nil on SQLite
	posts    map[string]bool          // ledger keys posted in the batch; nil on SQLite, which queries the ledger
	careful  bool                     // rerun one by one: check ledger keys when posting
}

// exec runs a statement and returns the number of rows that it changed.
func (tx *Tx) exec(query string, args ...any) (int64, error) {
	tx.changed = true
	return tx.conn.exec(query, args)
}

// send runs a statement without a result. Its error may be returned by a later call, or at the
// end of the job.
func (tx *Tx) send(query string, args ...any) error {
	tx.changed = true
	return tx.conn.send(query, args)
}

func (tx *Tx) query(query string, args ...any) (rows, error) { return tx.conn.query(query, args) }

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
