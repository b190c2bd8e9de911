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
	"countersign/internal/vault"
	"countersign/internal/verify"
)

// BenchmarkCosts measures the processor time of each write of a verification, in the node
// (including SQLite) and in PostgreSQL. The results are inputs of bench/simulate. 64 callers
// share commits; starts are also measured with one caller, so the difference is the cost of a
// commit alone. A step is one row of a batch. Unlike elapsed time, processor time hardly
// changes on a busy machine.
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
					c.next.Store(0) // from the first started verification
					c.measure(b, 64, kind.do)
				})
			}
		})
	}
}

// costs is a database with verifications at every stage.
type costs struct {
	db   *store.DB
	pid  string // PostgreSQL's main process; "" on SQLite
	caps fraud.Caps
	next atomic.Int64

	mu    sync.Mutex
	begun map[int64]verify.Verification
}

func newCosts(b *testing.B, engine string) *costs {
	b.Helper()
	c := &costs{begun: map[int64]verify.Verification{}, caps: fraud.Caps{Sends: []fraud.Window{{Count: 20, Within: 24 * time.Hour}}}}
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
		Database: filepath.Join(b.TempDir(), "countersign.db"), Key: vault.NewKey(), Log: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		err = c.db.CreateAccount(b.Context(), store.NewAccount{
			Account: verify.Account{Key: account, Balance: 1 << 50}, Secret: "secret",
		}, time.Now())
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.db.Close() })
	return c
}

