// Package retention puts old data away: what is over moves to the archive, loses
// what tells of a person, and goes, each in its time; and so do the keys that sealed it. A [Job] does so in small
// batches, between which requests have their turn, and may be interrupted anywhere:
// each batch is one transaction, and the next begins with what is there.
//
// The package must not know what is in the rows, nor how they are stored.
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

// Keep says for how long what is kept. 0 means for ever.
type Keep struct {
	Codes   time.Duration // that people typed, after the end of their verification; and the inbox of the virtual phone
	Numbers time.Duration // and what else tells of a person, after the end
	History time.Duration // verifications, after the end
	Ledger  time.Duration // entries by themselves, whose sum stays; and the audit log

	Refusals time.Duration // refused starts, after the last of a row
}

// Config is what a Job works with. All fields are needed unless they say otherwise.
type Config struct {
	Store   *store.DB
	Clock   clockwork.Clock
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Keep    Keep

	// Doubt returns the reason why the clock may be wrong; nil while it agrees with the
	// other clocks. A nil Doubt never doubts.
	Doubt func() error
}

const (
	// batch bounds what one transaction moves: a request that comes just then waits
	// for it.
	batch = 50
	// every is how often the job looks when it has nothing to do.
	every = time.Minute
	// settleAfter is the age of a ledger entry after which no request can repeat it.
	settleAfter = 24 * time.Hour
	// share is which part of the time the job takes while it has much to do, after
	// an upgrade, say: one of so many.
	share = 4
)

// Job is the loop that puts old data away. Any number of nodes may have one. Make
// it with New.
type Job struct {
	cfg     Config
	metrics *metrics
	runner  *task.Runner

	clockGate           clockGate
	keysAt, destroyedAt time.Time               // times of the last refresh and destruction of keys
	walk                store.NumberHistoryWalk // position among the histories of numbers
}

// New returns a job that waits to be started.
func New(cfg Config) *Job {
	j := &Job{cfg: cfg, metrics: newMetrics(cfg.Metrics), clockGate: clockGate{cfg: cfg}}
	j.runner = task.New(task.Config{
		Name: "retention", Clock: cfg.Clock, Log: cfg.Log, Run: j.run, MaxSleep: every,
	})
	return j
}

// Start lets the job look at once, and then every minute, until Stop.
func (j *Job) Start() { j.runner.Start() }

// Stop ends the loop and waits for the batch under way. It must not be called before
// Start.
func (j *Job) Stop() { j.runner.Stop() }

// MayDelete reports whether the last run found the clock good enough to delete by age.
// It is false before the first run, and may be called from any goroutine.
func (j *Job) MayDelete() bool { return j.clockGate.open.Load() }

// run carries out one batch of each kind. While there is more it comes back soon,
// but not before requests had their time: where they keep the database busy, a batch
// takes longer, and so does the pause after it.
func (j *Job) run(ctx context.Context) (next time.Time, err error) {
	began := j.cfg.Clock.Now()
	more, err := j.Once(ctx)
	now := j.cfg.Clock.Now()
	if !more {
		return now.Add(every), err
	}
	return now.Add((share - 1) * now.Sub(began)), err
}

// step carries out one batch at a time, and reports whether there is more to do.
type step = func(context.Context, time.Time) (more bool, err error)

// Once carries out one batch of each kind and reports whether there is more to do.
// A failed step does not prevent the others. While the clock is in doubt it only makes data
// keys and measures: a move to the archive destroys codes, a settled entry of the ledger
// could be charged again, and only moves need partitions.
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

// keys makes the data keys of a new day. Keys from the future are not used after the
// correction of the clock, and destroyed.
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

// hasten makes verifications due whose due time a clock that was ahead has set.
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

// measure finds how far behind the archive is.
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

// before is the time that lies so far back; zero for ever.
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

// settleLedger moves old entries out of the ledger that requests write to, whatever is
// kept.
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

// forget deletes what has no other bound: the messages of the virtual phone, which
// hold codes, receipts that found no message, secrets that have expired, and what is
// known of numbers that got none lately.
func (j *Job) forget(ctx context.Context, now time.Time) (more bool, err error) {
	if err := errors.Join(j.cfg.Store.ForgetReceipts(ctx, now), j.cfg.Store.ForgetSecrets(ctx, now)); err != nil {
		return false, err
	}
	// Most are only looked at, in their order, which takes less time than to move a batch.
	_, walking, err := j.cfg.Store.PruneNumberHistories(ctx, &j.walk, now, 10*batch)
	if j.cfg.Keep.Codes == 0 || err != nil {
		return walking, err
	}
	n, err := j.cfg.Store.ForgetMessages(ctx, now.Add(-j.cfg.Keep.Codes), now, batch)
	return n == batch || walking, err
}

// forgetAudit keeps what was changed by hand as long as the entries of the ledger.
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
	const many = 10 * batch // short rows
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

// forgetSignatures deletes those that are of no more use. They are many, small, and
// nobody waits for them.
func (j *Job) forgetSignatures(ctx context.Context, now time.Time) (more bool, err error) {
	const many = 10 * batch
	n, err := j.cfg.Store.ForgetSignatures(ctx, now, many)
	return n == many, err
}
