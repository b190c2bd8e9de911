// Package refusal records refused starts, so that an operator can explain a missing code.
//
// A [Log] collects refusals in memory and writes them in batches, outside the path of a
// request. Refusals of the same account, number and rule within an hour share one row. The
// rows of an hour are bounded, so a flood fills neither memory nor disk. A crash loses the
// refusals of the last second; under a flood, of the last [maxRows]/[batch] seconds.
//
// The package does not depend on HTTP, SQL, or the texts and status codes of any API.
package refusal

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/store"
	"countersign/internal/task"
	"countersign/internal/verify"
)

// Bounds on the rows that one process adds. A row takes at most 500 bytes in SQLite, with
// its indexes. A continuous flood thus takes at most 30 MB a day and 900 MB in 30 days.
const (
	// window is the time for which equal refusals share a row.
	window = time.Hour
	// maxOfAccount bounds the rows with a number of one account in a window. Further
	// numbers share rows without a number.
	maxOfAccount = 500
	// maxNumbers bounds the rows with a number of all accounts in a window.
	maxNumbers = 2000
	// maxRows bounds all rows of a window except those without account and number, at most
	// one for each rule.
	maxRows = 2500
	// maxUnsaved bounds the rows waiting for a slow database.
	maxUnsaved = 2 * maxRows
	// batch bounds the rows of one transaction.
	batch = 500
	// every is the interval of writes.
	every = time.Second
)

// Config configures a Log. All fields are required.
type Config struct {
	Store   Store
	Clock   clockwork.Clock
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Store stores refusals. [store.DB] implements it.
type Store interface {
	SaveRefusals(ctx context.Context, fresh, known []verify.Refusal) error
}

var _ Store = (*store.DB)(nil)

// Log collects refusals. Call New, then Start. A nil Log records no refusals. It is safe
// for concurrent use.
type Log struct {
	cfg     Config
	metrics *metrics
	runner  *task.Runner

	writing sync.Mutex // held while rows are written

	mu       sync.Mutex // guards the rest
	hour     time.Time  // start of the window
	rows     map[key]*row
	accounts map[string]int // rows with a number, by account
	numbers  int            // rows with a number, of all accounts
	unsaved  []*row         // in order of waiting
}

// key identifies a row within its window.
type key struct {
	account, number string
	rule            verify.Rule
}

type row struct {
	verify.Refusal
	saved   bool // stored in the database
	waiting bool // in Log.unsaved
}

// New returns a Log that does not write before Start.
func New(cfg Config) *Log {
	l := &Log{cfg: cfg, metrics: newMetrics(cfg.Metrics), rows: map[key]*row{}, accounts: map[string]int{}}
	l.runner = task.New(task.Config{Name: "refusals", Clock: cfg.Clock, Log: cfg.Log, Run: l.run, MaxSleep: every})
	return l
}

// Start begins to write, until Stop.
func (l *Log) Start() { l.runner.Start() }

// Stop ends that and writes the rest. It must not be called before Start, and no other
// method after it.
func (l *Log) Stop(ctx context.Context) error {
	l.runner.Stop()
	return l.Flush(ctx)
}

// Add records a refusal at the current time. It stores Account, Number, Cause and Source of
// r, but no number without an account. It never waits for the database.
func (l *Log) Add(r verify.Refusal) {
	if l == nil {
		return
	}
	if r.Account == "" {
		r.Number = "" // an unauthenticated client must not choose the contents of the table
	}
	now := l.cfg.Clock.Now().UTC().Truncate(time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	if hour := now.Truncate(window); !hour.Equal(l.hour) {
		l.hour, l.numbers = hour, 0
		clear(l.rows)
		clear(l.accounts)
	}
	to := l.find(r, now)
	if to == nil {
		l.metrics.dropped.Inc()
		return
	}
	to.Times++
	to.Cause, to.Source, to.Last = r.Cause, r.Source, now
	if !to.waiting {
		to.waiting = true
		l.unsaved = append(l.unsaved, to)
	}
}

// find returns the row that counts r. At the bound of rows it returns a row without number,
// or without account and number; nil if too many rows wait for the database.
func (l *Log) find(r verify.Refusal, now time.Time) *row {
	k := key{r.Account, r.Number, r.Rule}
	for {
		if to := l.rows[k]; to != nil && (to.waiting || len(l.unsaved) < maxUnsaved) {
			return to
		}
		switch {
		case len(l.unsaved) >= maxUnsaved:
			return nil
		case k.number != "" && (l.accounts[k.account] >= maxOfAccount || l.numbers >= maxNumbers || len(l.rows) >= maxRows):
			k.number = ""
			l.metrics.folded.Inc()
			continue
		case k.account != "" && len(l.rows) >= maxRows:
			k.account = ""
			continue
		}
		to := &row{Refusal: verify.Refusal{ID: verify.NewID(rand.Reader), Account: k.account, Number: k.number, First: now}}
		l.rows[k] = to
		if k.number != "" {
			l.accounts[k.account]++
			l.numbers++
		}
		return to
	}
}

// run writes one batch.
func (l *Log) run(ctx context.Context) (next time.Time, err error) {
	_, err = l.write(ctx)
	return l.cfg.Clock.Now().Add(every), err
}

// Flush writes all refusals added before.
func (l *Log) Flush(ctx context.Context) error {
	if l == nil {
		return nil
	}
	for {
		more, err := l.write(ctx)
		if err != nil || !more {
			return err
		}
	}
}

// write writes one batch, and reports whether rows are left. After an error the rows wait
// for the next write.
func (l *Log) write(ctx context.Context) (more bool, err error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	taken, fresh, known := l.nextBatch()
	if len(taken) == 0 {
		return false, nil
	}
	err = l.cfg.Store.SaveRefusals(ctx, fresh, known)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		for _, r := range taken {
			if !r.waiting {
				r.waiting = true
				l.unsaved = append(l.unsaved, r)
			}
		}
		return false, err
	}
	for _, r := range taken {
		r.saved = true
	}
	return len(l.unsaved) > 0, nil
}

// nextBatch removes a batch from the waiting rows, and returns copies to write.
func (l *Log) nextBatch() (taken []*row, fresh, known []verify.Refusal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(batch, len(l.unsaved))
	taken = append(taken, l.unsaved[:n]...)
	l.unsaved = append(l.unsaved[:0], l.unsaved[n:]...)
	for _, r := range taken {
		r.waiting = false
		if r.saved {
			known = append(known, r.Refusal)
		} else {
			fresh = append(fresh, r.Refusal)
		}
	}
	return taken, fresh, known
}

// Forget drops the collected refusals of a number, in any of its forms. A refusal added
// later is still written.
func (l *Log) Forget(number string) {
	if l == nil {
		return
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	canonical := verify.CanonicalNumber(number)
	is := func(n string) bool { return n != "" && verify.CanonicalNumber(n) == canonical }
	for k := range l.rows {
		if is(k.number) {
			delete(l.rows, k) // still counted for the bounds of the hour
		}
	}
	kept := l.unsaved[:0]
	for _, r := range l.unsaved {
		if !is(r.Number) {
			kept = append(kept, r)
		}
	}
	clear(l.unsaved[len(kept):])
	l.unsaved = kept
}
