package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"countersign/internal/store/driver"
)

// Writer writes to a server. It implements [driver.Writer]. Round trips cost most, so
// statements without a result are sent with the next statement that has one, as are BEGIN
// and COMMIT.
type Writer struct {
	primary   *primary
	log       *slog.Logger
	conflicts []string  // see driver.Options
	conn      *pgx.Conn // nil after its loss
	used      time.Time

	changes map[driver.Change]*driver.ParsedChange
	pending []statement // sent with the next result
	begun   bool        // the server has received BEGIN
	failed  error       // error of the first failed statement; the server refuses all others
}

// statement is a statement to be sent. A change may be for several rows.
type statement struct {
	query string
	args  []any

	change *driver.ParsedChange // nil if it is not a change
	about  map[[16]byte]bool    // items of the rows of a change
}

// maxRows bounds the rows of a change. PostgreSQL takes 65,535 arguments.
const maxRows = 64

// queue adds the statement to a message. It changes rows by statements for 64, 32, … 1
// rows, so that the server parses and plans few texts.
func (s statement) queue(batch *pgx.Batch) {
	if s.change == nil {
		batch.Queue(s.query, s.args...)
		return
	}
	for args, n, width := s.args, maxRows, s.change.Width(); len(args) > 0; n /= 2 {
		for len(args) >= n*width {
			batch.Queue(s.change.Many(n), args[:n*width]...)
			args = args[n*width:]
		}
	}
}

// statements returns the number of statements that queue adds.
func (s statement) statements() int {
	if s.change == nil {
		return 1
	}
	rows := len(s.args) / s.change.Width()
	return rows/maxRows + bits.OnesCount(uint(rows%maxRows))
}

func newWriter(p *primary, o driver.Options) *Writer {
	return &Writer{primary: p, log: o.Log, conflicts: o.Conflicts, changes: map[driver.Change]*driver.ParsedChange{}}
}

// idleCheck is the time after which an unused connection is tested before a transaction.
const idleCheck = time.Second

// connect opens a connection, unless the present one works.
func (w *Writer) connect(ctx context.Context) error {
	used := w.used
	w.used = time.Now()
	if w.conn != nil && w.primary.current(w.conn) && (w.used.Sub(used) < idleCheck || w.answers(ctx)) {
		return nil
	}
	w.drop()
	conn, err := w.primary.connect(ctx)
	if err != nil {
		return err
	}
	if err = setDurable(ctx, conn); err == nil {
		err = planByIndex(ctx, conn)
	}
	if err == nil {
		err = share(ctx, conn)
	}
	if err != nil {
		return errors.Join(err, conn.Close(ctx))
	}
	w.conn = conn
	return nil
}

// answers reports whether the server answers on the connection.
func (w *Writer) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, w.primary.cfg.ConnectTimeout)
	defer cancel()
	term := w.primary.now()
	err := w.conn.Ping(ctx)
	if err != nil {
		w.primary.leave(term, err)
	}
	return err == nil
}

// setDurable turns on the wait for the disk in each commit. A stricter setting than "on" stays.
func setDurable(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', FALSE)
		WHERE current_setting('synchronous_commit') = 'off'`)
	return err
}

// planByIndex makes the server plan each statement once, and with an index. Without statistics
// of a table, the server would read the whole table for each batch, also after it has grown,
// until it is analysed. A pooler may drop parameters of the connection, so these are set by a
// statement.
//
// jit is off, because a table without a suitable index is still read as a whole. PostgreSQL
// adds 10^10 to the cost of such a plan, and would compile the statement to machine code.
func planByIndex(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SELECT set_config('plan_cache_mode', 'force_generic_plan', FALSE), set_config(name, 'off', FALSE)
		FROM unnest(ARRAY['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin', 'jit']) name`)
	return err
}

// close closes the connection. The server need not answer.
func (w *Writer) close() {
	if w.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = w.conn.Close(ctx)
}

// Begin connects, if there is no connection that works. BEGIN travels with the first statement.
func (w *Writer) Begin() error {
	ctx, cancel := context.WithTimeout(context.Background(), w.primary.patience())
	defer cancel()
	if err := w.connect(ctx); err != nil {
		return err
	}
	w.pending, w.begun, w.failed = append(w.pending[:0], statement{query: "BEGIN ISOLATION LEVEL READ COMMITTED"}), false, nil
	return nil
}

// Failed returns the error of the first statement that failed.
func (w *Writer) Failed() error { return w.failed }

// Commit sends the pending statements and COMMIT.
func (w *Writer) Commit() error {
	if !w.begun && len(w.pending) == 1 {
		return nil // an empty transaction
	}
	delete(w.conn.PgConn().CustomData(), unreplicatedKey)
	tag, err := w.flush("COMMIT", nil)
	switch {
	case err != nil && w.conn == nil && undecided(err):
		return fmt.Errorf("%w: %w", driver.ErrUnknown, err)
	case err != nil:
		w.RollBack()
		return err
	case tag.String() != "COMMIT":
		return fmt.Errorf("the server answered the commit with %s", tag)
	case w.conn.PgConn().CustomData()[unreplicatedKey] != nil:
		return fmt.Errorf("%w: the wait for a synchronous standby was cancelled", driver.ErrUnknown)
	}
	return nil
}

// RollBack ends the transaction if the server has received any statement.
func (w *Writer) RollBack() {
	w.pending = w.pending[:0]
	if !w.begun || w.conn == nil {
		return
	}
	if _, err := w.conn.Exec(context.Background(), "ROLLBACK"); err != nil {
		w.log.Debug("roll back", "error", err)
		w.drop()
	}
}

