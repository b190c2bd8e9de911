package simulation

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/deliver"
	"countersign/internal/engine"
	"countersign/internal/store"
	words "countersign/internal/template"
)

// errCrashed is the error of every call in a crashed process: it has no effect, and no caller
// receives its result.
var errCrashed = errors.New("crashed")

// node is one process: an engine with a connection to the common database.
type node struct {
	w      *world
	number int
	db     *store.DB
	engine *engine.Engine
	wires  *wires

	mu      sync.Mutex
	down    bool
	crashIn int           // commits until the crash; 0 for never
	fate    fate          // result of the commit at which the node crashes
	held    chan struct{} // closed by release; nil unless the node is paused
}

// fate is the result of the commit at which a node crashes.
type fate struct {
	keep bool // the commit is durable
	// On PostgreSQL, a commit that is not kept ends on the wire: its connections close after
	// this number of messages and a part (0 to 1) of the next.
	writes int
	part   float64
}

// boot starts the process.
func (w *world) boot(number int) *node {
	n := &node{w: w, number: number}
	n.wires = &wires{stand: n.stand, hold: n.hold, open: map[*wire]bool{}}
	var err error
	n.db, err = store.Open(w.ctx, store.Config{
		Database: w.database, Key: w.key, Log: slog.New(slog.DiscardHandler), Around: n.around, Dial: n.wires.dial,
	})
	w.must(err)
	router, err := deliver.NewRouter(deliver.RouterConfig{
		Routes: []deliver.Route{{Carriers: []string{"carrier"}}}, Carriers: map[string]deliver.Carrier{"carrier": carrier{n}},
	})
	w.must(err)
	n.engine = engine.New(engine.Config{
		Store: n.db, Router: router, Clock: clockwork.NewRealClock(), // virtual clock of the bubble
		Messages: words.NewWriter(w.messages, n.db, slog.New(slog.DiscardHandler)),
		Log:      slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Caps: w.caps,
		Observe: w.observe,
	})
	n.engine.Resume()
	return n
}

// around runs a commit of the node, or crashes at it.
func (n *node) around(commit func()) error {
	n.stand(context.Background())
	n.mu.Lock()
	if n.down {
		n.mu.Unlock()
		return errCrashed
	}
	crash, f := n.crashIn == 1, n.fate
	n.crashIn = max(n.crashIn-1, 0)
	n.down = crash
	n.mu.Unlock()
	if !crash {
		commit()
		return nil
	}
	switch {
	case f.keep:
		commit() // durable, without an answer
	case store.IsPostgres(n.w.database):
		n.wires.cutAfter(f.writes, f.part)
		commit()
	}
	n.wires.cut()
	return errCrashed
}

// stand blocks while the process is paused, until ctx is done.
func (n *node) stand(ctx context.Context) {
	n.mu.Lock()
	held := n.held
	n.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
		}
	}
}

// hold pauses the process, as a pause of its machine does.
func (n *node) hold() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.held == nil {
		n.held = make(chan struct{})
	}
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	n.w.stood = true
}

func (n *node) paused() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.held != nil
}

func (n *node) release() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.held != nil {
		close(n.held)
		n.held = nil
	}
}

// crash ends the process immediately if commits is 0, and otherwise at that commit.
func (n *node) crash(commits int, f fate) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.crashIn, n.fate, n.down = commits, f, n.down || commits == 0
	if n.down {
		n.wires.cut()
	}
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	n.w.crashes++
}

func (n *node) crashed() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.down
}

// bury closes a crashed process, which has no effect any more.
func (n *node) bury() {
	n.release()
	ctx, cancel := context.WithCancel(n.w.ctx)
	cancel()
	_ = n.engine.Stop(ctx) // Stop reports that ctx is done
	n.w.must(n.db.Close())
}
