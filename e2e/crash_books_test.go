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
)

// openBooks opens a database past the program: one on PostgreSQL by its URL, or the
// file of a program that does not run, to read only. That leaves a crash as it was:
// SQLite neither moves the log of a dead program into the file nor removes it unless
// it may write.
func openBooks(t *testing.T, database string) *sql.DB {
	t.Helper()
	driver, name := "pgx", database
	if !strings.HasPrefix(database, "postgres://") {
		driver, name = "sqlite", (&url.URL{Scheme: "file", Opaque: url.PathEscape(database), RawQuery: "mode=ro"}).String()
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	return db
}

// inFlight looks at the database of a program that was just killed. It gives the
// events whose outcome is not recorded: they may have arrived or not. Those that began
// since a moment count, too, if they were given up already, as another node does when
// the next step falls due before anybody has looked. It fails the test when money and
// verifications disagree: no crash may come between them.
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
		t.Errorf("after a kill: %d verifications and %d charges; balance %d, and the ledger says %d",
			verifications, charges, balance, sum)
	}
	events := map[string]bool{}
	query(t, db, func(rows *sql.Rows) error {
		var id []byte
		err := rows.Scan(&id)
		events[eventID(id)] = true
		return err
	}, fmt.Sprintf(`SELECT id FROM events WHERE state = 'submitting' OR (state = 'unknown' AND started_at >= %d)`, since.UnixMilli()))
	return events
}

// readBooks reads the database of the program when it has ended.
func readBooks(t *testing.T, database string) books {
	t.Helper()
	db := openBooks(t, database)
	defer db.Close()
	b := books{verifications: map[string]*record{}}
	query(t, db, func(rows *sql.Rows) error {
		var r record
		var id []byte
		var finalized sql.NullInt64
		err := rows.Scan(&id, &r.number, &r.status, &r.price, &finalized, &r.secret)
		r.id = fmt.Sprintf("%x", id)
		if finalized.Valid {
			r.finalized = time.UnixMilli(finalized.Int64)
		}
		b.verifications[r.id] = &r
		return err
	}, `SELECT id, number, status, price, finalized_at, pin IS NOT NULL
		FROM verifications WHERE account = 'demo0001'`)
	query(t, db, func(rows *sql.Rows) error {
		var e event
		var id, verification []byte
		var started int64
		err := rows.Scan(&id, &verification, &e.channel, &e.generation, &e.state, &e.attempt, &started)
		e.id, e.started = eventID(id), time.UnixMilli(started)
		r := b.verifications[fmt.Sprintf("%x", verification)]
		r.events = append(r.events, e)
		return err
	}, `SELECT id, verification, channel, generation, state, attempt, started_at FROM events ORDER BY seq`)
	query(t, db, func(rows *sql.Rows) error {
		var c checked
		var verification []byte
		err := rows.Scan(&verification, &c.generation, &c.valid)
		r := b.verifications[fmt.Sprintf("%x", verification)]
		r.checks = append(r.checks, c)
		return err
	}, `SELECT verification, generation, valid FROM checks ORDER BY seq`)
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

// eventID writes an event's id as the phone does.
func eventID(id []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
