package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"countersign/internal/verify"
)

// topic is a kind of data that each request reads and that rarely changes, so it is
// cached in memory. Each topic has a row in settings with a version, which every change
// replaces. A node under load reads these rows ten times a second and reloads changed
// topics.
//
// A change must be visible on every node when its caller is answered: a revoked secret is
// refused everywhere from then on. So cached data is used only within knownFor of a
// version check, and a writer waits knownFor after its commit.
type topic int

const (
	ofAccounts  topic = iota // accounts without their balances, and their secrets
	ofBlocked                // block list
	ofPrices                 // price lists of accounts and carriers
	ofTemplates              // active templates, and the account settings that change messages
	topics                   // number of topics
)

// setting returns the name of the row in settings with the topic's version.
func (t topic) setting() string {
	return [topics]string{"accounts_version", "blocked_version", "prices_version", "templates_version"}[t]
}

const (
	// lookEvery is the age of a version check after which the next caller makes another.
	// Other callers do not wait for it until the last check is older than knownFor.
	lookEvery = 100 * time.Millisecond
	// knownFor is the time after a version check in which cached data may be used. Each
	// change takes at least this time if other processes may have the database open.
	knownFor = 200 * time.Millisecond
	// keptFor is the age at which a value is reloaded even if its version is unchanged,
	// for changes that were not made by this package.
	keptFor = time.Minute
	// reloadAgain is the pause after a failed reload.
	reloadAgain = time.Second / 2
	// lookTimeout bounds a version check, for which other callers wait.
	lookTimeout = 8 * time.Second
)

// changes is the state of the version checks of this process.
type changes struct {
	// generation counts the detected changes of each topic. A value loaded in an earlier
	// generation is stale.
	generation [topics]atomic.Uint64
	looked     atomic.Pointer[time.Time] // begin of the last successful check

	mu      sync.Mutex    // guards the fields below
	under   *versionCheck // check in progress, or nil
	seen    [topics]string
	failing bool
}

// versionCheck is one read of the versions; concurrent callers share it.
type versionCheck struct {
	began time.Time
	done  chan struct{} // closed at the end of the check
	err   error         // result; valid once done is closed
}

func (v *changes) of(t topic) uint64 { return v.generation[t].Load() }

// join returns the running check, or a new one (mine) that the caller must run.
func (v *changes) join(now time.Time) (l *versionCheck, mine bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.under != nil {
		return v.under, false
	}
	v.under = &versionCheck{began: now, done: make(chan struct{})}
	return v.under, true
}

// checkVersions updates the generations with all changes that are older than knownFor or
// precede the call. After an error they may be stale. Without wait it returns nil instead
// of waiting for a check of another caller.
func (db *DB) checkVersions(ctx context.Context, wait bool) error {
	v := &db.changes
	came := time.Now()
	for now := came; ; now = time.Now() {
		last := v.looked.Load()
		if last != nil && now.Sub(*last).Abs() < lookEvery {
			return nil
		}
		good := last != nil && now.Sub(*last).Abs() < knownFor
		l, mine := v.join(now)
		switch {
		case mine:
			db.runVersionCheck(ctx, l)
		case good || !wait:
			return nil
		default:
			<-l.done
		}
		switch {
		case l.err != nil && good && time.Since(*last).Abs() < knownFor:
			return nil
		case l.err != nil:
			return fmt.Errorf("check for changes: %w", l.err)
		case !l.began.Before(came):
			return nil
		}
	}
}

// runVersionCheck runs a check. Other callers share it, so it ignores a cancellation of ctx.
func (db *DB) runVersionCheck(ctx context.Context, l *versionCheck) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
	defer cancel()
	seen, err := db.readVersions(ctx)
	v := &db.changes
	v.mu.Lock()
	defer v.mu.Unlock()
	v.under, l.err = nil, err
	if err == nil {
		for t := range topics {
			if seen[t] != v.seen[t] {
				v.generation[t].Add(1)
			}
		}
		v.seen = seen
		v.looked.Store(&l.began)
	} else if !v.failing {
		db.log.Warn("cannot check for changed accounts, prices and templates", "error", err)
	}
	v.failing = err != nil
	close(l.done)
}

