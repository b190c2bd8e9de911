package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"countersign/internal/verify"
)

// ErrUnknown is wrapped where a commit has no certain outcome: the connection broke before
// its answer, or no synchronous standby has confirmed it. The write may be durable or not,
// and is not run again.
var ErrUnknown = errors.New("the outcome of a commit is not known")

// errApart is why a batch is given up whose jobs must be carried out one by one.
var errApart = errors.New("a job of the batch failed")

// postgresConn writes to a server. What counts there are round trips, so a
// statement whose result nobody reads is not sent by itself, but with the next
// that somebody waits for; and so are BEGIN and COMMIT.
//
// A batch has no savepoints. When a job fails after it has written, or a statement
// fails, the batch is rolled back, and its jobs run again, each in its own transaction.
// That is rare: rules refuse before the first write.
type postgresConn struct {
	primary *primary
	log     *slog.Logger
	conn    *pgx.Conn // nil when it was lost
	used    time.Time

	changes map[change]*parsedChange
	pending []statement // to be sent with the next
	begun   bool        // the server has seen the BEGIN
	failed  error       // of the first statement that failed; no other can succeed
}

// statement is one to be sent. A change may be for several rows.
type statement struct {
	query string
	args  []any

	change *parsedChange      // nil for others
	of     map[verify.ID]bool // what the rows of a change are about
}

// maxRows bounds the rows of a change. PostgreSQL takes 65,535 arguments.
const maxRows = 64

// queue adds the statement to those of one message. Rows are changed by statements for
// 64, 32, … 1 rows, so that there are few texts to be parsed and planned.
func (s statement) queue(batch *pgx.Batch) {
	if s.change == nil {
		batch.Queue(s.query, s.args...)
		return
	}
	for args, n, width := s.args, maxRows, len(s.change.names); len(args) > 0; n /= 2 {
		for len(args) >= n*width {
			batch.Queue(s.change.many(n), args[:n*width]...)
			args = args[n*width:]
		}
	}
}

// statements is how many queue adds.
func (s statement) statements() int {
	if s.change == nil {
		return 1
	}
	rows := len(s.args) / len(s.change.names)
	return rows/maxRows + bits.OnesCount(uint(rows%maxRows))
}

func newPostgresConn(p *primary, log *slog.Logger) *postgresConn {
	return &postgresConn{primary: p, log: log, changes: map[change]*parsedChange{}}
}

// idleCheck is after what time a connection is asked whether it still works,
// before work is trusted to it.
const idleCheck = time.Second

// connect opens the connection, if there is none that works.
func (c *postgresConn) connect(ctx context.Context) error {
	used := c.used
	c.used = time.Now()
	if c.conn != nil && c.primary.current(c.conn) && (c.used.Sub(used) < idleCheck || c.answers(ctx)) {
		return nil
	}
	c.drop()
	conn, err := c.primary.connect(ctx)
	if err != nil {
		return err
	}
	if err = setDurable(ctx, conn); err == nil {
		err = planByIndex(ctx, conn)
	}
	if err == nil {
		err = shareWithCopy(ctx, conn)
	}
	if err != nil {
		return errors.Join(err, conn.Close(ctx))
	}
	c.conn = conn
	return nil
}

// answers reports whether the server answers on the connection.
func (c *postgresConn) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, c.primary.cfg.ConnectTimeout)
	defer cancel()
	term := c.primary.now()
	err := c.conn.Ping(ctx)
	if err != nil {
		c.primary.leave(term, err)
	}
	return err == nil
}

// setDurable sees that whoever is answered finds his work after a crash of the
// server, too. A stricter setting than "on" stays.
func setDurable(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', FALSE)
		WHERE current_setting('synchronous_commit') = 'off'`)
	return err
}

// planByIndex has the statements of a writer planned once, and always by an index, as all
// of them are meant. A server that knows nothing of a table yet takes it for small, would
// read the whole of it for each batch, and keep to that while it grows, until it is
// analysed. It is said here and not when the connection is made, since a pooler between
// would not pass it on.
//
// jit is off, because a table without a suitable index is still read as a whole. PostgreSQL
// adds 10^10 to the cost of such a plan, and would compile the statement to machine code.
func planByIndex(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SELECT set_config('plan_cache_mode', 'force_generic_plan', FALSE), set_config(name, 'off', FALSE)
		FROM unnest(ARRAY['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin', 'jit']) name`)
	return err
}

func (c *postgresConn) close() error {
	if c.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.conn.Close(ctx) // a goodbye that nobody needs to hear
	return nil
}

