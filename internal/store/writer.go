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

// maxQueued bounds the queue of writes.
const maxQueued = 8192

// ErrOverloaded is returned by Write when more callers wait than the queue holds.
var ErrOverloaded = errors.New("too many writes are waiting")

// ErrClosed is returned by Write after Close.
var ErrClosed = errors.New("database is closed")

// writer is a goroutine that writes: the only one on SQLite, one of a few on
// PostgreSQL. It collects what is waiting and commits it in one transaction ("group
// commit", design.md §4.2).
type writer struct {
	conn writeConn
	tx   *Tx
	max  int // of the jobs of a batch

	around    func(commit func()) error            // see Config
	committed func(writes int, took time.Duration) // see Config; never nil

	mu     sync.RWMutex // guards closed and sending on queue
	closed bool
	queue  chan job
	done   chan struct{}

	waiting atomic.Int32 // jobs that are queued or carried out
}

type job struct {
	Scope
	do     func(*Tx) error
	result chan error
}

// writeConn is the connection of the writer. The engines differ in what they can
// do together, and in what goes wrong.
type writeConn interface {
	// carryOut runs the jobs of a batch, makes them durable, and gives the result
	// of each. A job that fails leaves nothing behind, and does not hurt others.
	carryOut(tx *Tx, batch []job) []error
	close() error

	// What a job does. send is exec for a statement of whose result nobody wants
	// to know: its error may come with a later one, or at the end of the job.
	exec(query string, args []any) (changed int64, err error)
	send(query string, args []any) error
	change(c change, of verify.ID, row []any) error // is send for a change
	query(query string, args []any) (rows, error)

	// loadGuard puts the row of an address, if there is one, into the rows of g.
	loadGuard(g *guards, key guardKey) error
	// tryLockGuards loads the rows of keys that no other transaction holds; keys then has
	// the others.
	tryLockGuards(g *guards, keys map[guardKey]bool) error
	// saveGuards writes rows of g: those that changed and those that are new.
	saveGuards(g *guards, changed, added []guardKey) error
}

// rows is what of *sql.Rows the store uses.
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

// Scope is the target of a write. Where several nodes share the database, the store locks it
// before the write begins, all in one order and with no round trip of its own. The zero value
// is a write that locks its rows itself.
type Scope struct {
	Account string // whose balance the write may change: the payer, see verify.Account.Payer; "" for that of Limit
	Charges bool   // the write most likely changes the balance of Account
	Limit   *Limit // nil for none

	Number       string    // address whose history the write may change, see Tx.NumberHistory; "" for none
	Verification verify.ID // the write may change it and the history of its address; zero for none
	Changes      verify.ID // the write may change it, but no history; zero for none

	// Refs are message ids of carriers: the write may change the verifications with them.
	Refs []verify.Ref

	// Begins is the account that begins a verification for Number, charged to Account; "" for
	// none.
	Begins string
}

// Write runs do in a transaction and returns when the result is durable. If do returns an
// error, none of its writes is kept, and Write returns that error. Other callers' writes may
// be part of the same commit, so do must be quick and use only its Tx. The store may run do
// more than once, if an earlier run was rolled back. A write that is queued is carried out
// even if ctx ends. Errors: ErrOverloaded, ErrClosed, ErrUnknown, ErrRate for a full limit.
func (db *DB) Write(ctx context.Context, in Scope, do func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	do, done := audited(ctx, do)
	j := job{Scope: in, do: do, result: make(chan error, 1)}
	j.Charges = in.Charges || in.Begins != ""
	if in.Limit != nil {
		j.Account = cmp.Or(in.Account, in.Limit.Account)
		if !db.Shared() { // the node counts
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

// writerFor picks who writes. Balances of one account all go to one, since they
// would wait for each other; everything else goes to who has the least to do.
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
		w.waiting.Add(-int32(len(batch))) // first, so that no answered write counts
		for i, err := range results {
			batch[i].result <- err
		}
	}
}

// commit carries out the batch.
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
	changed bool // there may be something to undo

	// What is known of the batch.
	balances balances
	guards   guards
	loaded   loaded                   // nil where each is read when it is asked for
	refs     map[verify.Ref]verify.ID // of message ids that the jobs named, as they were found; nil likewise
	posts    map[string]bool          // keys of the ledger that were posted; nil where a look at it costs nothing
	careful  bool                     // the work came to nothing once, because of what was not looked at
}

// exec runs a statement and returns the number of rows that it changed.
func (tx *Tx) exec(query string, args ...any) (int64, error) {
	tx.changed = true
	return tx.conn.exec(query, args)
}

// send runs a statement whose result nobody reads. Its error may come later, but
// not later than the end of the job.
func (tx *Tx) send(query string, args ...any) error {
	tx.changed = true
	return tx.conn.send(query, args)
}

func (tx *Tx) query(query string, args ...any) (rows, error) { return tx.conn.query(query, args) }

// queryRow reads one row into dest; ok is false when there is none.
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
