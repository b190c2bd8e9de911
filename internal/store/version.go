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

// topic is something that is read with each request, changes rarely, and is therefore
// kept in memory. Each has a row of settings that is another after each change
// ("version"). A node looks at those rows ten times a second, while it has work, and
// reads again what has changed.
//
// What one process changes the others must know by the time its caller is told so: a
// secret that was revoked lets nobody in from then on, on no node. So nobody goes by
// what he read unless he looked within the last knownFor, and who changes something
// waits for as long, once it is committed.
type topic int

const (
	ofAccounts  topic = iota // accounts but for their balances, and their secrets
	ofBlocked                // the block list
	ofPrices                 // price lists of accounts and carriers
	ofTemplates              // templates in use, and what accounts want at the end of an SMS
	topics                   // how many there are
)

// setting names the row that tells of changes.
func (t topic) setting() string {
	return [topics]string{"accounts_version", "blocked_version", "prices_version", "templates_version"}[t]
}

const (
	// lookEvery is how old a look may be before somebody takes another. The others go
	// on meanwhile, until the last one is too old.
	lookEvery = 100 * time.Millisecond
	// knownFor is for how long after a look what is cached is gone by: so long takes
	// each change where other processes may have the database open.
	knownFor = 200 * time.Millisecond
	// keptFor is after what time it is read again, whatever the versions say: for who
	// writes to the tables by other means than this package.
	keptFor = time.Minute
	// reloadAgain is the pause after a value could not be read.
	reloadAgain = time.Second / 2
	// lookTimeout bounds a look, for which others wait.
	lookTimeout = 8 * time.Second
)

// changes is what this process knows of the versions of topics.
type changes struct {
	// generation counts the changes of each topic that were noticed. What was read
	// while it was another is out of date.
	generation [topics]atomic.Uint64
	looked     atomic.Pointer[time.Time] // when the last look that succeeded began

	mu      sync.Mutex    // guards what follows
	under   *versionCheck // that is under way; nil for none
	seen    [topics]string
	failing bool
}

// versionCheck is one read of the versions; concurrent callers share it.
type versionCheck struct {
	began time.Time
	done  chan struct{} // closed when it is over
	err   error         // once done is closed
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
			return fmt.Errorf("look for changes: %w", l.err)
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
		db.log.Warn("changes of accounts, prices and templates are not seen", "error", err)
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

// bumpVersions gives topics new versions, in the transaction of their change. It must be
// the last statement: it locks the rows of the topics until the commit.
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

// waitForNodes returns when every node has noticed a change of topics. err is the error of
// the write, which may be durable nevertheless.
func (db *DB) waitForNodes(ctx context.Context, err error, of ...topic) {
	for _, t := range of {
		db.changes.generation[t].Add(1)
	}
	// The process with the lock of the file is the only server, so no other has a cache.
	if len(of) == 0 || err != nil || db.engine.Exclusive() {
		return
	}
	select {
	case <-time.After(knownFor):
	case <-ctx.Done():
	}
}

// Cached is a value that is read from the database, and again when what it is made of
// has changed. It is safe for concurrent use.
type Cached[T any] struct {
	db    *DB
	topic topic
	read  func(context.Context) (T, error)
	exact bool // nobody is given what was read before a change of which somebody was told

	turn   sync.Mutex // of whoever reads
	failed time.Time  // when that failed last
	last   atomic.Pointer[reading[T]]
}

type reading[T any] struct {
	value      T
	generation uint64
	at         time.Time
}

// CacheTemplates returns a value that read makes of templates and of the settings that
// change an account's messages.
func CacheTemplates[T any](db *DB, read func(context.Context) (T, error)) *Cached[T] {
	return cache(db, ofTemplates, read)
}

func cache[T any](db *DB, t topic, read func(context.Context) (T, error)) *Cached[T] {
	return &Cached[T]{db: db, topic: t, read: read}
}

// Get gives the value. A change is in it within a second. The first caller waits until
// it is read, and of the others one at a time: they are given what was read last, unless
// it is to be exact. So they are while the database cannot be read.
func (c *Cached[T]) Get(ctx context.Context) (T, error) {
	value, _, err := c.get(ctx)
	return value, err
}

// get is Get, and tells whether the value is sure to be what stands in the database.
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
	} else if !c.turn.TryLock() { // somebody reads already
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

// renew reads the value after a change by this process: whoever asks once it has
// returned is given no older one.
func (c *Cached[T]) renew(ctx context.Context) {
	c.turn.Lock()
	defer c.turn.Unlock()
	c.failed = time.Time{}
	if _, current, _ := c.reload(ctx); !current {
		c.last.Store(nil)
	}
}
