package refusal_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/refusal"
	"countersign/internal/verify"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// table is an in-memory store.
type table struct {
	mu      sync.Mutex
	rows    map[verify.ID]verify.Refusal
	batches []int
	err     error
}

func (s *table) SaveRefusals(_ context.Context, fresh, known []verify.Refusal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, len(fresh)+len(known))
	if s.err != nil {
		return s.err
	}
	for _, r := range fresh {
		s.rows[r.ID] = r
	}
	for _, r := range known {
		if _, ok := s.rows[r.ID]; ok {
			s.rows[r.ID] = r
		}
	}
	return nil
}

// sum returns the number of refusals in all rows, and the number of rows with a number.
func (s *table) sum() (times int64, named int) {
	for _, r := range s.rows {
		times += r.Times
		if r.Number != "" {
			named++
		}
	}
	return times, named
}

type fixture struct {
	*refusal.Log
	table *table
	clock *clockwork.FakeClock
	reg   *prometheus.Registry
}

func setUp(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{table: &table{rows: map[verify.ID]verify.Refusal{}}, clock: clockwork.NewFakeClockAt(t0), reg: prometheus.NewRegistry()}
	f.Log = refusal.New(refusal.Config{Store: f.table, Clock: f.clock, Log: slog.New(slog.DiscardHandler), Metrics: f.reg})
	return f
}

func (f *fixture) add(account, number string, rule verify.Rule) {
	f.Add(verify.Refusal{Account: account, Number: number, Source: "192.0.2.1", Cause: verify.Cause{Rule: rule}})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestAlike: refusals of one account, number and rule within an hour share one row.
func TestAlike(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	for range 3 {
		f.add("demo0001", "447700900000", verify.RuleCap)
	}
	must(t, f.Flush(t.Context()))
	f.clock.Advance(time.Minute)
	f.add("demo0001", "447700900000", verify.RuleCap)
	f.add("demo0001", "447700900000", verify.RuleBalance)
	f.add("demo0001", "447700900001", verify.RuleCap)
	must(t, f.Flush(t.Context()))
	if times, named := f.table.sum(); len(f.table.rows) != 3 || times != 6 || named != 3 {
		t.Errorf("rows %+v", f.table.rows)
	}
	for _, r := range f.table.rows {
		if r.Times == 4 && (!r.First.Equal(t0) || !r.Last.Equal(t0.Add(time.Minute)) || r.Source != "192.0.2.1") {
			t.Errorf("row %+v", r)
		}
	}
	f.clock.Advance(time.Hour)
	f.add("demo0001", "447700900000", verify.RuleCap)
	must(t, f.Flush(t.Context()))
	if len(f.table.rows) != 4 {
		t.Errorf("%d rows, want another in the next hour", len(f.table.rows))
	}
	batches := len(f.table.batches)
	must(t, f.Flush(t.Context()))
	if len(f.table.batches) != batches {
		t.Error("a write without anything new")
	}
}

// TestFlood: random numbers, accounts and unauthenticated clients add no more rows than the
// bounds, and every refusal is counted.
func TestFlood(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	const each = 3000
	number := func(i int) string { return fmt.Sprintf("4477%08d", i) }
	for i := range each {
		f.add("demo0001", number(i), verify.RuleCap)
	}
	must(t, f.Flush(t.Context()))
	if times, named := f.table.sum(); len(f.table.rows) != 501 || times != each || named != 500 {
		t.Errorf("one account: %d rows, %d with a number, %d refusals", len(f.table.rows), named, times)
	}
	for i := range each {
		f.add(fmt.Sprintf("acct%04d", i%20), number(i), verify.RuleCap)
		f.add(fmt.Sprintf("key%05d", i), "", verify.RuleCredentials)
		f.add("", number(i), verify.RuleInvalid)
	}
	must(t, f.Flush(t.Context()))
	times, named := f.table.sum()
	if rows := len(f.table.rows); rows > 2500+3 || named > 2000 || times != 4*each {
		t.Errorf("all: %d rows, %d with a number, %d refusals", rows, named, times)
	}
	for _, n := range f.table.batches {
		if n > 500 {
			t.Errorf("a batch of %d rows", n)
		}
	}
	for _, r := range f.table.rows {
		if r.Account == "" && r.Number != "" {
			t.Errorf("a stranger chose the number of %+v", r)
		}
	}
}

// TestSlowDatabase: while writes fail, memory is bounded, and refusals beyond the bound are
// counted as dropped. Waiting rows are written afterwards.
func TestSlowDatabase(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.table.err = errors.New("disk full")
	const hours, each = 4, 4000
	for range hours {
		for i := range each {
			f.add(fmt.Sprintf("acct%04d", i%10), fmt.Sprintf("4477%08d", i), verify.RuleCap)
		}
		if f.Flush(t.Context()) == nil {
			t.Fatal("no error")
		}
		f.clock.Advance(time.Hour)
	}
	f.table.err = nil
	must(t, f.Flush(t.Context()))
	times, _ := f.table.sum()
	dropped := int64(metric(t, f.reg, "countersign_refusals_dropped_total"))
	if len(f.table.rows) > 5000 || dropped == 0 || times+dropped != hours*each {
		t.Errorf("%d rows with %d refusals, %d dropped", len(f.table.rows), times, dropped)
	}
}

func metric(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// TestForget: a forgotten number is not written, in either of its forms.
func TestForget(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.add("demo0001", "5491112345678", verify.RuleCap)
	f.add("demo0001", "447700900000", verify.RuleCap)
	f.Forget("541112345678")
	must(t, f.Flush(t.Context()))
	f.add("demo0001", "5491112345678", verify.RuleCap) // refused again afterwards
	must(t, f.Flush(t.Context()))
	if times, named := f.table.sum(); times != 2 || named != 2 {
		t.Errorf("rows %+v", f.table.rows)
	}
}

// TestWrites: refusals are written within seconds, and the last ones on Stop.
func TestWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t)
		f.Start()
		f.add("demo0001", "447700900000", verify.RuleCap)
		synctest.Wait()
		f.clock.Advance(time.Second)
		synctest.Wait()
		if len(f.table.rows) != 1 {
			t.Errorf("%d rows after a second", len(f.table.rows))
		}
		f.add("demo0001", "447700900001", verify.RuleCap)
		must(t, f.Stop(t.Context()))
		if len(f.table.rows) != 2 {
			t.Errorf("%d rows after the end", len(f.table.rows))
		}
	})
}

// TestNil: a nil Log records no refusals.
func TestNil(t *testing.T) {
	t.Parallel()
	var l *refusal.Log
	l.Add(verify.Refusal{})
	l.Forget("447700900000")
	must(t, l.Flush(t.Context()))
}

func BenchmarkAdd(b *testing.B) {
	f := setUp(b)
	numbers := make([]string, 10_000)
	for i := range numbers {
		numbers[i] = fmt.Sprintf("4477%08d", i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		f.add("demo0001", numbers[i%len(numbers)], verify.RuleCap)
	}
}
