package sqlite

import (
	"cmp"
	"context"
	"errors"
	"log/slog"

	"countersign/internal/store/driver"
)

// Writer writes to a file. It implements [driver.Writer].
//
// A transaction has no savepoints, for which SQLite would keep a copy of every changed page.
type Writer struct {
	conn  *Conn
	log   *slog.Logger
	files *files // nil unless opened for serving

	changes map[driver.Change]string // statements for one row
}

func newWriter(conn *Conn, log *slog.Logger) *Writer {
	return &Writer{conn: conn, log: log, changes: map[driver.Change]string{}}
}

// Begin begins a transaction. It waits for a writer of another process. It refuses if the
// files were replaced.
func (w *Writer) Begin() error {
	if err := w.files.check(); err != nil {
		return err
	}
	return w.run("BEGIN IMMEDIATE")
}

// Commit commits the transaction, or rolls it back.
func (w *Writer) Commit() error {
	err := w.run("COMMIT")
	if err != nil {
		w.RollBack()
	}
	return err
}

// RollBack rolls the transaction back. It is not an error if SQLite has done so already, as
// on a full disk.
func (w *Writer) RollBack() {
	if err := w.run("ROLLBACK"); err != nil {
		w.log.Debug("roll back", "error", err)
	}
}

// Failed reports that SQLite has ended the transaction, as after an I/O error of a read.
// Later statements would commit without COMMIT.
func (w *Writer) Failed() error {
	if w.conn.InTransaction() {
		return nil
	}
	return driver.ErrUndone
}

// Retry returns the chance of success after an error.
func (*Writer) Retry(err error) driver.Retry {
	if errors.Is(err, driver.ErrUndone) {
		return driver.Apart
	}
	return driver.Never
}

// Exec runs a statement.
func (w *Writer) Exec(query string, args []any) (int64, error) {
	return w.conn.Exec(context.Background(), query, args...)
}

// Send runs a statement.
func (w *Writer) Send(query string, args []any) error {
	_, err := w.Exec(query, args)
	return err
}

// Add changes one row.
func (w *Writer) Add(c driver.Change, _ [16]byte, row []any) error {
	text := w.changes[c]
	if text == "" {
		text = c.Parse().One()
		w.changes[c] = text
	}
	return w.Send(text, row)
}

// Query runs a statement that returns rows.
func (w *Writer) Query(query string, args []any) (driver.Rows, error) {
	rows, err := w.conn.Query(context.Background(), query, args...)
	if err != nil {
		return nil, err // A nil *Rows would not be a nil driver.Rows.
	}
	return rows, nil
}

// Ask runs queries, one after the other.
func (w *Writer) Ask(questions ...driver.Question) error {
	for _, q := range questions {
		rows, err := w.conn.Query(context.Background(), q.Query, q.Args...)
		if err != nil {
			return err
		}
		for err == nil && rows.Next() {
			err = q.Row(rows)
		}
		if err = cmp.Or(err, rows.Close()); err != nil {
			return err
		}
	}
	return nil
}

// run runs a statement without arguments.
func (w *Writer) run(text string) error {
	_, err := w.conn.Exec(context.Background(), text)
	return err
}
