package postgres

import (
	"database/sql"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// stillEvery is the time between two log lines of one outage.
	stillEvery = time.Minute
	// calm is the time without a failure after which a success ends an outage. An outage
	// continues while the server refuses some sessions, or only reads.
	calm = 3 * time.Second
)

// outage tracks whether the PostgreSQL server is available, by the results of writes,
// reads, keys and LISTEN. It logs the beginning, a line a minute, and the end with the
// duration. It is safe for concurrent use; a nil outage does not log.
type outage struct {
	log *slog.Logger
	now func() time.Time

	on atomic.Bool // true from the first failure to the end

	mu       sync.Mutex // guards the fields below
	began    time.Time
	failed   time.Time // last failure
	worked   time.Time // first success since; zero before it
	logged   time.Time // first success after the last failure, or zero
	failures int
	last     *UnavailableError
}

// note takes the result of an operation, and returns it, as an [*UnavailableError] if it
// means that the server is unavailable.
func (o *outage) note(err error) error {
	if o == nil {
		return err
	}
	if u := unavailable(err); u != nil {
		o.fail(u)
		return u
	}
	if o.on.Load() && (err == nil || errors.Is(err, sql.ErrNoRows) || SQLState(err) != "") { // other errors are not about the server
		o.succeed()
	}
	return err
}

func (o *outage) fail(u *UnavailableError) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.now()
	begins := !o.on.Swap(true)
	if begins {
		o.began, o.failures = now, 0
	}
	o.failures++
	o.failed, o.worked, o.last = now, time.Time{}, u
	switch {
	case begins:
		o.log.Error("database unavailable", "reason", u.Reason, "remedy", u.Remedy)
	case now.Sub(o.logged) >= stillEvery:
		o.log.Error("database still unavailable", "for", o.rounded(now), "failures", o.failures, "reason", u.Reason, "remedy", u.Remedy)
	default:
		return
	}
	o.logged = now
}

func (o *outage) succeed() {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.now()
	if o.worked.IsZero() {
		o.worked = now
	}
	if !o.on.Load() || now.Sub(o.failed) < calm {
		return
	}
	o.on.Store(false)
	o.log.Info("database available again", "after", o.rounded(o.worked), "failures", o.failures, "reason", o.last.Reason)
}

// rounded returns the time from the beginning of the outage until t, as text.
func (o *outage) rounded(t time.Time) string {
	return t.Sub(o.began).Round(100 * time.Millisecond).String()
}
