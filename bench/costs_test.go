package bench

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"countersign/internal/fraud"
	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// BenchmarkCosts measures what processor time the writes of a verification take, of the
// node (which on SQLite is the database, too) and of PostgreSQL: inputs of
// bench/simulate. Each kind is written by as many callers as share commits; starts by
// one caller as well, so that the difference is what a commit costs by itself. A step
// is a row of a batch. Processor time, unlike the time on the clock, is nearly the same
// on a busy machine.
//
//	go test -run '^$' -bench Costs -benchtime 5000x ./bench
func BenchmarkCosts(b *testing.B) {
	for _, engine := range []string{"sqlite", "postgres"} {
		b.Run("by="+engine, func(b *testing.B) {
			c := newCosts(b, engine)
			for _, callers := range []int{1, 64} {
				b.Run(fmt.Sprint("start/callers=", callers), func(b *testing.B) { c.measure(b, callers, c.start) })
			}
			for _, kind := range []struct {
				name string
				do   func(*testing.B, int64) error
			}{{"outcome", c.outcome}, {"receipt", c.receipt}, {"step", c.step}, {"check", c.check}} {
				b.Run(kind.name+"/callers=64", func(b *testing.B) {
					c.next.Store(0) // those that were started first
					c.measure(b, 64, kind.do)
				})
			}
		})
	}
}

// costs is a database with verifications at every stage.
type costs struct {
	db   *store.DB
	pid  string // of PostgreSQL's first process; "" without
	caps fraud.Caps
	next atomic.Int64

	mu   sync.Mutex
	rows map[int64]begun
}

type begun struct {
	row   *store.Row
	first verify.Event
}

func newCosts(b *testing.B, engine string) *costs {
	b.Helper()
	c := &costs{rows: map[int64]begun{}, caps: fraud.Caps{Sends: []fraud.Window{{Count: 20, Within: 24 * time.Hour}}}}
	if engine == "postgres" {
		db := openPostgres(b, pgtest.Start(b))
		c.db = db.store
		var backend int
		pgtest.Scan(b, db.url, `SELECT pg_backend_pid()`, &backend)
		pgtest.Scan(b, db.url, `SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)`, &c.pid)
		return c
	}
	var err error
	c.db, err = store.Open(b.Context(), store.Config{
		Database: filepath.Join(b.TempDir(), "countersign.db"), Key: store.NewKey(), Log: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		err = c.db.CreateAccount(b.Context(), store.NewAccount{
			Account: verify.Account{Key: "bench001", Balance: 1 << 50}, Secret: "secret",
		}, time.Now())
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.db.Close() })
	return c
}

// measure has callers do something b.N times, and reports what one takes.
func (c *costs) measure(b *testing.B, callers int, do func(*testing.B, int64) error) {
	b.Helper()
	if b.N == 1 {
		return // the run that the testing package begins with
	}
	runtime.GC()
	node, database := nodeTime(b), c.databaseTime(b)
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := do(b, c.next.Add(1)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	each := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(b.N) }
	b.ReportMetric(each(nodeTime(b)-node), "node-µs/op")
	b.ReportMetric(each(c.databaseTime(b)-database), "database-µs/op")
}

// nodeTime is the processor time of this process.
func nodeTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// databaseTime is the processor time of PostgreSQL's processes.
func (c *costs) databaseTime(b *testing.B) (sum time.Duration) {
	b.Helper()
	if c.pid == "" {
		return 0
	}
	processes, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		b.Fatal(err)
	}
	const tick = time.Second / 100 // USER_HZ, which Linux has had for ever
	for _, path := range processes {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest) // from the third of proc(5) on
		first := filepath.Base(filepath.Dir(path)) == c.pid
		if len(fields) < 15 || !first && fields[1] != c.pid {
			continue
		}
		last := 13
		if first { // and those of its processes that have ended
			last = 15
		}
		for _, f := range fields[11:last] {
			n, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			sum += time.Duration(n) * tick
		}
	}
	return sum
}

