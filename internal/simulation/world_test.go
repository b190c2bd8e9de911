package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/await"
	"countersign/internal/fraud"
	"countersign/internal/message"
	"countersign/internal/store"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

// accounts verify the same numbers.
func accounts() [2]string { return [2]string{"sim00001", "sim00002"} }

const (
	codeLength = 4
	credit     = 5 * verify.Unit // initial balance of each account
	// clientPatience is the time a client waits for an answer.
	clientPatience = 10 * time.Second
)

// world has the nodes on one database, the clients and the phones.
type world struct {
	t        testing.TB
	ctx      context.Context //nolint:containedctx // lasts as long as the world
	seed     uint64
	rng      *rand.Rand
	database string
	key      vault.Key
	messages *message.Catalog
	began    time.Time
	others   sync.WaitGroup // receipts in flight and calls after the client's timeout

	mu       sync.Mutex
	nodes    []*node
	phones   []sent
	starts   []start
	checks   []check
	erasures []erasure
	delays   []string             // failed starts, see beside
	numbers  map[verify.ID]string // kept after erasure
	ordinals map[verify.ID]int
	counts   map[string]int
	tries    map[string]int
	story    []string
	crashes  int
	steady   bool // no node crashes
	stood    bool // a node was paused
	caps     fraud.Caps
	values   map[verify.ID][]verify.Verification // values returned by rules
}

// observe records the value of a committed change.
func (w *world) observe(c verify.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := c.Verification
	v.Source, v.Premium = "", false // not stored
	w.values[v.ID] = append(w.values[v.ID], v)
	w.numbers[v.ID] = v.To.Given
}

// lowCaps are low enough to take effect within an hour, with three numbers.
func lowCaps() fraud.Caps {
	return fraud.Caps{
		Sends:               []fraud.Window{{Count: 3, Within: 5 * time.Minute}, {Count: 6, Within: 20 * time.Minute}},
		AccountFailedChecks: []fraud.Window{{Count: 4, Within: 20 * time.Minute}},
		Streak:              9, Lock: 5 * time.Minute, Remember: time.Hour,
	}
}

// start is the answer to a client that started a verification.
type start struct {
	id      verify.ID
	number  string
	refused verify.Kind // KindInternal if accepted
}

// check is the answer to a client that checked a code.
type check struct {
	id    verify.ID
	code  string
	right bool
	kind  verify.Kind // reason of the refusal
}

// newWorld creates a world in the bubble of the caller.
func newWorld(t testing.TB, tpl template, database string, seed uint64) *world {
	t.Helper()
	w := &world{
		t: t, ctx: context.Background(), seed: seed, rng: rand.New(rand.NewPCG(seed, 1)),
		database: database, key: tpl.key, messages: tpl.messages, began: time.Now(),
		numbers: map[verify.ID]string{}, values: map[verify.ID][]verify.Verification{}, ordinals: map[verify.ID]int{}, counts: map[string]int{}, tries: map[string]int{},
	}
	w.steady = seed%5 == 0
	if seed%2 == 0 {
		w.caps = lowCaps()
	}
	nodes := 1 + w.rng.IntN(3)
	if store.IsPostgres(database) {
		nodes = max(nodes, 2)
	}
	for i := range nodes {
		w.nodes = append(w.nodes, w.boot(i))
	}
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("seed %d: %v", w.seed, err)
	}
}

// note appends a line to the story. The caller holds w.mu.
func (w *world) note(format string, args ...any) {
	w.story = append(w.story, fmt.Sprintf("%9s  ", time.Since(w.began).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

func (w *world) tell(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(format, args...)
}

// run makes the given number of turns and then waits until no row is due.
func (w *world) run(turns int) {
	for range turns {
		w.turn()
		synctest.Wait()
	}
	for i, n := range w.nodes {
		n.release()
		if n.crashed() {
			w.replace(i)
		}
	}
	w.rest()
	w.others.Wait()
	for _, n := range w.nodes {
		if n.crashed() { // crashed by a slow carrier
			w.replace(n.number)
		}
	}
	w.rest()
}

// end stops the nodes gracefully and returns the evidence.
func (w *world) end() evidence {
	for _, n := range w.nodes {
		w.must(n.engine.Stop(w.ctx))
	}
	e := w.collect(w.nodes[0].db)
	for _, n := range w.nodes {
		w.must(n.db.Close())
	}
	return e
}

// rest waits an hour. On PostgreSQL, where each node polls every second, it returns early
// once no row is due. It waits first because a released node has calls in progress.
func (w *world) rest() {
	const part = time.Minute
	for range time.Hour / part {
		await.Pass(part)
		if _, due, err := w.nodes[0].db.NextDue(w.ctx); store.IsPostgres(w.database) && err == nil && !due {
			return
		}
	}
}

// turn makes one random event.
func (w *world) turn() {
	n := w.rng.IntN(len(w.nodes))
	switch p := w.rng.IntN(100); {
	case p < 25:
		w.start(n)
	case p < 45:
		w.check(n)
	case p < 50:
		w.control(n)
	case p < 55:
		w.erase(n)
	case p < 60:
		w.beside(n)
	case p < 85 || p < 91 && w.steady:
		w.pass()
	case p < 91:
		commits, f := w.rng.IntN(4), fate{keep: w.rng.IntN(2) == 0}
		if store.IsPostgres(w.database) {
			f.writes, f.part = w.rng.IntN(3), w.rng.Float64()
		}
		w.tell("node %d crashes at commit %d, durable: %t, after %.1f messages", n, commits, f.keep, float64(f.writes)+f.part)
		w.nodes[n].crash(commits, f)
	case p < 95:
		w.tell("node %d pauses", n)
		w.nodes[n].hold()
	default:
		w.tell("node %d continues", n)
		w.nodes[n].release()
	}
	if w.nodes[n].crashed() && w.rng.IntN(2) == 0 {
		w.replace(n)
	}
}

func (w *world) pass() {
	d := time.Duration(w.rng.IntN([]int{1_000, 20_000, 200_000}[w.rng.IntN(3)])) * time.Millisecond
	await.Pass(d)
}

// replace starts a new process in place of a crashed one.
func (w *world) replace(i int) {
	w.tell("node %d starts again", i)
	w.nodes[i].bury()
	n := w.boot(i)
	w.mu.Lock()
	w.nodes[i] = n
	w.mu.Unlock()
}
