package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/pgtest"
)

// openPostgres opens a database, with options for its connections.
func openPostgres(t *testing.T, database string, options ...string) *DB {
	t.Helper()
	for _, o := range options {
		database += "&" + o
	}
	return openPostgresWith(t, database, nil)
}

// openPostgresWith opens a database with Config.Dial.
func openPostgresWith(t *testing.T, database string, dial func(context.Context, string, string) (net.Conn, error)) *DB {
	t.Helper()
	db, err := Open(t.Context(), Config{Database: database, Key: testKey, Log: slog.New(slog.DiscardHandler), Dial: dial})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func wantTraces(t *testing.T, db *DB, want ...string) {
	t.Helper()
	if got := traces(t, db); !slices.Equal(got, want) {
		t.Errorf("written: %v, want %v", got, want)
	}
}

// lay is put without waiting for the result.
func lay(name string) func(*Tx) error {
	return func(tx *Tx) error { return tx.send(`INSERT INTO settings (name, value) VALUES ($1, 'x')`, name) }
}

// TestPostgresFailingJob: jobs of one batch fail separately, also if the failed statement
// was sent with others.
func TestPostgresFailingJob(t *testing.T) {
	t.Parallel()
	db := openPostgres(t, pgtest.Prepared(t, "migrated", Migrate))
	release := hold(t, db)
	results := queue(t, db,
		put("a"),
		func(tx *Tx) error { return errors.Join(put("b")(tx), errJob) },
		lay("c"),
		lay("a"), // exists already
		func(tx *Tx) error {
			_, err := tx.exec(`nonsense`)
			return err
		},
		func(tx *Tx) error { return tx.send(`nonsense`) },
		func(*Tx) error { return errJob },
		func(tx *Tx) error {
			return tx.send(`INSERT INTO settings (name, value) VALUES ($1, 'x')`, make(chan int))
		},
		put("d"),
	)
	release()
	for i, fails := range []bool{false, true, false, true, true, true, true, true, false} {
		if err := <-results[i]; (err != nil) != fails {
			t.Errorf("job %d: %v, want an error: %v", i, err, fails)
		}
	}
	wantTraces(t, db, "a", "c", "d")
}

// TestPostgresDeadlock: two jobs of two nodes that deadlock both succeed, one of them in
// its second run.
func TestPostgresDeadlock(t *testing.T) {
	t.Parallel()
	database := pgtest.Prepared(t, "migrated", Migrate)
	nodes := []*DB{openPostgres(t, database), openPostgres(t, database)}
	if err := nodes[0].Write(t.Context(), Scope{}, func(tx *Tx) error { return errors.Join(put("a")(tx), put("b")(tx)) }); err != nil {
		t.Fatal(err)
	}
	var runs atomic.Int32
	held := [2]chan struct{}{make(chan struct{}, 9), make(chan struct{}, 9)}
	results := make(chan error, 2)
	for i, db := range nodes {
		order := []string{"a", "b"}
		if i == 1 {
			slices.Reverse(order)
		}
		go func() {
			results <- db.Write(context.WithoutCancel(t.Context()), Scope{}, func(tx *Tx) error {
				touch := func(name string) error {
					_, err := tx.exec(`UPDATE settings SET value = value || 'y' WHERE name = $1`, name)
					return err
				}
				first := runs.Add(1) <= 2
				if err := touch(order[0]); err != nil {
					return err
				}
				if first { // each has one lock now, and requests the other
					held[i] <- struct{}{}
					<-held[1-i]
				}
				return touch(order[1])
			})
		}()
	}
	for range nodes {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if n := runs.Load(); n < 3 {
		t.Errorf("%d runs: there was no deadlock", n)
	}
	var values string
	pgtest.Scan(t, database, `SELECT string_agg(encode(value, 'escape'), ' ') FROM settings WHERE name IN ('a', 'b')`, &values)
	if values != "xyy xyy" {
		t.Errorf("the values are %q", values)
	}
}

// TestPostgresKeptOut: a write that other transactions prevent until its tries or its time
// are used up wraps ErrOverloaded, in a batch and alone, and changes no row.
func TestPostgresKeptOut(t *testing.T) {
	t.Parallel()
	const number = "447700900000"
	for name, keepOut := range map[string]func(t *testing.T, database string) func(*Tx) error{
		// Another node adds and prunes the history of the number during each try.
		"Conflict": func(t *testing.T, database string) func(*Tx) error {
			return func(tx *Tx) error {
				key := tx.guards.key(number)
				pgtest.Exec(t, database, `DELETE FROM guards`)
				if _, err := tx.guards.load(key); err != nil {
					return err
				}
				pgtest.Exec(t, database, `INSERT INTO guards (number, state, running, stale_at) VALUES ($1, '', '', 0)`, key[:])
				tx.guards.rows[key] = &guardRow{changed: true}
				return nil
			}
		},
		"Lock": func(t *testing.T, database string) func(*Tx) error {
			asleep := openPostgres(t, database)
			if err := asleep.Write(t.Context(), Scope{}, put("locked")); err != nil {
				t.Fatal(err)
			}
			touch := func(tx *Tx) error {
				_, err := tx.exec(`UPDATE settings SET value = 'z' WHERE name = 'locked'`)
				return err
			}
			holding, release := make(chan struct{}), make(chan struct{})
			result := make(chan error, 1)
			go func() {
				result <- asleep.Write(context.WithoutCancel(t.Context()), Scope{}, func(tx *Tx) error {
					err := touch(tx)
					close(holding)
					<-release
					return err
				})
			}()
			<-holding
			t.Cleanup(func() {
				close(release)
				if err := <-result; err != nil {
					t.Error(err)
				}
			})
			return touch
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := pgtest.Prepared(t, "migrated", Migrate)
			job := keepOut(t, database)
			db := openPostgres(t, database, "lock_timeout=100")
			both := func(tx *Tx) error { return errors.Join(put("lost")(tx), job(tx)) }
			if err := <-queue(t, db, both)[0]; !errors.Is(err, ErrOverloaded) {
				t.Errorf("alone: %v, want ErrOverloaded", err)
			}
			release := hold(t, db)
			results := queue(t, db, both, put("kept"))
			release()
			if err := <-results[0]; !errors.Is(err, ErrOverloaded) {
				t.Errorf("in a batch: %v, want ErrOverloaded", err)
			}
			if err := <-results[1]; err != nil {
				t.Errorf("the other job of the batch: %v", err)
			}
			wantTraces(t, db, slices.DeleteFunc([]string{"kept", "locked"}, func(s string) bool { return s == "locked" && name != "Lock" })...)
		})
	}
}

// kill ends all connections to a database except its own connection.
func kill(t *testing.T, database string) {
	t.Helper()
	pgtest.Exec(t, database, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	await.Until(t, "closed: the connections", func() bool {
		var left int
		pgtest.Scan(t, database, `SELECT COUNT(*) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'countersign'`, &left)
		return left == 0
	})
}

// TestPostgresKilled: a connection that is lost before the commit is replaced, and the job
// runs again. If it is lost during the commit, the error wraps ErrUnknown.
func TestPostgresKilled(t *testing.T) {
	t.Parallel()
	database := pgtest.Prepared(t, "migrated", Migrate)
	db := openPostgres(t, database)
	// Use the same writer each time: another may still have a killed connection.
	write := func(do func(*Tx) error) error { return <-queue(t, db, do)[0] }
	if err := write(put("a")); err != nil {
		t.Fatal(err)
	}

	runs := 0
	if err := write(func(tx *Tx) error {
		if runs++; runs > 1 {
			return put("b")(tx)
		}
		if err := put("lost")(tx); err != nil {
			return err
		}
		kill(t, database)
		return put("lost, too")(tx)
	}); err != nil || runs != 2 {
		t.Errorf("killed before the commit: %v after %d runs, want it to be run again", err, runs)
	}

	runs = 0
	if err := write(func(tx *Tx) error {
		runs++
		if err := put("c")(tx); err != nil {
			return err
		}
		kill(t, database)
		return nil
	}); !errors.Is(err, ErrUnknown) || runs != 1 {
		t.Errorf("killed before the answer to the commit: %v after %d runs, want ErrUnknown after one", err, runs)
	}

	release := hold(t, db)
	results := queue(t, db, put("d"), put("e"))
	kill(t, database)
	release()
	for _, result := range results {
		if err := <-result; err != nil && !errors.Is(err, ErrUnknown) {
			t.Error(err)
		}
	}
	if err := write(put("f")); err != nil {
		t.Errorf("the writer is stuck: %v", err)
	}
	wantTraces(t, db, "a", "b", "d", "e", "f")
}

// TestPostgresAsleep: a node that hangs within a transaction blocks other nodes only
// briefly, and its write fails afterwards.
func TestPostgresAsleep(t *testing.T) {
	t.Parallel()
	database := pgtest.Prepared(t, "migrated", Migrate)
	asleep := openPostgres(t, database, "idle_in_transaction_session_timeout=300")
	awake := openPostgres(t, database)
	if err := awake.Write(t.Context(), Scope{}, put("a")); err != nil {
		t.Fatal(err)
	}
	sleeping, woken := make(chan struct{}), make(chan struct{})
	result := make(chan error, 1)
	go func() {
		result <- asleep.Write(context.WithoutCancel(t.Context()), Scope{}, func(tx *Tx) error {
			_, err := tx.exec(`UPDATE settings SET value = 'z' WHERE name = 'a'`)
			close(sleeping)
			<-woken
			return err
		})
	}()
	<-sleeping
	begun := time.Now()
	if err := awake.Write(t.Context(), Scope{}, func(tx *Tx) error {
		_, err := tx.exec(`UPDATE settings SET value = 'y' WHERE name = 'a'`)
		return err
	}); err != nil {
		t.Errorf("blocked by a node that hangs: %v", err)
	}
	if waited := time.Since(begun); waited > 4*time.Second {
		t.Errorf("waited %v", waited)
	}
	close(woken)
	if err := <-result; err == nil {
		t.Error("the late write was accepted")
	}
	var value string
	pgtest.Scan(t, database, `SELECT encode(value, 'escape') FROM settings WHERE name = 'a'`, &value)
	if value != "y" {
		t.Errorf("the value is %q", value)
	}
	if err := asleep.Write(t.Context(), Scope{}, put("b")); err != nil {
		t.Errorf("awake again: %v", err)
	}
}

// brittleConn closes within its next message if cut is set, and resets cut.
type brittleConn struct {
	net.Conn
	cut *atomic.Bool
}

func (c brittleConn) Write(b []byte) (int, error) {
	if !c.cut.CompareAndSwap(true, false) {
		return c.Conn.Write(b)
	}
	n, err := c.Conn.Write(b[:len(b)/2])
	return n, errors.Join(err, c.Close(), net.ErrClosed)
}

// TestPostgresDial: reads and writes use connections of Config.Dial. If the only message of
// a write is cut, its outcome is unknown, and the next write opens another connection.
func TestPostgresDial(t *testing.T) {
	t.Parallel()
	database := pgtest.Prepared(t, "migrated", Migrate)
	var dialed atomic.Int32
	var cut atomic.Bool
	db := openPostgresWith(t, database, func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialed.Add(1)
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return brittleConn{c, &cut}, err
	})
	write := func(do func(*Tx) error) error { return <-queue(t, db, do)[0] } // always the first writer
	if err := write(put("a")); err != nil {
		t.Fatal(err)
	}
	wantTraces(t, db, "a")
	var sessions int32
	pgtest.Scan(t, database, `SELECT COUNT(*) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = 'countersign'`, &sessions)
	if n := dialed.Load(); n == 0 || n != sessions {
		t.Errorf("%d connections are of Dial, want %d", n, sessions)
	}
	before := dialed.Load()
	cut.Store(true)
	if err := write(lay("b")); !errors.Is(err, ErrUnknown) {
		t.Errorf("a commit that is cut: %v, want ErrUnknown", err)
	}
	if err := write(put("c")); err != nil {
		t.Errorf("after the cut: %v", err)
	}
	if dialed.Load() == before {
		t.Error("the connection after the cut is not of Dial")
	}
	wantTraces(t, db, "a", "c")

	_, err := Open(t.Context(), Config{
		Database: database, Key: testKey, Log: slog.New(slog.DiscardHandler),
		Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		},
	})
	if _, ok := errors.AsType[*UnavailableError](err); !ok {
		t.Errorf("Dial refuses: %v, want an UnavailableError", err)
	}
}

