// Package retention archives and deletes old data, and destroys the keys that encrypted it.
// Ended verifications are moved to the archive, lose their personal data, and are deleted,
// each after its own period. A [Job] works in small batches, with pauses for requests. It
// may be interrupted at any point: each batch is one transaction and starts from the stored
// state.
//
// The package does not depend on the contents or storage of rows.
package retention

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/store"
	"countersign/internal/task"
)

// Keep sets how long each kind of data is kept. 0 means indefinitely.
type Keep struct {
	Codes   time.Duration // submitted codes, after the end of their verification; messages of the virtual phone
	Numbers time.Duration // numbers and other personal data, after the end
	History time.Duration // verifications, after the end
	Ledger  time.Duration // single ledger entries, before they are rolled up; audit log

	Refusals time.Duration // refused starts, after the last of a row
}

// Config configures a Job. Fields are required unless documented otherwise.
type Config struct {
	Store   *store.DB
	Clock   clockwork.Clock
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Keep    Keep

	// Doubt returns why the clock may be wrong; nil while it agrees with the other clocks.
	// A nil Doubt means that the clock is trusted.
	Doubt func() error
}

const (
	// batch bounds the rows of one transaction, since requests wait for it.
	batch = 50
	// every is the interval of runs without a backlog.
	every = time.Minute
	// settleAfter is the age of a ledger entry after which no request can post it again.
	settleAfter = 24 * time.Hour
	// share limits the job during a backlog, for example after an upgrade, to 1/share of
	// the time.
	share = 4
)

// Job archives and deletes old data. Any number of nodes may have a Job. Make it with New.
type Job struct {
	cfg     Config
	metrics *metrics
	runner  *task.Runner

	clockGate           clockGate
	keysAt, destroyedAt time.Time               // last refresh and last destruction of keys
	walk                store.NumberHistoryWalk // position in the walk over number histories
}

// New returns a Job that is not started.
func New(cfg Config) *Job {
	j := &Job{cfg: cfg, metrics: newMetrics(cfg.Metrics), clockGate: clockGate{cfg: cfg}}
	j.runner = task.New(task.Config{
		Name: "retention", Clock: cfg.Clock, Log: cfg.Log, Run: j.run, MaxSleep: every,
	})
	return j
}

// Start runs the job immediately and then every minute, until Stop.
func (j *Job) Start() { j.runner.Start() }

// Stop ends the loop and waits for the current batch. It must not be called before Start.
func (j *Job) Stop() { j.runner.Stop() }

// MayDelete reports whether the last run found the clock reliable enough to delete by age.
// It is false before the first run. It is safe for concurrent use.
func (j *Job) MayDelete() bool { return j.clockGate.open.Load() }

// run executes one batch of each kind. With a backlog it runs again after a pause in
// proportion to its duration: on a busy database batches take longer, and the pauses grow
// with them.
func (j *Job) run(ctx context.Context) (next time.Time, err error) {
	began := j.cfg.Clock.Now()
	more, err := j.Once(ctx)
	now := j.cfg.Clock.Now()
	if !more {
		return now.Add(every), err
	}
	return now.Add((share - 1) * now.Sub(began)), err
}

// step executes one batch, and reports whether there is more to do.
type step = func(context.Context, time.Time) (more bool, err error)

// Once executes one batch of each kind and reports whether there is more to do. A failed
// step does not prevent the others. While the clock is in doubt, it only makes data keys
// and updates the metrics. The other steps are suspended: archiving destroys codes, a
// settled ledger entry could be charged again, and partitions are only needed for
// archiving.
func (j *Job) Once(ctx context.Context) (more bool, err error) {
	clock := j.cfg.Clock.Now()
	mayDelete, err := j.clockGate.mayDelete(ctx, clock)
	errs := []error{err}
	steps := []step{j.keys, j.measure}
	if mayDelete {
		steps = []step{
			j.keys, j.destroyKeys, j.hasten, j.prepare, j.archive, j.measure, j.redact, j.purgeArchive, j.settleLedger, j.carry, j.forget,
			j.forgetAudit, j.forgetSignatures, j.forgetRefusals,
		}
	}
	j.metrics.suspend(!mayDelete)
	now := wall(clock)
	for _, step := range steps {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		unfinished, err := step(ctx, now)
		more = more || unfinished
		errs = append(errs, err)
	}
	return more, errors.Join(errs...)
}

// keys makes the data keys of a new day. Keys from the future are no longer used once the
// clock is corrected, and are destroyed later.
func (j *Job) keys(ctx context.Context, now time.Time) (bool, error) {
	if now.Sub(j.keysAt).Abs() < every { // either way: the clock may have been set back
		return false, nil
	}
	j.keysAt = now
	return false, j.cfg.Store.Vault().Refresh(ctx, now)
}

// destroyKeys destroys unused data keys.
func (j *Job) destroyKeys(ctx context.Context, now time.Time) (bool, error) {
	if now.Sub(j.destroyedAt).Abs() < every {
		return false, nil
	}
	j.destroyedAt = now
	n, err := j.cfg.Store.Vault().DestroyDataKeys(ctx, now, j.cfg.Keep.Codes)
	j.metrics.destroyed.Add(float64(n))
	return false, err
}

