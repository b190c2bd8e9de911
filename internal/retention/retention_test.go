package retention_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"countersign/internal/deliver/virtual"
	"countersign/internal/inbox"
	"countersign/internal/pgtest"
	"countersign/internal/retention"
	"countersign/internal/store"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	day    = 24 * time.Hour
	ms     = time.Millisecond
	number = "447700900000"
)

var (
	t0   = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	keep = retention.Keep{Codes: day, Numbers: 90 * day, History: 396 * day, Ledger: 397 * day}
)

// house is a database with a job, and a clock controlled by the test.
type house struct {
	*retention.Job
	db       *store.DB
	database string
	clock    *clockwork.FakeClock
	metrics  *prometheus.Registry
	t        *testing.T
}

// engines runs a test on both engines.
func engines(t *testing.T, keep retention.Keep, test func(*house)) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(build(t, pgtest.File(t, filepath.Join(t.TempDir(), "countersign.db"), "migrated", store.Migrate), keep))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(build(t, pgtest.Prepared(t, "migrated", store.Migrate), keep))
	})
}

func build(t *testing.T, database string, keep retention.Keep) *house {
	t.Helper()
	h := &house{database: database, clock: clockwork.NewFakeClockAt(t0), metrics: prometheus.NewRegistry(), t: t}
	var err error
	h.db, err = store.Open(t.Context(), store.Config{Database: database, Key: vault.NewKey(), Now: t0, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() { must(t, h.db.Close()) })
	h.Job = retention.New(retention.Config{
		Store: h.db, Clock: h.clock, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Metrics: h.metrics, Keep: keep,
	})
	must(t, h.db.CreateAccount(t.Context(), store.NewAccount{
		Account: verify.Account{Key: "demo0001", Balance: 100}, Secret: "secret",
	}, t0))
	return h
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// finish adds a verification that ended now.
func (h *house) finish(number string) verify.ID {
	h.t.Helper()
	now := h.clock.Now()
	begun, _, err := verify.Begin(verify.Beginning{Request: verify.Request{
		Account: "demo0001", To: verify.PhoneAddress(number, ""), CodeLength: 4,
		Workflow: verify.Workflow{Steps: []verify.Step{{Channel: verify.SMS}}, PINLife: time.Minute},
	}, Payer: "demo0001", History: verify.Uncapped{}, Node: "node"}, now, rand.Reader)
	must(h.t, err)
	v := begun.Verification
	sent := v.Outcome(verify.Outcome{Attempt: 1, Token: v.Lease.Token, State: verify.EventAccepted, Carrier: "a"}, verify.OnFailure{}, now)
	ended, err := sent.Verification.Check(v.PIN, "192.0.2.1", verify.Uncapped{}, now)
	must(h.t, err)
	must(h.t, h.db.Write(h.t.Context(), store.Scope{}, func(tx *store.Tx) error {
		for _, c := range []verify.Change{begun, sent, ended} {
			if err := tx.Save(c); err != nil {
				return err
			}
		}
		return nil
	}))
	return v.ID
}

// once runs the job until all is done. It confirms the clock after a jump, as an operator
// would.
func (h *house) once() {
	h.t.Helper()
	_, err := h.Once(h.t.Context())
	must(h.t, err)
	if err := h.db.ConfirmRetention(h.t.Context(), h.clock.Now()); !errors.Is(err, store.ErrNotSuspended) {
		must(h.t, err)
	}
	for more := true; more; {
		var err error
		more, err = h.Once(h.t.Context())
		must(h.t, err)
	}
}

// left lists the remaining parts of a verification: itself, code, number and address.
func (h *house) left(id verify.ID) string {
	h.t.Helper()
	v, ok, err := h.db.Verification(h.t.Context(), id)
	must(h.t, err)
	var left []string
	if ok {
		left = append(left, "itself")
		if !v.Checks[0].Code.IsZero() {
			left = append(left, "code")
		}
		if v.To.Given != "" {
			left = append(left, "number")
		}
		if v.Checks[0].IPAddress != "" {
			left = append(left, "address")
		}
	}
	return strings.Join(left, " ")
}

// TestDeadlines: all data is kept until the last millisecond of its period, and deleted
// after it.
func TestDeadlines(t *testing.T) {
	engines(t, keep, func(h *house) {
		id := h.finish(number)
		history := keep.History
		if h.db.Shared() { // partitions end with the month
			history += time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC).Sub(t0)
		}
		for _, step := range []struct {
			after time.Duration
			want  string
		}{
			{keep.Codes, "itself number address"},
			{keep.Numbers, "itself"},
			{history, ""},
		} {
			before := h.left(id)
			h.clock.Advance(t0.Add(step.after - ms).Sub(h.clock.Now()))
			h.once()
			if got := h.left(id); got != before {
				h.t.Errorf("%v less 1 ms after the end there is left: %q, want %q", step.after, got, before)
			}
			h.clock.Advance(ms)
			h.once()
			if got := h.left(id); got != step.want {
				h.t.Errorf("%v after the end there is left: %q, want %q", step.after, got, step.want)
			}
		}
	})
}

// TestLedgerAndMessages: entries and messages are removed after their period, and the
// balance remains.
func TestLedgerAndMessages(t *testing.T) {
	engines(t, keep, func(h *house) {
		must(h.t, inbox.New(h.db).AddMessage(h.t.Context(), virtual.Message{Number: number, Channel: verify.SMS, Text: "1234", SentAt: t0}))
		must(h.t, h.db.Credit(h.t.Context(), "demo0001", -30, t0.Add(ms)))
		want := func(after time.Duration, messages int, carried float64) {
			h.t.Helper()
			h.clock.Advance(t0.Add(after).Sub(h.clock.Now()))
			h.once()
			list, err := inbox.New(h.db).Messages(h.t.Context(), number, 10)
			must(h.t, err)
			sum, _, err := h.db.LedgerSum(h.t.Context(), "demo0001")
			must(h.t, err)
			if got := h.metric("countersign_retention_ledger_entries_carried_total"); len(list) != messages || sum != 70 || got != carried {
				h.t.Errorf("after %v: %d messages, a sum of %d, %v entries carried over; want %d, 70 and %v", after, len(list), sum, got, messages, carried)
			}
		}
		want(keep.Codes-ms, 1, 0)
		want(keep.Codes, 0, 0)
		want(keep.Ledger-ms, 0, 0)
		want(keep.Ledger, 0, 1)
		want(keep.Ledger+ms, 0, 2)
		want(10*keep.Ledger, 0, 2)
	})
}

// metric returns the value of a metric without labels.
func (h *house) metric(name string) float64 {
	h.t.Helper()
	families, err := h.metrics.Gather()
	must(h.t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue() + f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	h.t.Fatalf("there is no metric %s", name)
	return 0
}

// TestForEver: without limits no data is deleted.
func TestForEver(t *testing.T) {
	engines(t, retention.Keep{}, func(h *house) {
		id := h.finish(number)
		must(h.t, inbox.New(h.db).AddMessage(h.t.Context(), virtual.Message{Number: number, Channel: verify.SMS, Text: "1234", SentAt: t0}))
		h.clock.Advance(100 * 365 * day)
		h.once()
		list, err := inbox.New(h.db).Messages(h.t.Context(), number, 10)
		if got := h.left(id); got != "itself code number address" || len(list) != 1 || err != nil {
			h.t.Errorf("there is left: %q and %d messages (%v)", got, len(list), err)
		}
		if h.metric("countersign_retention_ledger_entries_carried_total") != 0 {
			h.t.Error("the ledger was carried over")
		}
	})
}

// sleeper is a clock that reports the length of each sleep of the job, as soon as an
// advance of the clock ends it.
type sleeper struct {
	*clockwork.FakeClock
	slept chan time.Duration
}

func (s sleeper) NewTimer(d time.Duration) clockwork.Timer {
	timer := s.FakeClock.NewTimer(d)
	s.slept <- d
	return timer
}

// TestCatchesUp: the job continues while there is a backlog, and otherwise runs every
// minute.
func TestCatchesUp(t *testing.T) {
	engines(t, keep, func(h *house) {
		for i := range 250 {
			h.finish(fmt.Sprintf("4477009%05d", i))
		}
		h.clock.Advance(day - ms)
		clock := sleeper{h.clock, make(chan time.Duration, 100)}
		h.metrics = prometheus.NewRegistry()
		h.Job = retention.New(retention.Config{
			Store: h.db, Clock: clock, Log: slog.New(slog.NewTextHandler(h.t.Output(), nil)), Metrics: h.metrics, Keep: keep,
		})
		h.Start()
		defer h.Stop()
		want := func(runs int, age, archived float64) {
			h.t.Helper()
			for run := range runs {
				wait := time.Duration(0)
				if run == runs-1 {
					wait = time.Minute
				}
				if got := <-clock.slept; got != wait {
					h.t.Errorf("the job sleeps %v after run %d, want %v", got, run, wait)
				}
			}
			if got := h.metric("countersign_retention_oldest_verification_age_seconds"); got != age {
				h.t.Errorf("the oldest ended %v seconds ago, want %v", got, age)
			}
			if got := h.metric("countersign_retention_verifications_archived_total"); got != archived {
				h.t.Errorf("%v were archived, want %v", got, archived)
			}
		}
		want(1, day.Seconds()-0.001, 0)
		h.clock.Advance(time.Minute)
		want(6, 0, 250)
		h.clock.Advance(time.Minute)
		want(1, 0, 250)
	})
}

// begin returns the start of a month.
func begin(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC) }

// TestYear: a partition exists before its month begins, and is dropped when all its rows
// may be deleted. Two nodes take turns of a day each, the longest time between runs without
// a suspension; either may do the work.
func TestYear(t *testing.T) {
	t.Parallel()
	h := build(t, pgtest.Prepared(t, "migrated", store.Migrate), keep)
	other := retention.New(retention.Config{
		Store: h.db, Clock: h.clock, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Keep: keep,
	})
	ids := map[time.Time]verify.ID{} // by end of the verification
	const months = 18
	for i := range months {
		month := time.Date(2026, time.Month(1+i), 1, 0, 0, 0, 0, time.UTC)
		ids[h.clock.Now()] = h.finish(fmt.Sprintf("4477009%05d", i))
		for h.clock.Now().Add(day).Before(month.AddDate(0, 1, 0)) {
			h.clock.Advance(day)
			_, err := h.Once(t.Context())
			must(t, err)
			h.Job, other = other, h.Job
		}
		// Partitions of the last 13 or 14 months remain for a history of 396 days.
		now := h.clock.Now()
		first := begin(now.Add(-keep.History))
		if first.Before(begin(t0)) {
			first = begin(t0)
		}
		var want []string
		for m := first; !m.After(begin(now).AddDate(0, 1, 0)); m = m.AddDate(0, 1, 0) {
			want = append(want, m.Format("archive_2006_01"))
		}
		var got string
		pgtest.Scan(t, h.database, `SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class
			WHERE relname ~ '^archive_[0-9_]+$' AND relkind = 'r'`, &got)
		if got != strings.Join(want, " ") {
			t.Fatalf("at %v the partitions are %s, want %s", now, got, strings.Join(want, " "))
		}
		for ended, id := range ids {
			if found := h.left(id) != ""; found == ended.Before(first) {
				t.Errorf("at %v the verification that ended at %v exists: %v", now, ended, found)
			}
		}
	}
}

// TestSecrets: secrets are deleted when they expire, regardless of Keep, and not before.
func TestSecrets(t *testing.T) {
	engines(t, retention.Keep{}, func(h *house) {
		until := t0.Add(time.Hour)
		must(h.t, h.db.RotateSecret(h.t.Context(), "demo0001", "second", until, t0))
		must(h.t, h.db.SetSignature(h.t.Context(), "demo0001", "sha256", "first signature", until, t0))
		must(h.t, h.db.SetSignature(h.t.Context(), "demo0001", "sha256", "second signature", until, t0))
		want := func(hashes, old int) {
			h.t.Helper()
			db, err := pgtest.Open(h.database)
			must(h.t, err)
			defer db.Close()
			var n, kept int
			must(h.t, db.QueryRowContext(h.t.Context(), `SELECT (SELECT COUNT(*) FROM account_secrets),
				(SELECT COUNT(*) FROM accounts WHERE old_signature_secret IS NOT NULL)`).Scan(&n, &kept))
			if n != hashes || kept != old {
				h.t.Errorf("at %s there are %d hashes and %d old signature secrets, want %d and %d", h.clock.Now(), n, kept, hashes, old)
			}
		}
		h.clock.Advance(time.Hour - time.Millisecond)
		h.once()
		want(2, 1)
		h.clock.Advance(time.Millisecond)
		h.once()
		want(1, 0)
	})
}

// TestRefusals: refused starts lose their number when verifications do, and are deleted
// after their own period; 0 keeps them.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		keep        retention.Keep
		rows, named int // 40 days after one refusal, and a day after the other
	}{
		"default":       {retention.Keep{Numbers: 90 * day, Refusals: 30 * day}, 1, 1},
		"short numbers": {retention.Keep{Numbers: 10 * day, Refusals: 60 * day}, 2, 1},
		"for ever":      {retention.Keep{}, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			engines(t, tt.keep, func(h *house) {
				must(t, h.db.SaveRefusals(t.Context(), []verify.Refusal{
					{ID: verify.ID{1}, Number: number, First: t0, Last: t0},
					{ID: verify.ID{2}, Number: number, First: t0, Last: t0.Add(39 * day)},
				}, nil))
				h.clock.Advance(40 * day)
				h.once()
				list, err := h.db.Refusals(t.Context(), store.RefusalFilter{Limit: 10})
				must(t, err)
				named := 0
				for _, r := range list {
					if r.Number != "" {
						named++
					}
				}
				if len(list) != tt.rows || named != tt.named {
					t.Errorf("%d rows, %d with a number, want %d and %d", len(list), named, tt.rows, tt.named)
				}
			})
		})
	}
}
