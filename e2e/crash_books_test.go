package e2e

import (
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	stored "countersign/internal/record"
)

// openBooks opens a database without the program: a PostgreSQL database by its URL, or
// the file of a program that does not run, read-only. This preserves the state after a
// crash: without write access, SQLite neither checkpoints nor removes the log of a dead
// program.
func openBooks(t *testing.T, database string) *sql.DB {
	t.Helper()
	return openDatabase(t, database, "ro")
}

// openDatabase is openBooks with a mode for a file: ro or rw.
func openDatabase(t *testing.T, database, mode string) *sql.DB {
	t.Helper()
	driver, name := "pgx", database
	if !strings.HasPrefix(database, "postgres://") {
		driver, name = "sqlite", (&url.URL{Scheme: "file", Opaque: url.PathEscape(database), RawQuery: "mode=" + mode}).String()
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	return db
}

// inFlight returns the events without a recorded outcome in the database of a program that was
// just killed: their messages may have arrived or not. It includes events that began at or after
// since and are already unknown: another node gives them up if their next step is due before
// this read. The test fails if money and verifications disagree: they are committed together.
func inFlight(t *testing.T, database string, since time.Time) map[string]bool {
	t.Helper()
	db := openBooks(t, database)
	defer db.Close()
	var verifications, charges int
	var balance, sum int64
	query(t, db, func(rows *sql.Rows) error { return rows.Scan(&verifications, &charges, &balance, &sum) }, `
		SELECT (SELECT COUNT(*) FROM verifications WHERE account = 'demo0001'),
			(SELECT COUNT(*) FROM ledger WHERE account = 'demo0001' AND kind = 'charge'),
			(SELECT balance FROM accounts WHERE key = 'demo0001'),
			(SELECT SUM(amount) FROM ledger WHERE account = 'demo0001' AND kind NOT IN ('carrier-cost', 'carried-cost'))`)
	if verifications != charges || balance != sum {
		t.Errorf("after a kill: %d verifications and %d charges; balance %d, ledger entries sum to %d",
			verifications, charges, balance, sum)
	}
	events := map[string]bool{}
	for _, r := range readRecords(t, db, "TRUE") {
		for _, e := range r.events {
			if e.state == "submitting" || e.state == "unknown" && !e.started.Before(since.Truncate(time.Millisecond)) {
				events[e.id] = true
			}
		}
	}
	return events
}

// readDocument adds to a record the fields of a stored document that the judge uses.
func readDocument(r *record, doc []byte, submitted time.Time) error {
	c := stored.Reader(doc, submitted)
	stored.Int(&c, 8, &r.price)
	var pin []byte // encrypted; empty after the end
	stored.Text(&c, 12, &pin)
	r.secret = len(pin) > 0
	stored.List(&c, 13, &r.events, func(e *event) {
		var id []byte
		stored.Text(&c, 1, &id)
		e.id = eventID(id)
		stored.Text(&c, 2, &e.channel)
		stored.Int(&c, 3, &e.generation)
		stored.Text(&c, 4, &e.state)
		stored.Int(&c, 5, &e.attempt)
		c.Time(6, &e.started)
	})
	stored.List(&c, 14, &r.checks, func(made *checked) {
		stored.Int(&c, 1, &made.generation)
		c.Bool(3, &made.valid)
	})
	return c.Done()
}

// readRecords returns the verifications that a condition selects, by id.
func readRecords(t *testing.T, db *sql.DB, condition string) map[string]*record {
	t.Helper()
	records := map[string]*record{}
	query(t, db, func(rows *sql.Rows) error {
		var r record
		var id, doc []byte
		var submitted int64
		var finalized sql.NullInt64
		if err := rows.Scan(&id, &r.number, &r.status, &submitted, &finalized, &doc); err != nil {
			return err
		}
		if err := readDocument(&r, doc, time.UnixMilli(submitted)); err != nil {
			return fmt.Errorf("document of %x: %w", id, err)
		}
		r.id = fmt.Sprintf("%x", id)
		if finalized.Valid {
			r.finalized = time.UnixMilli(finalized.Int64)
		} else if !r.secret {
			return fmt.Errorf("document of %x, in progress, has no PIN", id)
		}
		records[r.id] = &r
		return nil
	}, `SELECT id, address, status, submitted_at, finalized_at, document FROM verifications WHERE `+condition)
	return records
}

// readBooks reads the database of the program after it has ended.
func readBooks(t *testing.T, database string) books {
	t.Helper()
	db := openBooks(t, database)
	defer db.Close()
	b := books{verifications: readRecords(t, db, "account = 'demo0001'")}
	query(t, db, func(rows *sql.Rows) error {
		var e entry
		err := rows.Scan(&e.key, &e.kind, &e.amount)
		b.ledger = append(b.ledger, e)
		return err
	}, `SELECT key, kind, amount FROM ledger WHERE account = 'demo0001' AND kind NOT IN ('carrier-cost', 'carried-cost')`)
	query(t, db, func(rows *sql.Rows) error { return rows.Scan(&b.balance) },
		`SELECT balance FROM accounts WHERE key = 'demo0001'`)
	if b.integrity = "ok"; !strings.HasPrefix(database, "postgres://") {
		query(t, db, func(rows *sql.Rows) error { return rows.Scan(&b.integrity) }, `PRAGMA integrity_check`)
	}
	return b
}

func query(t *testing.T, db *sql.DB, scan func(*sql.Rows) error, text string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// eventID formats an event id as the phone does.
func eventID(id []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
