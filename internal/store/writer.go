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
	account string // whose balance it may change; "" for none
	limit   *Limit // that it counts against; nil for none

	number       string       // whose guard it may change; "" for none
	verification verify.ID    // of whose number likewise; zero for none
	changes      verify.ID    // verification that it changes; zero for none, or for the one above
	charges      bool         // it changes the balance of account
	refs         []verify.Ref // message ids of verifications that it may change
	begins       string       // account that begins a verification for number; "" for none

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

func startWriter(conn writeConn, seal *sealer, d dialect, cfg Config, maxBatch int) *writer {
	w := &writer{
		conn: conn, tx: &Tx{conn: conn, seal: seal, dialect: d, balances: balances{}, guards: newGuards(conn, seal.hashNumber)}, max: maxBatch, around: cfg.Around, committed: cfg.Committed,
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

// Write runs do in a transaction and returns when it is durable. When do returns
// an error nothing of it is kept, and Write returns that error. Other callers'
// work may be part of the same commit; do must therefore be quick and touch
// nothing but its Tx. It may be run more than once, where the first run came to
// nothing, and has to set anew what it tells its caller. A write that has been
// queued is carried out even if ctx ends, since nobody could say otherwise whether
// it was.
func (db *DB) Write(ctx context.Context, do func(*Tx) error) error {
	return db.WriteFor(ctx, "", do)
}

// WriteFor is Write for what may change the balance of an account, which is that of
// the payer for one that has another (verify.Account.Payer). Where several nodes
// share the database, all then lock the balances that they change in one order,
// and none waits for another that waits for it.
func (db *DB) WriteFor(ctx context.Context, account string, do func(*Tx) error) error {
	return db.WriteIn(ctx, Scope{Account: account, Charges: account != ""}, do)
}

// Scope says what a write works on. Where several nodes share the database, they lock
// it before the write begins, all in one order, and with no round trip of its own.
type Scope struct {
	Account      string    // whose balance it may change, see WriteFor; "" for none, or for that of the limit
	Charges      bool      // it most likely does, so that the balance is locked before the write begins
	Limit        *Limit    // that it counts against; nil for none
	Number       string    // whose guard it may change, see Tx.NumberHistory; "" for none
	Verification verify.ID // of whose number likewise; zero for none

	// Changes is a verification that the write changes, without its guard; zero for none.
	Changes verify.ID

	// Refs are message ids of carriers: the write may change the verifications with them.
	Refs []verify.Ref

	// Begins is the account that is about to begin a verification for Number, and to
	// charge it to Account; "" for none.
	Begins string
}

// WriteIn is Write for what works on a scope.
func (db *DB) WriteIn(ctx context.Context, s Scope, do func(*Tx) error) error {
	j := job{
		account: s.Account, number: s.Number, verification: s.Verification, changes: s.Changes, refs: s.Refs,
		charges: s.Charges || s.Begins != "", begins: s.Begins, do: do, result: make(chan error, 1),
	}
	if s.Limit != nil {
		j.account = cmp.Or(s.Account, s.Limit.Account)
		if db.Shared() {
			j.limit = s.Limit
		}
	}
	return db.write(ctx, j)
}

func (db *DB) write(ctx context.Context, j job) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var done func()
	j.do, done = audited(ctx, j.do)
	if err := db.writerFor(j.account).enqueue(j); err != nil {
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
		slices.SortStableFunc(batch, func(a, b job) int { return cmp.Compare(a.account, b.account) })
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
	seal *sealer
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
