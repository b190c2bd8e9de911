package store

import (
	"errors"
	"fmt"
	"time"

	"countersign/internal/store/driver"
	"countersign/internal/verify"
)

// maxBatch is the maximum number of writes in a commit. A commit costs one flush of the disk
// for any number of callers. The maximum bounds the wait of the first caller, for which other
// nodes wait as well, and leaves processor time for reading requests and writing answers.
const maxBatch = 64

// errApart ends a batch with a failed job. Its jobs run again, one by one.
var errApart = errors.New("a job of the batch failed")

// maxTries bounds the runs of a job that conflicts with other nodes.
const maxTries = 5

// onceMore is the time after which a batch is not repeated on another connection: callers
// wait for it.
const onceMore = time.Second

// carryOut commits the batch in one transaction and returns the result of each job. There are
// no savepoints: after a failed job the transaction is rolled back, and each job runs again
// in its own. That is rare, since rules refuse before the first write.
func (w *writer) carryOut(batch []job) []error {
	results := make([]error, len(batch))
	begun := time.Now()
	err := w.attempt(batch, results)
	if err != nil && w.retry(err) == driver.Lost && time.Since(begun) < onceMore {
		err = w.attempt(batch, results) // a server that has just come back
	}
	if err == nil {
		return results
	}
	retry, limit := w.retry(err), w.tx.dialect.RetryFor
	again := retry == driver.Conflict || retry == driver.Apart && len(batch) > 1
	overloaded := 0
	for i := range batch {
		untried := false
		switch {
		case again && (limit == 0 || time.Since(begun) < limit):
			results[i] = w.runSingly(batch[i])
		case len(batch) == 1 && results[i] != nil:
		default:
			results[i], untried = fmt.Errorf("write: %w", err), again
		}
		if untried || w.prevented(results[i]) {
			results[i] = fmt.Errorf("%w: %w", ErrOverloaded, results[i])
			overloaded++
		}
	}
	if overloaded > 0 {
		w.log.Warn("writes given up after conflicts with other writes", "writes", overloaded, "after", time.Since(begun).Round(time.Millisecond), "error", err)
	}
	return results
}

// prevented reports whether err means that another transaction prevented a write, which was
// rolled back: a conflict, or a wait for locks until a time limit.
func (w *writer) prevented(err error) bool {
	return err != nil && !errors.Is(err, ErrUnknown) && (errors.Is(err, driver.ErrLocked) || w.conn.Retry(err) == driver.Conflict)
}

// retry returns the chance of success of the jobs after an attempt failed with err.
func (w *writer) retry(err error) driver.Retry {
	if errors.Is(err, errApart) {
		return driver.Apart
	}
	return w.conn.Retry(err)
}

// runSingly runs one job in its own transaction. It runs again after a conflict with another
// node.
func (w *writer) runSingly(j job) error {
	w.tx.careful = true
	defer func() { w.tx.careful = false }()
	for try := 1; ; try++ {
		var result [1]error
		err := w.attempt([]job{j}, result[:])
		switch {
		case err == nil:
			return result[0]
		case w.retry(err) == driver.Conflict && try < maxTries:
			w.log.Debug("write again", "error", err)
		case result[0] != nil:
			return result[0]
		default:
			return fmt.Errorf("write: %w", err)
		}
	}
}

// attempt runs jobs in one transaction. An error means that the transaction was rolled back,
// or is unknown (ErrUnknown). results then has the errors of jobs that ran. The error is nil
// if the only job has failed and was rolled back.
func (w *writer) attempt(batch []job, results []error) error {
	if err := w.conn.Begin(); err != nil {
		return err
	}
	rates, err := w.tx.begin(batch)
	if err != nil {
		w.conn.RollBack()
		return err
	}
	for i, j := range batch {
		w.tx.changed = false
		if results[i] = rates.admit(j); results[i] == nil {
			results[i] = j.do(w.tx)
		}
		if err := w.conn.Failed(); err != nil {
			w.conn.RollBack()
			return err
		}
		if results[i] != nil && w.tx.changed {
			w.conn.RollBack()
			if len(batch) > 1 {
				return errApart
			}
			return nil
		}
	}
	if err := errors.Join(rates.save(w.conn), w.tx.writeBalances(), w.tx.guards.save()); err != nil {
		w.conn.RollBack()
		return err
	}
	return w.conn.Commit()
}

// begin clears the rows of the last batch. If a statement costs a round trip, it loads the
// rows of the next batch; otherwise each job reads its rows itself.
func (tx *Tx) begin(batch []job) (rates, error) {
	tx.guards.reset()
	clear(tx.balances)
	clear(tx.loaded)
	clear(tx.refs)
	clear(tx.posts)
	if !tx.dialect.RoundTrips {
		return nil, nil //nolint:nilnil // no limits: a single node counts itself
	}
	return tx.preload(batch)
}

// newTx returns the transaction of a writer. It is used for all batches.
func newTx(conn driver.Writer, db *DB) *Tx {
	return &Tx{
		conn: conn, seal: db.seal, dialect: db.dialect,
		balances: balances{}, guards: newGuards(conn, db.dialect, db.seal.HashNumber),
		loaded: loaded{}, refs: map[verify.Ref]verify.ID{}, posts: map[string]bool{},
	}
}