// drop closes the connection. The next transaction opens another.
func (w *Writer) drop() {
	w.close()
	w.conn = nil
}

// Send adds a statement to the pending ones.
func (w *Writer) Send(query string, args []any) error {
	if w.failed == nil {
		w.pending = append(w.pending, statement{query: query, args: storable(args)})
	}
	return w.failed
}

// Add appends the row to the pending rows of the same change, unless a later pending
// statement may concern the same item.
func (w *Writer) Add(c driver.Change, about [16]byte, row []any) error {
	if w.failed != nil {
		return w.failed
	}
	parsed := w.changes[c]
	if parsed == nil {
		parsed = c.Parse()
		w.changes[c] = parsed
	}
	row = storable(row)
	for i := len(w.pending) - 1; i >= 0 && w.pending[i].change != nil && !w.pending[i].about[about]; i-- {
		if s := &w.pending[i]; s.change == parsed {
			s.args, s.about[about] = append(s.args, row...), true
			return nil
		}
	}
	w.pending = append(w.pending, statement{query: parsed.Verb(), args: row, change: parsed, about: map[[16]byte]bool{about: true}})
	return nil
}

// Exec sends the pending statements and the given one.
func (w *Writer) Exec(query string, args []any) (int64, error) {
	tag, err := w.flush(query, args)
	return tag.RowsAffected(), err
}

// flush sends the pending statements and the given one, and returns its result.
func (w *Writer) flush(query string, args []any) (tag pgconn.CommandTag, err error) {
	results, err := w.submit(query, args)
	if err != nil {
		return tag, err
	}
	tag, err = results.Exec()
	if cerr := results.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return tag, w.fail(query, err)
	}
	return tag, nil
}

// Query sends the pending statements and a query.
func (w *Writer) Query(query string, args []any) (driver.Rows, error) {
	results, err := w.submit(query, args)
	if err != nil {
		return nil, err
	}
	r, err := results.Query()
	if err != nil {
		_ = results.Close()
		return nil, w.fail(query, err)
	}
	return &rows{Rows: r, conn: w, query: query, results: results}, nil
}

// Ask sends the pending statements and some queries in one round trip, and reads all results.
func (w *Writer) Ask(questions ...driver.Question) error {
	if w.failed != nil || len(questions) == 0 {
		return w.failed
	}
	var batch pgx.Batch
	for _, s := range w.pending {
		s.queue(&batch)
	}
	for _, q := range questions {
		batch.Queue(q.Query, storable(q.Args)...)
	}
	results := w.sendBatch(&batch)
	if err := w.readPending(results); err != nil {
		return err
	}
	for _, q := range questions {
		rows, err := results.Query()
		for err == nil && rows.Next() {
			err = q.Row(rows)
		}
		if err == nil {
			rows.Close()
			err = rows.Err()
		}
		if err != nil {
			_ = results.Close()
			return w.fail(q.Query, err)
		}
	}
	if err := results.Close(); err != nil {
		return w.fail(questions[len(questions)-1].Query, err)
	}
	return nil
}

// submit sends the pending statements and the given one in one round trip, and reads all
// results but the last.
func (w *Writer) submit(query string, args []any) (pgx.BatchResults, error) {
	if w.failed != nil {
		return nil, w.failed
	}
	var batch pgx.Batch
	for _, s := range w.pending {
		s.queue(&batch)
	}
	batch.Queue(query, storable(args)...)
	results := w.sendBatch(&batch)
	return results, w.readPending(results)
}

// readPending reads the results of the pending statements.
func (w *Writer) readPending(results pgx.BatchResults) error {
	sent := w.pending
	w.pending = w.pending[:0]
	for _, s := range sent {
		for range s.statements() {
			if _, err := results.Exec(); err != nil {
				_ = results.Close()
				return w.fail(s.query, err)
			}
		}
	}
	return nil
}

// sendBatch sends the statements of a transaction, or some of them.
func (w *Writer) sendBatch(batch *pgx.Batch) pgx.BatchResults {
	w.begun = true
	return w.conn.SendBatch(context.Background(), batch)
}

// fail records the first error of the transaction.
func (w *Writer) fail(query string, err error) error {
	if w.failed == nil {
		verb, _, _ := strings.Cut(strings.TrimSpace(query), " ")
		if state := SQLState(err); state == LockNotAvailable || state == queryCanceled {
			err = fmt.Errorf("%w: %w", driver.ErrLocked, err)
		}
		w.failed = fmt.Errorf("%s: %w", verb, err)
	}
	if w.conn != nil && w.conn.IsClosed() {
		if gone(err) {
			w.primary.leave(w.primary.termOf(w.conn), err)
		}
		w.drop()
	}
	return w.failed
}

// Retry returns the chance of success after an error.
func (w *Writer) Retry(err error) driver.Retry {
	switch {
	case errors.Is(err, driver.ErrUnknown):
		return driver.Never
	case w.conflict(err):
		return driver.Conflict
	case w.conn == nil:
		return driver.Lost
	}
	switch class := SQLState(err); {
	case strings.HasPrefix(class, "25"), strings.HasPrefix(class, "53"), // read only, no room
		strings.HasPrefix(class, "57"), strings.HasPrefix(class, "58"): // interrupted, broken
		return driver.Never
	}
	return driver.Apart
}

// conflict reports whether another transaction was in the way, for example because it added
// the same row at the same time.
func (w *Writer) conflict(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == serializationFailure || e.Code == deadlockDetected ||
		e.Code == uniqueViolation && slices.Contains(w.conflicts, e.ConstraintName))
}