// countingConn counts sent messages.
type countingConn struct {
	net.Conn
	sent *atomic.Int32
}

func (c countingConn) Write(b []byte) (int, error) {
	c.sent.Add(1)
	return c.Conn.Write(b)
}

// TestPostgresRoundTrips: bounds the round trips, which dominate the cost of a server.
func TestPostgresRoundTrips(t *testing.T) {
	t.Parallel()
	database := pgtest.Prepared(t, "migrated", Migrate)
	var sent atomic.Int32
	db := openPostgresWith(t, database, func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return countingConn{c, &sent}, err
	})
	look := func(tx *Tx) error {
		_, err := tx.queryRow(`SELECT 1 FROM settings WHERE name = $1`, []any{"x"}, new(int))
		return err
	}
	n := 0
	for _, tt := range []struct {
		name string
		want int32
		jobs []func(tx *Tx) error
	}{
		{"Nothing", 0, []func(*Tx) error{func(*Tx) error { return nil }}},
		{"SendOnly", 1, []func(*Tx) error{lay("")}},
		{"SendMany", 1, []func(*Tx) error{lay(""), lay(""), lay("")}},
		{"LookAndSend", 2, []func(*Tx) error{func(tx *Tx) error { return errors.Join(look(tx), lay(fmt.Sprint("l", n))(tx)) }}},
		{"LookAndSendThrice", 4, slices.Repeat([]func(*Tx) error{func(tx *Tx) error {
			n++
			return errors.Join(look(tx), lay(fmt.Sprint("m", n))(tx))
		}}, 3)},
	} {
		t.Run(tt.name, func(t *testing.T) { //nolint:paralleltest // subtests share the count
			for try := range 2 { // the first time statements are prepared
				jobs := slices.Clone(tt.jobs)
				for i := range jobs {
					if strings.HasPrefix(tt.name, "Send") {
						n++
						jobs[i] = lay(fmt.Sprint("s", n))
					}
				}
				n++
				release := hold(t, db)
				results := queue(t, db, jobs...)
				before := sent.Load()
				release()
				for _, result := range results {
					if err := <-result; err != nil {
						t.Fatal(err)
					}
				}
				if got := sent.Load() - before; try > 0 && got != tt.want {
					t.Errorf("%d round trips, want %d", got, tt.want)
				}
			}
		})
	}
}

// TestPostgresCompilesNothing: a writer reads a small table without machine code for the
// statement (JIT), though the table has to be read as a whole. Compilation takes 30 ms and
// more, and the table stays locked.
func TestPostgresCompilesNothing(t *testing.T) {
	t.Parallel()
	database := pgtest.Prepared(t, "migrated", Migrate)
	var available bool
	if pgtest.Scan(t, database, `SELECT pg_jit_available()`, &available); !available {
		t.Skip("this PostgreSQL has no JIT")
	}
	var plan []string
	if err := openPostgres(t, database).Write(t.Context(), Scope{}, func(tx *Tx) error {
		rows, err := tx.query(`EXPLAIN (ANALYZE) SELECT fingerprint FROM key_files ORDER BY created_at` + tx.dialect.Lock)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				return err
			}
			plan = append(plan, line)
		}
		return rows.Err()
	}); err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(plan, "\n"); !strings.Contains(text, "key_files") || strings.Contains(text, "JIT:") {
		t.Errorf("the plan compiles the statement, or is of another table:\n%s", text)
	}
}
