package retention_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/deliver/virtual"
	"countersign/internal/inbox"
	"countersign/internal/retention"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// restart replaces the job, as a new process with its clock at now.
func (h *house) restart(now time.Time, doubt func() error) *bytes.Buffer {
	var log bytes.Buffer
	h.clock, h.metrics = clockwork.NewFakeClockAt(now), prometheus.NewRegistry()
	h.Job = retention.New(retention.Config{
		Store: h.db, Clock: h.clock, Log: slog.New(slog.NewTextHandler(&log, nil)), Metrics: h.metrics, Keep: keep, Doubt: doubt,
	})
	return &log
}

// run runs the job every minute for a duration, or forty times, without an operator.
func (h *house) run(d time.Duration) {
	h.t.Helper()
	for end := h.clock.Now().Add(d); ; h.clock.Advance(max(time.Minute, d/40)) {
		for more := true; more; {
			var err error
			more, err = h.Once(h.t.Context())
			must(h.t, err)
		}
		if !h.clock.Now().Before(end) {
			return
		}
	}
}

// history has one row of each kind that is deleted by age.
type history struct{ old, fresh verify.ID }

func (h *house) history() history {
	h.t.Helper()
	ctx := h.t.Context()
	made := history{old: h.finish(number)}
	h.clock.Advance(keep.Codes)
	h.run(0)
	now := h.clock.Now()
	made.fresh = h.finish("447700900001")
	must(h.t, inbox.New(h.db).AddMessage(ctx, virtual.Message{Number: number, Channel: verify.SMS, Text: "1234", SentAt: now}))
	must(h.t, h.db.Credit(ctx, "demo0001", 10, now))
	must(h.t, h.db.AddAudit(ctx, store.AuditEntry{At: now, Who: "a", Source: "b", Action: "account.bar", Detail: "{}"}))
	must(h.t, h.db.UseSignature(ctx, "demo0001", []byte("signature"), now.Add(time.Hour)))
	_, err := h.db.AddSecret(ctx, "demo0001", "another", now.Add(time.Hour), now)
	must(h.t, err)
	must(h.t, h.db.Write(ctx, store.Scope{}, func(tx *store.Tx) error {
		return tx.KeepReceipt(verify.Receipt{Ref: verify.Ref{Carrier: "a", ID: "1"}, State: verify.EventDelivered}, now)
	}))
	return made
}

// whole fails the test if part of the history was deleted.
func (h *house) whole(made history) {
	h.t.Helper()
	ctx := h.t.Context()
	if got := h.left(made.old); got != "itself number address" {
		h.t.Errorf("of the archived verification there is left: %q", got)
	}
	if got := h.left(made.fresh); got != "itself code number address" {
		h.t.Errorf("of the verification that has just ended there is left: %q", got)
	}
	messages, err := inbox.New(h.db).Messages(ctx, number, 10)
	must(h.t, err)
	audit, err := h.db.AuditLog(ctx, store.AuditFilter{Limit: 10})
	must(h.t, err)
	used, err := h.db.SignatureUsed(ctx, "demo0001", []byte("signature"))
	must(h.t, err)
	secrets, err := h.db.Secrets(ctx, "demo0001", t0)
	must(h.t, err)
	if len(messages) != 1 || len(audit) != 1 || !used || len(secrets) != 2 {
		h.t.Errorf("%d messages, %d audit entries, signature %v, %d secrets; want 1, 1, true, 2", len(messages), len(audit), used, len(secrets))
	}
	if n := h.metric("countersign_retention_ledger_entries_carried_total"); n != 0 {
		h.t.Errorf("%v entries of the ledger were carried over", n)
	}
	if n := h.metric("countersign_retention_keys_destroyed_total"); n != 0 {
		h.t.Errorf("%v data keys were destroyed", n)
	}
	err = h.db.Write(ctx, store.Scope{}, func(tx *store.Tx) error { // test for the receipt without taking it
		_, ok, err := tx.TakeReceipt(verify.Ref{Carrier: "a", ID: "1"}, t0.Add(keep.Codes))
		if err == nil && !ok {
			h.t.Error("the receipt was deleted")
		}
		return errors.Join(err, errKeep)
	})
	if !errors.Is(err, errKeep) {
		h.t.Error(err)
	}
}

var errKeep = errors.New("rolled back")

// TestClockJump: while a clock is wrong, no data is deleted, in either direction, whether
// it jumps while the server is down or running.
func TestClockJump(t *testing.T) {
	t.Parallel()
	const year = 400 * day
	for name, jump := range map[string]struct {
		by      time.Duration
		running bool
	}{
		"400 days ahead, at a restart": {year, false},
		"400 days ahead, running":      {year, true},
		"400 days back, at a restart":  {-year, false},
		"400 days back, running":       {-year, true},
	} {
		t.Run(name, func(t *testing.T) {
			engines(t, keep, func(h *house) {
				made := h.history()
				right := h.clock.Now()
				move := func(by time.Duration) {
					right = right.Add(2 * time.Minute)
					if jump.running {
						h.clock.Advance(by)
					} else {
						h.restart(h.clock.Now().Add(by), nil)
					}
				}
				move(jump.by)
				h.run(2 * time.Minute)
				h.suspended(1)
				h.whole(made)
				move(-jump.by)
				h.run(2 * time.Minute)
				h.suspended(1)
				h.whole(made)

				h.restart(h.clock.Now(), nil) // a restart does not end the suspension
				h.run(2 * time.Minute)
				h.suspended(1)
				h.whole(made)
				must(h.t, h.db.ConfirmRetention(h.t.Context(), h.clock.Now()))
				h.run(time.Minute)
				h.suspended(0)
				if got := h.left(made.fresh); got != "itself code number address" {
					h.t.Errorf("after the suspension: %q", got)
				}
			})
		})
	}
}