// carryOut commits the batch as a whole where it can, and job by job where not.
func (c *postgresConn) carryOut(tx *Tx, batch []job) []error {
	results := make([]error, len(batch))
	begun := time.Now()
	err := c.attempt(tx, batch, results)
	if err != nil && c.conn == nil && !errors.Is(err, ErrUnknown) && time.Since(begun) < idleCheck {
		err = c.attempt(tx, batch, results) // a server that has just come back
	}
	again := retryable(err) || len(batch) > 1 && c.curable(err)
	for i := range batch {
		switch {
		case err == nil:
		case again && time.Since(begun) < stmtTimeout:
			results[i] = c.runSingly(tx, batch[i])
		case len(batch) == 1 && results[i] != nil:
		default:
			results[i] = fmt.Errorf("write: %w", err)
		}
	}
	return results
}

// maxTries bounds how often a job is run that another node keeps out.
const maxTries = 5

// runSingly runs one job in its own transaction. It retries deadlocks and conflicts with
// other nodes.
func (c *postgresConn) runSingly(tx *Tx, j job) error {
	tx.careful = true
	defer func() { tx.careful = false }()
	for try := 1; ; try++ {
		var result [1]error
		err := c.attempt(tx, []job{j}, result[:])
		switch {
		case err == nil:
			return result[0]
		case retryable(err) && try < maxTries:
			c.log.Debug("write again", "error", err)
		case result[0] != nil:
			return result[0]
		default:
			return fmt.Errorf("write: %w", err)
		}
	}
}

// attempt carries out jobs in one transaction. With an error nothing of it was
// kept, but after ErrUnknown; for a single job its own error is in results, if it
// has one.
func (c *postgresConn) attempt(tx *Tx, batch []job, results []error) error {
	ctx, cancel := context.WithTimeout(context.Background(), c.primary.patience())
	defer cancel()
	if err := c.connect(ctx); err != nil {
		return err
	}
	c.pending, c.begun, c.failed = append(c.pending[:0], statement{query: "BEGIN ISOLATION LEVEL READ COMMITTED"}), false, nil
	tx.guards.reset()
	rates, err := c.preload(tx, batch)
	if err != nil {
		c.rollBack()
		return err
	}
	for i, j := range batch {
		tx.changed = false
		if results[i] = rates.admit(j); results[i] == nil {
			results[i] = j.do(tx)
		}
		switch {
		case c.failed != nil:
			c.rollBack()
			return c.failed
		case results[i] != nil && tx.changed && len(batch) > 1:
			c.rollBack()
			return errApart
		case results[i] != nil && tx.changed:
			c.rollBack()
			return nil
		}
	}
	if err := errors.Join(rates.save(c), tx.writeBalances(), tx.guards.save()); err != nil {
		c.rollBack()
		return err
	}
	return c.commit()
}

func (c *postgresConn) commit() error {
	if !c.begun && len(c.pending) == 1 {
		return nil // nobody asked for anything
	}
	delete(c.conn.PgConn().CustomData(), unreplicatedKey)
	tag, err := c.flush("COMMIT", nil)
	switch {
	case err != nil && c.conn == nil && undecided(err):
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	case err != nil:
		c.rollBack()
		return err
	case tag.String() != "COMMIT":
		return fmt.Errorf("the server answered the commit with %s", tag)
	case c.conn.PgConn().CustomData()[unreplicatedKey] != nil:
		return fmt.Errorf("%w: the wait for a synchronous standby was cancelled", ErrUnknown)
	}
	return nil
}

// rollBack undoes what the server has seen of the transaction.
func (c *postgresConn) rollBack() {
	c.pending = c.pending[:0]
	if !c.begun || c.conn == nil {
		return
	}
	if _, err := c.conn.Exec(context.Background(), "ROLLBACK"); err != nil {
		c.log.Debug("roll back", "error", err)
		c.drop()
	}
}

// drop gives the connection up. The next batch opens another.
func (c *postgresConn) drop() {
	_ = c.close()
	c.conn = nil
}

func (c *postgresConn) send(query string, args []any) error {
	if c.failed == nil {
		c.pending = append(c.pending, statement{query: query, args: storable(args)})
	}
	return c.failed
}

// change puts the row to others for which the same is to be done, unless something that
// may be about the same verification was sent after them.
func (c *postgresConn) change(ch change, of verify.ID, row []any) error {
	if c.failed != nil {
		return c.failed
	}
	parsed := c.changes[ch]
	if parsed == nil {
		parsed = ch.parse()
		c.changes[ch] = parsed
	}
	row = storable(row)
	for i := len(c.pending) - 1; i >= 0 && c.pending[i].change != nil && !c.pending[i].of[of]; i-- {
		if s := &c.pending[i]; s.change == parsed {
			s.args, s.of[of] = append(s.args, row...), true
			return nil
		}
	}
	verb, _, _ := strings.Cut(parsed.head, " ")
	c.pending = append(c.pending, statement{query: verb, args: row, change: parsed, of: map[verify.ID]bool{of: true}})
	return nil
}