// measure calls do b.N times with concurrent callers and reports the cost of one call.
func (c *costs) measure(b *testing.B, callers int, do func(*testing.B, int64) error) {
	b.Helper()
	if b.N == 1 {
		return // trial run of package testing
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

// nodeTime returns the processor time of this process.
func nodeTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// databaseTime returns the processor time of PostgreSQL's processes.
func (c *costs) databaseTime(b *testing.B) (sum time.Duration) {
	b.Helper()
	if c.pid == "" {
		return 0
	}
	processes, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		b.Fatal(err)
	}
	const tick = time.Second / 100 // USER_HZ of Linux
	for _, path := range processes {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // the process has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest) // from the third of proc(5) on
		first := filepath.Base(filepath.Dir(path)) == c.pid
		if len(fields) < 15 || !first && fields[1] != c.pid {
			continue
		}
		last := 13
		if first { // includes its children that have ended
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

// save writes a change as the engine does, with the history of its number.
func save(tx *store.Tx, c verify.Change, stored store.NumberHistory) error {
	if err := tx.Save(c); err != nil {
		return err
	}
	h, ok := c.History.(fraud.History)
	if !ok {
		return nil
	}
	stored.Number = h.Number
	return tx.SaveNumberHistory(stored, h.StaleAt())
}

// history loads the history of a number.
func (c *costs) history(tx *store.Tx, number string) (fraud.History, store.NumberHistory, error) {
	stored, err := tx.NumberHistory(number)
	return fraud.History{Number: stored.Number, Caps: c.caps, Account: account}, stored, err
}

// start writes a new verification.
func (c *costs) start(b *testing.B, n int64) error {
	now := time.Now()
	in := newBeginning(n)
	in.Price = verify.Unit / 8
	limit := &store.Limit{Account: account, PerSecond: 65_535, Now: time.Now}
	scope := store.Scope{Limit: limit, Number: in.To.Given, Begins: account, Account: account}
	var begun verify.Change
	err := c.db.Write(b.Context(), scope, func(tx *store.Tx) error {
		h, stored, err := c.history(tx, in.To.Given)
		if err != nil {
			return err
		}
		if running, found, err := tx.Running(account, in.To); err != nil || found {
			return errors.Join(err, fmt.Errorf("running %s", running.ID))
		}
		if in.Funds, err = tx.Funds(account, account, false); err != nil {
			return err
		}
		in.History = h
		if begun, _, err = verify.Begin(in, now, rand.Reader); err != nil {
			return err
		}
		return save(tx, begun, stored)
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun[n] = begun.Verification
	return err
}

// started returns verification n as start wrote it.
func (c *costs) started(n int64) verify.Verification {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.begun[n]
}

// load loads and locks verification n.
func load(tx *store.Tx, id verify.ID) (verify.Verification, error) {
	v, ok, err := tx.Verification(id)
	if err == nil && !ok {
		err = fmt.Errorf("no verification %s", id)
	}
	return v, err
}

// onFailure returns the default handling, which keeps the timings of the workflow.
func onFailure() verify.OnFailure {
	return verify.OnFailure{Failed: func(s verify.EventState) bool { return verify.Event{State: s}.Failed() }}
}

// outcome writes the acceptance of a message by a carrier.
func (c *costs) outcome(b *testing.B, n int64) error {
	begun, ref := c.started(n), fmt.Sprint(n)
	o := verify.Outcome{Attempt: 1, Token: begun.Lease.Token, State: verify.EventAccepted, Carrier: "a", Refs: []string{ref}}
	return c.db.Write(b.Context(), store.Scope{Changes: begun.ID}, func(tx *store.Tx) error {
		v, err := load(tx, begun.ID)
		if err != nil {
			return err
		}
		if _, _, err := tx.TakeReceipt(verify.Ref{Carrier: "a", ID: ref}, time.Now()); err != nil {
			return err
		}
		return tx.Save(v.Outcome(o, onFailure(), time.Now()))
	})
}

// receipt writes a delivery report.
func (c *costs) receipt(b *testing.B, n int64) error {
	r := verify.Receipt{Ref: verify.Ref{Carrier: "a", ID: fmt.Sprint(n)}, State: verify.EventDelivered}
	return c.db.Write(b.Context(), store.Scope{}, func(tx *store.Tx) error {
		id, ok, err := tx.VerificationOf(r.Ref)
		if err != nil || !ok {
			return errors.Join(err, fmt.Errorf("no message %d", n))
		}
		v, err := load(tx, id)
		if err != nil {
			return err
		}
		change, _, ok := v.Receipt(r, onFailure(), time.Now())
		if !ok {
			return fmt.Errorf("the receipt of message %d has no effect", n)
		}
		return tx.Save(change)
	})
}

// check writes the right code.
func (c *costs) check(b *testing.B, n int64) error {
	begun := c.started(n)
	limit := &store.Limit{Account: account, PerSecond: 65_535, Now: time.Now}
	return c.db.Write(b.Context(), store.Scope{Limit: limit, Verification: begun.ID}, func(tx *store.Tx) error {
		v, err := load(tx, begun.ID)
		if err != nil {
			return err
		}
		h, stored, err := c.history(tx, v.To.Given)
		if err != nil {
			return err
		}
		change, err := v.Check(begun.PIN, "", h, time.Now())
		if err != nil {
			return err
		}
		return save(tx, change, stored)
	})
}

// step handles a batch of stepsAtOnce due rows at every stepsAtOnce-th call.
func (c *costs) step(b *testing.B, n int64) error {
	if n%stepsAtOnce != 0 {
		return nil
	}
	now := time.Now().Add(150 * time.Second) // after the first step of each is due
	r := verify.Runner{Node: "node", InFlight: func(verify.ID) bool { return false }, OnFailure: onFailure()}
	return c.db.Write(b.Context(), store.Scope{}, func(tx *store.Tx) error {
		rows, _, err := tx.Due(now, stepsAtOnce)
		if err != nil || len(rows) == 0 {
			return errors.Join(err, errors.New("no row is due"))
		}
		numbers := make([]string, len(rows))
		for i, row := range rows {
			numbers[i] = row.To.Given
		}
		if _, err := tx.HeldNumbers(numbers); err != nil {
			return err
		}
		for _, row := range rows {
			h, stored, err := c.history(tx, row.To.Given)
			if err != nil {
				return err
			}
			change := row.Step(r, h, now, rand.Reader)
			if change.Send == nil {
				return fmt.Errorf("verification %s has no step", row.ID)
			}
			change.Verification.Lease.Until = now.Add(time.Hour) // not due again in this benchmark
			if err := save(tx, change, stored); err != nil {
				return err
			}
		}
		return nil
	})
}

// stepsAtOnce is the number of rows in a batch of steps.
const stepsAtOnce = 10