func (h *house) suspended(want float64) {
	h.t.Helper()
	if got := h.metric("countersign_retention_suspended"); got != want {
		h.t.Errorf("countersign_retention_suspended is %v, want %v", got, want)
	}
	if got := h.MayDelete(); got != (want == 0) {
		h.t.Errorf("MayDelete: %v", got)
	}
}

// TestPlausible: a day of running time with a plausible clock ends a suspension, across
// restarts and breaks; another jump restarts the day.
func TestPlausible(t *testing.T) {
	engines(t, keep, func(h *house) {
		h.run(time.Minute)
		h.clock.Advance(3 * day) // off for a weekend
		log := h.restart(h.clock.Now(), nil)
		h.run(20 * time.Hour)
		h.suspended(1)
		if n := strings.Count(log.String(), "retention suspended"); n < 20 || n > 21 {
			h.t.Errorf("%d lines in 20 hours, want one an hour:\n%s", n, log)
		}
		for _, part := range []string{"level=WARN", "difference=72h0m0s", "countersign retention confirm", "before=2026-01-02T03:05", "after=2026-01-05T03:05"} {
			if !strings.Contains(log.String(), part) {
				h.t.Errorf("the log lacks %q:\n%s", part, log)
			}
		}
		h.clock.Advance(10 * time.Hour) // off: does not count
		log = h.restart(h.clock.Now(), nil)
		h.run(3 * time.Hour)
		h.suspended(1)
		h.run(2 * time.Hour)
		h.suspended(0)
		if !strings.Contains(log.String(), "retention resumed") {
			h.t.Errorf("the end of the suspension is not logged:\n%s", log)
		}

		h.clock.Advance(-400 * day)
		h.run(20 * time.Hour)
		h.clock.Advance(400 * day)
		h.run(23 * time.Hour)
		h.suspended(1)
		h.run(2 * time.Hour)
		h.suspended(0)
	})
}

// TestNodesDisagree: while one node's clock is days ahead, no node deletes.
func TestNodesDisagree(t *testing.T) {
	engines(t, keep, func(h *house) {
		made := h.history()
		right, clock, metrics := h.Job, h.clock, h.metrics
		h.restart(clock.Now().Add(400*day), nil)
		wrong := h.Job
		for range 20 {
			for _, job := range []*retention.Job{right, wrong} {
				_, err := job.Once(h.t.Context())
				must(h.t, err)
			}
			clock.Advance(time.Minute)
			h.clock.Advance(time.Minute)
		}
		h.suspended(1)
		h.Job, h.clock, h.metrics = right, clock, metrics
		h.suspended(1)
		h.whole(made)
		keys, err := h.db.Vault().Status()
		must(h.t, err)
		if len(keys.Data) > 10 {
			h.t.Errorf("%d data keys: the nodes go on making them", len(keys.Data))
		}
	})
}

// TestNoRecord: without a record of a run, as after an upgrade, the clock is compared with
// the newest row.
func TestNoRecord(t *testing.T) {
	engines(t, keep, func(h *house) {
		id := h.finish(number)
		h.restart(t0.Add(400*day), nil)
		h.run(2 * time.Minute)
		h.suspended(1)
		if got := h.left(id); got != "itself code number address" {
			h.t.Errorf("there is left: %q", got)
		}
	})
}

// TestNoRecordPlausible: an upgrade that takes less than a day causes no suspension.
func TestNoRecordPlausible(t *testing.T) {
	engines(t, keep, func(h *house) {
		h.finish(number)
		h.clock.Advance(23 * time.Hour)
		h.run(2 * time.Minute)
		h.suspended(0)
	})
}

// TestDoubt: while the clocks disagree, no data is deleted; afterwards deletion continues.
func TestDoubt(t *testing.T) {
	engines(t, keep, func(h *house) {
		made := h.history()
		doubt := errors.New("the wall clock is 400 days ahead")
		log := h.restart(h.clock.Now().Add(23*time.Hour), func() error { return doubt })
		h.run(90 * time.Minute)
		h.suspended(1)
		h.whole(made)
		if n := strings.Count(log.String(), "retention paused"); n != 2 || !strings.Contains(log.String(), doubt.Error()) {
			h.t.Errorf("%d lines, want one an hour with the reason:\n%s", n, log)
		}
		doubt = nil
		h.run(time.Minute)
		h.suspended(0)
	})
}