// hasten makes verifications due that got their due time from a clock that was ahead.
func (j *Job) hasten(ctx context.Context, now time.Time) (more bool, err error) {
	n, err := j.cfg.Store.HastenFuture(ctx, now, batch)
	return n == batch, err
}

func (j *Job) prepare(ctx context.Context, now time.Time) (bool, error) {
	return false, j.cfg.Store.Prepare(ctx, now)
}

func (j *Job) archive(ctx context.Context, now time.Time) (more bool, err error) {
	keep := j.cfg.Keep
	if keep.Codes == 0 {
		return false, nil
	}
	moved, err := j.cfg.Store.Archive(ctx, store.Cutoffs{
		Codes: before(now, keep.Codes), Numbers: before(now, keep.Numbers), History: before(now, keep.History),
	}, batch)
	j.metrics.archived.Add(float64(moved))
	return moved == batch, err
}

// measure sets the metric of the archive's backlog.
func (j *Job) measure(ctx context.Context, now time.Time) (bool, error) {
	oldest, ok, err := j.cfg.Store.OldestEnded(ctx)
	if err != nil {
		return false, err
	}
	age := 0.0
	if ok {
		age = max(0, now.Sub(oldest).Seconds()) // a row may be from the future
	}
	j.metrics.oldest.Set(age)
	return false, nil
}

// before returns the time keep before now; zero if keep is 0.
func before(now time.Time, keep time.Duration) time.Time {
	if keep == 0 {
		return time.Time{}
	}
	return now.Add(-keep)
}

func (j *Job) redact(ctx context.Context, now time.Time) (more bool, err error) {
	if j.cfg.Keep.Numbers == 0 {
		return false, nil
	}
	n, err := j.cfg.Store.Redact(ctx, now.Add(-j.cfg.Keep.Numbers), batch)
	j.metrics.redacted.Add(float64(n))
	return n == batch, err
}

// purgeArchive deletes archived verifications older than Keep.History.
func (j *Job) purgeArchive(ctx context.Context, now time.Time) (more bool, err error) {
	if j.cfg.Keep.History == 0 {
		return false, nil
	}
	return j.cfg.Store.PurgeArchive(ctx, now.Add(-j.cfg.Keep.History), batch)
}

// settleLedger moves old entries out of the table that requests write to. It does not
// depend on Keep.
func (j *Job) settleLedger(ctx context.Context, now time.Time) (more bool, err error) {
	n, err := j.cfg.Store.SettleLedger(ctx, now.Add(-settleAfter), batch)
	return n == batch, err
}

func (j *Job) carry(ctx context.Context, now time.Time) (more bool, err error) {
	if j.cfg.Keep.Ledger == 0 {
		return false, nil
	}
	n, err := j.cfg.Store.CarryLedger(ctx, now.Add(-j.cfg.Keep.Ledger), batch)
	j.metrics.carried.Add(float64(n))
	return n == batch, err
}

// forget deletes messages of the virtual phone after Keep.Codes, since they contain codes.
// It also deletes unmatched receipts, expired secrets, and stale number histories.
func (j *Job) forget(ctx context.Context, now time.Time) (more bool, err error) {
	if err := errors.Join(j.cfg.Store.ForgetReceipts(ctx, now), j.cfg.Store.ForgetSecrets(ctx, now)); err != nil {
		return false, err
	}
	// The limit is higher, since most histories are only read, in order.
	_, walking, err := j.cfg.Store.PruneNumberHistories(ctx, &j.walk, now, 10*batch)
	if j.cfg.Keep.Codes == 0 || err != nil {
		return walking, err
	}
	n, err := j.cfg.Store.ForgetMessages(ctx, now.Add(-j.cfg.Keep.Codes), now, batch)
	return n == batch || walking, err
}

// forgetAudit deletes audit log entries after Keep.Ledger.
func (j *Job) forgetAudit(ctx context.Context, now time.Time) (more bool, err error) {
	if j.cfg.Keep.Ledger == 0 {
		return false, nil
	}
	n, err := j.cfg.Store.ForgetAudit(ctx, now.Add(-j.cfg.Keep.Ledger), batch)
	return n == batch, err
}

// forgetRefusals deletes refusals after Keep.Refusals, and removes their numbers after
// Keep.Numbers.
func (j *Job) forgetRefusals(ctx context.Context, now time.Time) (more bool, err error) {
	const many = 10 * batch // rows are short
	for _, step := range []struct {
		keep time.Duration
		do   func(context.Context, time.Time, int) (int, error)
	}{
		{j.cfg.Keep.Refusals, j.cfg.Store.ForgetRefusals}, {j.cfg.Keep.Numbers, j.cfg.Store.RedactRefusals},
	} {
		if step.keep == 0 {
			continue
		}
		n, err := step.do(ctx, now.Add(-step.keep), many)
		if err != nil {
			return false, err
		}
		more = more || n == many
	}
	return more, nil
}

// forgetSignatures deletes expired signatures. Its batches are larger, since rows are small
// and requests do not wait for them.
func (j *Job) forgetSignatures(ctx context.Context, now time.Time) (more bool, err error) {
	const many = 10 * batch
	n, err := j.cfg.Store.ForgetSignatures(ctx, now, many)
	return n == many, err
}
