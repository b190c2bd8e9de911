package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// Bounds of the queue of writes. A commit costs one flush of the disk however
// many callers share it, so a batch takes all that wait, up to a size that keeps
// the slowest of them quick.
const (
	maxQueued = 8192
	maxBatch  = 256
)

// ErrOverloaded is returned by Write when more callers wait than the queue holds.
var ErrOverloaded = errors.New("too many writes are waiting")

// ErrClosed is returned by Write after Close.
var ErrClosed = errors.New("database is closed")

// writer is the one goroutine that writes. It collects what is waiting and
// commits it in one transaction ("group commit", design.md §4.2).
type writer struct {
	db   *sql.DB
	conn *sql.Conn
	seal *sealer
	log  *slog.Logger

	around func(commit func() error) error

	mu     sync.RWMutex // guards closed and sending on queue
	closed bool
	queue  chan job
	done   chan struct{}
	stmts  map[string]*sql.Stmt // prepared on conn; used by the goroutine only
}

type job struct {
	do     func(*Tx) error
	result chan error
}

func startWriter(ctx context.Context, db *sql.DB, seal *sealer, cfg Config) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	w := &writer{
		db: db, conn: conn, seal: seal, log: cfg.Log, around: cfg.Around,
		queue: make(chan job, maxQueued), done: make(chan struct{}),
		stmts: map[string]*sql.Stmt{},
	}
	go w.run()
	return w, nil
}

// stop lets the queue run empty and closes the connection.
func (w *writer) stop() error {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.queue)
	}
	w.mu.Unlock()
	<-w.done
	var errs []error
	for _, s := range w.stmts { // SQLite folds its log in only when none is left
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, w.conn.Close(), w.db.Close())...)
}

// Write runs do in a transaction and returns when it is durable. When do returns
// an error nothing of it is kept, and Write returns that error. Other callers'
// work may be part of the same commit; do must therefore be quick and touch
// nothing but its Tx. A write that has been queued is carried out even if ctx
// ends, since nobody could say otherwise whether it was.
func (db *DB) Write(ctx context.Context, do func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j := job{do: do, result: make(chan error, 1)}
	if err := db.writer.enqueue(j); err != nil {
		return err
	}
	return <-j.result
}

func (w *writer) enqueue(j job) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return ErrClosed
	}
	select {
	case w.queue <- j:
		return nil
	default:
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
		w.commit(batch)
	}
}

// commit carries out the batch and tells each caller its result. A caller whose
// own work failed does not hurt the others (savepoints); a failed commit hurts
// all, since none of it is durable.
func (w *writer) commit(batch []job) {
	results := make([]error, len(batch))
	commit := func() error { return w.transact(batch, results) }
	var err error
	if w.around == nil {
		err = commit()
	} else {
		err = w.around(commit)
	}
	for i, j := range batch {
		if err != nil {
			results[i] = fmt.Errorf("write: %w", err)
		}
		j.result <- results[i]
	}
}

// transact carries out the batch in one transaction. An error means that none of it
// may be durable.
func (w *writer) transact(batch []job, results []error) error {
	err := w.exec("BEGIN IMMEDIATE")
	if err != nil {
		return err
	}
	for i, j := range batch {
		if results[i], err = w.savepoint(j); err != nil {
			break
		}
	}
	if err == nil {
		err = w.exec("COMMIT")
	}
	if err != nil {
		// Fails when SQLite has rolled back already, as on a full disk.
		if rerr := w.exec("ROLLBACK"); rerr != nil {
			w.log.Debug("roll back", "error", rerr)
		}
	}
	return err
}

// savepoint carries out one job. Its own error is result; err means that the
// transaction as a whole is unusable.
func (w *writer) savepoint(j job) (result, err error) {
	if err := w.exec("SAVEPOINT job"); err != nil {
		return nil, err
	}
	if result = j.do(&Tx{w}); result != nil {
		if err := w.exec("ROLLBACK TO job"); err != nil {
			return result, err
		}
	}
	return result, w.exec("RELEASE job")
}

// Tx is the transaction of one Write.
type Tx struct{ w *writer }

// stmt prepares each statement once. No context is passed to the driver: a write
// that has begun is finished, and the driver would start a goroutine to watch it.
func (w *writer) stmt(query string) (*sql.Stmt, error) {
	if s := w.stmts[query]; s != nil {
		return s, nil
	}
	s, err := w.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	w.stmts[query] = s
	return s, nil
}

func (w *writer) exec(query string) error {
	s, err := w.stmt(query)
	if err == nil {
		_, err = s.Exec() //nolint:noctx // see stmt
	}
	return err
}

// exec runs a statement and returns the number of rows that it changed.
func (tx *Tx) exec(query string, args ...any) (int64, error) {
	s, err := tx.w.stmt(query)
	if err != nil {
		return 0, err
	}
	res, err := s.Exec(args...) //nolint:noctx // see stmt
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (tx *Tx) query(query string, args ...any) (*sql.Rows, error) {
	s, err := tx.w.stmt(query)
	if err != nil {
		return nil, err
	}
	return s.Query(args...) //nolint:noctx // see stmt
}

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
