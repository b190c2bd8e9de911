package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"countersign/internal/await"
	"countersign/internal/pgtest"
	"countersign/internal/vault"
)

// These tests are in the package, since only its code can block the writer until a batch is
// queued.

func openTemp(t *testing.T) *DB {
	t.Helper()
	db := openPath(t, pgtest.File(t, filepath.Join(t.TempDir(), "countersign.db"), "migrated", Migrate))
	t.Cleanup(func() { _ = db.Close() }) // a test may have closed it
	return db
}

var testKey = vault.NewKey()

func openPath(t *testing.T, path string) *DB {
	t.Helper()
	db, err := Open(t.Context(), Config{Database: path, Key: testKey, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// hold blocks the writer. Jobs that are queued before release become one batch, up to its
// maximum.
func hold(t *testing.T, db *DB) (release func()) {
	t.Helper()
	holding, released := make(chan struct{}), make(chan struct{})
	done := queue(t, db, func(*Tx) error {
		close(holding)
		<-released
		return nil
	})[0]
	<-holding
	return func() {
		close(released)
		if err := <-done; err != nil {
			t.Errorf("the job that held the writer: %v", err)
		}
	}
}

// queue passes jobs to the writer in order, without waiting for them.
func queue(t *testing.T, db *DB, jobs ...func(*Tx) error) (results []chan error) {
	t.Helper()
	for _, do := range jobs {
		j := job{do: do, result: make(chan error, 1)}
		if err := db.writers[0].enqueue(j); err != nil {
			t.Fatal(err)
		}
		results = append(results, j.result)
	}
	return results
}

// put is a job that inserts a row with a name.
func put(name string) func(*Tx) error {
	return func(tx *Tx) error {
		_, err := tx.exec(`INSERT INTO settings (name, value) VALUES ($1, 'x')`, name)
		return err
	}
}

// traces lists the names that put has inserted.
func traces(t *testing.T, db *DB) []string {
	t.Helper()
	rows, err := db.query(t.Context(), `SELECT name FROM settings WHERE name <> 'key_check' ORDER BY name`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return names
}

var errJob = errors.New("the job failed")

// TestFailingJob: after a failure in a batch, each job runs again and succeeds or fails
// separately.
func TestFailingJob(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	release := hold(t, db)
	var before []int // rows committed before each run
	results := queue(t, db,
		put("a"),
		func(tx *Tx) error { return errors.Join(put("b")(tx), errJob) },
		put("c"),
		put("a"), // duplicate key
		func(tx *Tx) error {
			if _, err := tx.exec(`nonsense`); err == nil {
				t.Error("nonsense was executed")
			}
			return errJob
		},
		func(tx *Tx) error {
			before = append(before, len(traces(t, db)))
			return put("d")(tx)
		},
	)
	release()
	for i, fails := range []bool{false, true, false, true, true, false} {
		if err := <-results[i]; (err != nil) != fails {
			t.Errorf("job %d: %v, want an error: %v", i, err, fails)
		}
	}
	if want := []int{2}; !slices.Equal(before, want) { // in the first run "b" failed before that job
		t.Errorf("%v were committed before the last job, want %v", before, want)
	}
	if got, want := traces(t, db), []string{"a", "c", "d"}; !slices.Equal(got, want) {
		t.Errorf("written: %v, want %v", got, want)
	}
}

// TestUsedSignature: two concurrent copies of a signed request do not cause other jobs of the
// batch to run again.
func TestUsedSignature(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	release := hold(t, db)
	var runs int
	results := queue(t, db, func(*Tx) error { runs++; return nil })
	errs := make(chan error)
	for range 2 {
		go func() { errs <- db.UseSignature(t.Context(), "demo0001", []byte("signature"), time.Now()) }()
	}
	await.Until(t, "queued: three jobs", func() bool { return len(db.writers[0].queue) >= 3 })
	release()
	first, second := <-errs, <-errs
	if errors.Is(first, ErrSignatureUsed) == errors.Is(second, ErrSignatureUsed) {
		t.Errorf("got %v and %v, want one of them refused", first, second)
	}
	if err := <-results[0]; err != nil || runs != 1 {
		t.Errorf("another job was run %d times (%v), want once", runs, err)
	}
}

// TestCommitFails: a failed commit is the error of every job of the batch, and later writes
// succeed.
func TestCommitFails(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	release := hold(t, db)
	results := queue(t, db,
		put("a"),
		func(tx *Tx) error { // SQLite detects it in COMMIT
			_, err := tx.exec(`PRAGMA defer_foreign_keys = ON`)
			if err == nil {
				_, err = tx.exec(`INSERT INTO approved_numbers (account, number, created_at) VALUES ('nobody', '1', 0)`)
			}
			return err
		},
		func(*Tx) error { return errJob },
		put("b"),
	)
	release()
	for i, result := range results {
		if err := <-result; err == nil || errors.Is(err, errJob) {
			t.Errorf("job %d: %v, want the error of the commit", i, err)
		}
	}
	if err := db.Write(t.Context(), Scope{}, put("c")); err != nil {
		t.Errorf("the next batch: %v", err)
	}
	if got, want := traces(t, db), []string{"c"}; !slices.Equal(got, want) {
		t.Errorf("written: %v, want %v", got, want)
	}
}

// TestBeginFails: the same if the database cannot be written at all.
func TestBeginFails(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	release := hold(t, db)
	results := queue(t, db, func(tx *Tx) error {
		_, err := tx.exec(`PRAGMA busy_timeout = 0`)
		return err
	})
	release()
	if err := <-results[0]; err != nil {
		t.Fatal(err)
	}
	other, err := sql.Open("sqlite", db.at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	other.SetMaxOpenConns(1)
	if _, err := other.ExecContext(t.Context(), `BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	for _, result := range queue(t, db, put("a"), put("b")) {
		if err := <-result; err == nil {
			t.Error("written while another process holds the database")
		}
	}
	if _, err := other.ExecContext(t.Context(), `COMMIT`); err != nil {
		t.Fatal(err)
	}
	if err := db.Write(t.Context(), Scope{}, put("c")); err != nil {
		t.Errorf("after the other process has closed it: %v", err)
	}
	if got, want := traces(t, db), []string{"c"}; !slices.Equal(got, want) {
		t.Errorf("written: %v, want %v", got, want)
	}
}

// TestDiskFull: every write that returned success is durable, although SQLite may roll back the
// whole transaction.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	if err := db.Write(t.Context(), Scope{}, func(tx *Tx) error {
		_, err := tx.exec(`PRAGMA max_page_count = 1`) // in effect, the present size
		return err
	}); err != nil {
		t.Fatal(err)
	}
	release := hold(t, db)
	var jobs []func(*Tx) error
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("%02d", i))
		do := put(names[i])
		if i == 10 {
			do = func(tx *Tx) error {
				_, err := tx.exec(`INSERT INTO settings (name, value) VALUES ('huge', zeroblob(10000000))`)
				return err
			}
		}
		jobs = append(jobs, do)
	}
	results := queue(t, db, jobs...)
	release()
	var want []string
	for i, result := range results {
		err := <-result
		switch {
		case i == 10 && err == nil:
			t.Fatal("10 MB fitted into a full disk")
		case err == nil:
			want = append(want, names[i])
		}
	}
	if got := traces(t, db); !slices.Equal(got, want) {
		t.Errorf("written: %v, but acknowledged: %v", got, want)
	}
	if err := db.Write(t.Context(), Scope{}, func(*Tx) error { return nil }); err != nil {
		t.Errorf("the writer is stuck: %v", err)
	}
}

func TestOverloaded(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	release := hold(t, db)
	ran := 0
	count := func(*Tx) error {
		ran++
		return nil
	}
	results := queue(t, db, slices.Repeat([]func(*Tx) error{count}, maxQueued)...)
	if err := db.Write(t.Context(), Scope{}, count); !errors.Is(err, ErrOverloaded) {
		t.Errorf("with a full queue: %v, want ErrOverloaded", err)
	}
	release()
	for _, result := range results {
		if err := <-result; err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Write(t.Context(), Scope{}, count); err != nil {
		t.Errorf("with an empty queue: %v", err)
	}
	if ran != maxQueued+1 {
		t.Errorf("%d jobs ran, want %d", ran, maxQueued+1)
	}
}

// TestCloseDrains: a write that was queued before Close is durable after it.
func TestCloseDrains(t *testing.T) {
	t.Parallel()
	path := pgtest.File(t, filepath.Join(t.TempDir(), "countersign.db"), "migrated", Migrate)
	db := openPath(t, path)
	release := hold(t, db)
	var jobs []func(*Tx) error
	var want []string
	for i := range 1000 { // several batches
		want = append(want, fmt.Sprintf("%04d", i))
		jobs = append(jobs, put(want[i]))
	}
	results := queue(t, db, jobs...)
	closed := make(chan error, 1)
	go func() { closed <- db.Close() }()
	await.Until(t, "closed", func() bool {
		db.writers[0].mu.RLock()
		defer db.writers[0].mu.RUnlock()
		return db.writers[0].closed
	})
	if err := db.Write(t.Context(), Scope{}, put("late")); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
	release()
	for i, result := range results {
		if err := <-result; err != nil {
			t.Fatalf("job %d: %v", i, err)
		}
	}
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	again := openPath(t, path)
	defer again.Close()
	if got := traces(t, again); !slices.Equal(got, want) {
		t.Errorf("%d traces are left, want %d", len(got), len(want))
	}
}

// TestWriteOutlivesItsContext: a queued write runs and returns its result although its context
// is cancelled.
func TestWriteOutlivesItsContext(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	release := hold(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- db.Write(ctx, Scope{}, put("a")) }()
	await.Until(t, "queued", func() bool { return len(db.writers[0].queue) == 1 })
	cancel()
	release()
	if err := <-result; err != nil {
		t.Errorf("got %v, want the write to be carried out", err)
	}
	if got := traces(t, db); !slices.Equal(got, []string{"a"}) {
		t.Errorf("written: %v, want a", got)
	}
}

// TestCloseLeavesNothing cannot be parallel: it counts goroutines.
func TestCloseLeavesNothing(t *testing.T) { //nolint:paralleltest // see above
	before := goleak.IgnoreCurrent()
	db := openPath(t, filepath.Join(t.TempDir(), "countersign.db"))
	if err := db.Write(t.Context(), Scope{}, put("a")); err != nil {
		t.Fatal(err)
	}
	traces(t, db)
	if err := db.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	goleak.VerifyNone(t, before)
}

// TestTransactionLost: SQLite rolls back the transaction itself, as after an I/O error of a
// read. The other jobs of the batch are not lost, and no job runs outside of a transaction.
func TestTransactionLost(t *testing.T) {
	t.Parallel()
	db := openPath(t, filepath.Join(t.TempDir(), "countersign.db"))
	t.Cleanup(func() { _ = db.Close() })
	put := func(name string, result error) func(*Tx) error {
		return func(tx *Tx) error {
			_, err := tx.exec(`INSERT INTO settings (name, value) VALUES ($1, $1)`, name)
			return cmp.Or(err, result)
		}
	}
	errRead := errors.New("disk I/O error")
	release := hold(t, db)
	results := queue(t, db, put("before", nil), func(tx *Tx) error {
		rows, err := tx.query(`ROLLBACK`)
		if err == nil {
			err = rows.Close()
		}
		return cmp.Or(err, errRead)
	}, put("after", nil), put("undone", errRead))
	release()
	for i, want := range []error{nil, errRead, nil, errRead} {
		if err := <-results[i]; !errors.Is(err, want) {
			t.Errorf("job %d: %v, want %v", i, err, want)
		}
	}
	var names string
	if err := db.queryRow(t.Context(), `SELECT group_concat(name) FROM (SELECT name FROM settings
		WHERE name IN ('before', 'after', 'undone') ORDER BY name)`, nil, &names); err != nil || names != "after,before" {
		t.Errorf("the database has %q (%v), want after and before", names, err)
	}
}

// TestRunningOfPlan: the search for the verifications in progress of a number, in the writer,
// does not read all verifications.
func TestRunningOfPlan(t *testing.T) {
	t.Parallel()
	db := openPath(t, filepath.Join(t.TempDir(), "countersign.db"))
	t.Cleanup(func() { _ = db.Close() })
	rows, err := db.query(t.Context(), `EXPLAIN QUERY PLAN `+findRunningOf, "447700900001")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, step)
	}
	all := strings.Join(plan, "; ")
	if rows.Err() != nil || strings.Contains(all, "SCAN") || !strings.Contains(all, "verifications_due") {
		t.Errorf("the plan is %q (%v), want searches by the index verifications_due and by id", all, rows.Err())
	}
}