func (c *postgresConn) exec(query string, args []any) (int64, error) {
	tag, err := c.flush(query, args)
	return tag.RowsAffected(), err
}

// flush sends what is pending and one more statement, whose result it gives.
func (c *postgresConn) flush(query string, args []any) (tag pgconn.CommandTag, err error) {
	results, err := c.submit(query, args)
	if err != nil {
		return tag, err
	}
	tag, err = results.Exec()
	if cerr := results.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return tag, c.fail(query, err)
	}
	return tag, nil
}

func (c *postgresConn) query(query string, args []any) (rows, error) {
	results, err := c.submit(query, args)
	if err != nil {
		return nil, err
	}
	r, err := results.Query()
	if err != nil {
		_ = results.Close()
		return nil, c.fail(query, err)
	}
	return &postgresRows{Rows: r, conn: c, query: query, results: results}, nil
}

// submit sends what is pending and one more statement in one go, and reads the
// results but that of the last.
func (c *postgresConn) submit(query string, args []any) (pgx.BatchResults, error) {
	if c.failed != nil {
		return nil, c.failed
	}
	var batch pgx.Batch
	for _, s := range c.pending {
		s.queue(&batch)
	}
	batch.Queue(query, storable(args)...)
	results := c.sendBatch(&batch)
	return results, c.readPending(results)
}

// readPending reads the results of what was pending.
func (c *postgresConn) readPending(results pgx.BatchResults) error {
	sent := c.pending
	c.pending = c.pending[:0]
	for _, s := range sent {
		for range s.statements() {
			if _, err := results.Exec(); err != nil {
				_ = results.Close()
				return c.fail(s.query, err)
			}
		}
	}
	return nil
}

// sendBatch sends the statements of a transaction, or some of them.
func (c *postgresConn) sendBatch(batch *pgx.Batch) pgx.BatchResults {
	c.begun = true
	return c.conn.SendBatch(context.Background(), batch)
}

// fail notes that the transaction came to nothing.
func (c *postgresConn) fail(query string, err error) error {
	if c.failed == nil {
		verb, _, _ := strings.Cut(strings.TrimSpace(query), " ")
		c.failed = fmt.Errorf("%s: %w", verb, err)
	}
	if c.conn != nil && c.conn.IsClosed() {
		if gone(err) {
			c.primary.leave(c.primary.termOf(c.conn), err)
		}
		c.drop()
	}
	return c.failed
}

// postgresRows are the rows of the last statement that was sent.
type postgresRows struct {
	pgx.Rows
	conn    *postgresConn
	query   string
	results pgx.BatchResults // nil when all was read
	err     error
}

// Next reports whether there is another row.
func (r *postgresRows) Next() bool {
	if r.results != nil && r.Rows.Next() {
		return true
	}
	_ = r.Close()
	return false
}

// Err tells what ended the rows before their end.
func (r *postgresRows) Err() error { return r.err }

// Close reads what is left, so that the next statement can be sent.
func (r *postgresRows) Close() error {
	if r.results == nil {
		return r.err
	}
	r.Rows.Close()
	err := r.Rows.Err()
	if cerr := r.results.Close(); err == nil {
		err = cerr
	}
	r.results = nil
	if err != nil {
		r.err = r.conn.fail(r.query, err)
	}
	return r.err
}

// The errors of a server that are asked for (its manual, appendix A).
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	uniqueViolation      = "23505"
	lockNotAvailable     = "55P03" // to who waited in vain
	readOnlyTransaction  = "25006"
	inFailedTransaction  = "25P02"
	completionUnknown    = "40003"
	noSpace              = "53100" // disk_full
)

func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// retryable reports whether the same work may succeed when it is done again: also
// where another node has added the guard of a number at the same time, and where an
// entry was posted twice (see Tx.postOnce).
func retryable(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == serializationFailure || e.Code == deadlockDetected ||
		e.Code == uniqueViolation && (e.ConstraintName == "guards_pkey" || e.ConstraintName == "ledger_pkey"))
}

// curable reports whether the jobs of a batch that failed are worth a try by
// themselves: not when the server takes no writes from anybody.
func (c *postgresConn) curable(err error) bool {
	if err == nil || c.conn == nil || errors.Is(err, ErrUnknown) {
		return false
	}
	switch class := sqlState(err); {
	case strings.HasPrefix(class, "25"), strings.HasPrefix(class, "53"), // read only, no room
		strings.HasPrefix(class, "57"), strings.HasPrefix(class, "58"): // interrupted, broken
		return false
	}
	return true
}