func (db *DB) readVersions(ctx context.Context) (seen [topics]string, err error) {
	var names []string
	for t := range topics {
		names = append(names, "'"+t.setting()+"'")
	}
	rows, err := db.query(ctx, `SELECT name, value FROM settings WHERE name IN (`+strings.Join(names, ", ")+`)`)
	if err != nil {
		return seen, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var version []byte
		if err := rows.Scan(&name, &version); err != nil {
			return seen, err
		}
		for t := range topics {
			if t.setting() == name {
				seen[t] = string(version)
			}
		}
	}
	return seen, rows.Err()
}

// bumpVersions writes new versions of topics, in the transaction of their change. It must
// be the last statement: it locks the rows of the topics until the commit.
func (tx *Tx) bumpVersions(of ...topic) error {
	for _, t := range of {
		version := verify.NewID(rand.Reader)
		if err := tx.send(`INSERT INTO settings (name, value) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`, t.setting(), version[:]); err != nil {
			return err
		}
	}
	return nil
}

// waitForNodes returns when every node has noticed a change of topics. After err, the error
// of the write, it does not wait. It still invalidates the caches of this process, since the
// write may be durable.
func (db *DB) waitForNodes(ctx context.Context, err error, of ...topic) {
	for _, t := range of {
		db.changes.generation[t].Add(1)
	}
	// Exclusive: this process is the only server, so no other cache exists.
	if len(of) == 0 || err != nil || db.engine.Exclusive() {
		return
	}
	select {
	case <-time.After(knownFor):
	case <-ctx.Done():
	}
}

// Cached is a value that is loaded from the database, and reloaded after a change of its
// topic. It is safe for concurrent use.
type Cached[T any] struct {
	db    *DB
	topic topic
	read  func(context.Context) (T, error)
	exact bool // never return a value older than an acknowledged change

	turn   sync.Mutex // held by the goroutine that loads the value
	failed time.Time  // time of the last failed load
	last   atomic.Pointer[reading[T]]
}

type reading[T any] struct {
	value      T
	generation uint64
	at         time.Time
}

// CacheTemplates returns a cached value that read derives from templates and from the
// account settings that change messages.
func CacheTemplates[T any](db *DB, read func(context.Context) (T, error)) *Cached[T] {
	return cache(db, ofTemplates, read)
}

func cache[T any](db *DB, t topic, read func(context.Context) (T, error)) *Cached[T] {
	return &Cached[T]{db: db, topic: t, read: read}
}

// Get returns the value, at most one second stale. The first caller blocks until it is
// loaded. Later one caller at a time reloads, and the others get the previous value
// unless the cache is exact. While the database is unreadable all get the previous value.
func (c *Cached[T]) Get(ctx context.Context) (T, error) {
	value, _, err := c.get(ctx)
	return value, err
}

// get is Get. current reports whether the value is certain to match the database.
func (c *Cached[T]) get(ctx context.Context) (value T, current bool, err error) {
	last := c.last.Load()
	if err := c.db.checkVersions(ctx, c.exact || last == nil); err != nil {
		if last == nil {
			return value, false, err
		}
		return last.value, false, nil
	}
	if c.good(last) {
		return last.value, true, nil
	}
	if last == nil || c.exact {
		c.turn.Lock()
	} else if !c.turn.TryLock() { // another goroutine is loading
		return last.value, false, nil
	}
	defer c.turn.Unlock()
	return c.reload(ctx)
}

func (c *Cached[T]) good(r *reading[T]) bool {
	return r != nil && r.generation == c.db.changes.of(c.topic) && time.Since(r.at).Abs() < keptFor
}

// reload reads the value; the caller holds turn. After a failure it waits reloadAgain.
func (c *Cached[T]) reload(ctx context.Context) (value T, current bool, err error) {
	last := c.last.Load()
	if c.good(last) {
		return last.value, true, nil
	}
	fresh := &reading[T]{generation: c.db.changes.of(c.topic), at: time.Now()}
	if last != nil && fresh.at.Sub(c.failed).Abs() < reloadAgain {
		return last.value, false, nil
	}
	if fresh.value, err = c.read(ctx); err == nil {
		c.last.Store(fresh)
		return fresh.value, true, nil
	}
	c.failed = fresh.at
	if last == nil {
		return value, false, err
	}
	c.db.log.Warn("serving stale cache entry", "topic", c.topic.setting(), "error", err)
	return last.value, false, nil
}

// renew reloads the value after a change by this process. Later calls of Get return no
// older value.
func (c *Cached[T]) renew(ctx context.Context) {
	c.turn.Lock()
	defer c.turn.Unlock()
	c.failed = time.Time{}
	if _, current, _ := c.reload(ctx); !current {
		c.last.Store(nil)
	}
}