func (c *costs) start(b *testing.B, n int64) error {
	now := time.Now()
	row, first := newVerification(n, now)
	row.Take("node", now.Add(10*time.Second))
	limit := &store.Limit{Account: row.Account, PerSecond: 65_535, Now: time.Now}
	err := c.db.WriteIn(b.Context(), store.Scope{Limit: limit, Number: row.Number, Begins: row.Account}, func(tx *store.Tx) error {
		g, err := tx.Guard(row.Number)
		if err != nil {
			return err
		}
		if running, found, err := tx.Running(row.Account, row.Number); err != nil || found {
			return errors.Join(err, fmt.Errorf("running %v", running))
		}
		if paid, err := tx.Charge(row.Verification, store.Payer{}, now); err != nil || !paid {
			return errors.Join(err, fmt.Errorf("paid %t", paid))
		}
		g.Number = c.caps.Sent(g.Number, row.Account, now)
		return errors.Join(tx.Insert(row, first), tx.SaveGuard(g, c.caps.StaleAt(g.Number)))
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows[n] = begun{row, first}
	return err
}

func (c *costs) begun(n int64) begun {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rows[n]
}

// outcome is what the engine writes when a carrier has taken a message.
func (c *costs) outcome(b *testing.B, n int64) error {
	v := c.begun(n)
	v.first.State, v.first.Carrier = verify.EventAccepted, "a"
	return c.db.Write(b.Context(), func(tx *store.Tx) error {
		if err := tx.SaveEvent(v.first); err != nil {
			return err
		}
		ref := fmt.Sprint(n)
		if _, _, err := tx.TakeReceipt("a", ref, time.Now()); err != nil {
			return err
		}
		p := verify.Part{Attempt: 1, Count: 1, Carrier: "a", Ref: ref, State: verify.EventAccepted}
		return errors.Join(tx.SavePart(v.first.Key(), p), tx.Release(v.row.ID, v.row.Fence))
	})
}

// receipt is what it writes for a receipt that says "delivered".
func (c *costs) receipt(b *testing.B, n int64) error {
	return c.db.Write(b.Context(), func(tx *store.Tx) error {
		key, part, ok, err := tx.Part("a", fmt.Sprint(n))
		if err != nil || !ok {
			return errors.Join(err, fmt.Errorf("no part %d", n))
		}
		event, ok, err := tx.Event(key)
		if err != nil || !ok {
			return errors.Join(err, fmt.Errorf("no event %d", n))
		}
		if err := tx.SavePart(key, part.Report(verify.EventDelivered, "")); err != nil {
			return err
		}
		parts, err := tx.Parts(key)
		if err != nil {
			return err
		}
		return tx.SaveReported(event.Reported(parts))
	})
}

// check is what it writes for the right code.
func (c *costs) check(b *testing.B, n int64) error {
	v := c.begun(n)
	limit := &store.Limit{Account: v.row.Account, PerSecond: 65_535, Now: time.Now}
	return c.db.WriteIn(b.Context(), store.Scope{Limit: limit, Verification: v.row.ID}, func(tx *store.Tx) error {
		row, ok, err := tx.Get(v.row.Account, v.row.ID)
		if err != nil || !ok {
			return errors.Join(err, fmt.Errorf("no verification %d", n))
		}
		now := time.Now()
		g, err := tx.Guard(row.Number)
		if err != nil {
			return err
		}
		next, check, err := row.Check(v.row.PIN, "", now)
		if err != nil {
			return err
		}
		row.Verification = next
		g.Number = c.caps.Verified(g.Number, row.Account, now)
		return errors.Join(tx.AddCheck(check), tx.Save(row), tx.SaveGuard(g, c.caps.StaleAt(g.Number)))
	})
}

// step waits until a batch of callers has come, as rows fall due, and takes as many.
func (c *costs) step(b *testing.B, n int64) error {
	if n%stepsAtOnce != 0 {
		return nil
	}
	now := time.Now().Add(150 * time.Second) // when the first step of each is due
	return c.db.Write(b.Context(), func(tx *store.Tx) error {
		rows, _, err := tx.Due(now, stepsAtOnce)
		if err != nil || len(rows) == 0 {
			return errors.Join(err, errors.New("nothing is due"))
		}
		numbers := make([]string, len(rows))
		for i, row := range rows {
			numbers[i] = row.Number
		}
		if _, err := tx.HeldGuards(numbers); err != nil {
			return err
		}
		for _, row := range rows {
			next, event := row.Step(now, rand.Reader)
			row.Verification = next
			row.Take("node", now.Add(time.Hour))
			g, err := tx.Guard(row.Number)
			if err != nil {
				return err
			}
			g.Number = c.caps.Sent(g.Number, row.Account, now)
			if err := errors.Join(tx.AddEvent(*event), tx.Save(row), tx.SaveGuard(g, c.caps.StaleAt(g.Number))); err != nil {
				return err
			}
		}
		return nil
	})
}

// stepsAtOnce is how many rows a batch of steps takes here.
const stepsAtOnce = 10
