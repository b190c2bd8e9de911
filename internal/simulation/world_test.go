package simulation

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
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

const (
	account    = "sim00001"
	codeLength = 4
	credit     = 5 * verify.Unit
	// clientPatience is how long a client waits for an answer.
	clientPatience = 10 * time.Second
)

// world is everything that there is: nodes on a database, clients, phones.
type world struct {
	t        testing.TB
	ctx      context.Context //nolint:containedctx // of the whole world
	seed     uint64
	rng      *rand.Rand
	path     string
	key      vault.Key
	messages *message.Catalog
	began    time.Time
	others   sync.WaitGroup // receipts on their way, and calls that clients gave up

	mu       sync.Mutex
	nodes    []*node
	phones   []sent
	starts   []start
	checks   []check
	ordinals map[verify.ID]int
	counts   map[string]int
	tries    map[string]int
	story    []string
	crashes  int
	stood    bool // a node, for a while
	caps     fraud.Caps
	values   map[verify.ID][]verify.Verification // that rules returned
}

// observe notes the value of a committed change.
func (w *world) observe(c verify.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := c.Verification
	v.Source, v.Premium = "", false // are not stored
	w.values[v.ID] = append(w.values[v.ID], v)
}

// lowCaps are so low that they matter in an hour, with three numbers.
func lowCaps() fraud.Caps {
	return fraud.Caps{
		Sends:               []fraud.Window{{Count: 3, Within: 5 * time.Minute}, {Count: 6, Within: 20 * time.Minute}},
		AccountFailedChecks: []fraud.Window{{Count: 4, Within: 20 * time.Minute}},
		Streak:              9, Lock: 5 * time.Minute, Remember: time.Hour,
	}
}

// start is what a client was told about a verification that it asked for.
type start struct {
	id      verify.ID
	number  string
	refused verify.Kind // KindInternal for none
}

// check is what a client was told about a code.
type check struct {
	id    verify.ID
	code  string
	right bool
	kind  verify.Kind // of the refusal
}

// template is what all worlds begin with, made once: a database with its account, and
// the texts of messages.
type template struct {
	key      vault.Key
	file     []byte
	messages *message.Catalog
}

func makeTemplate(t *testing.T) template {
	t.Helper()
	messages, err := message.New()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "template.db")
	key := vault.NewKey()
	db, err := store.Open(t.Context(), store.Config{Database: path, Key: key, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	err = db.CreateAccount(t.Context(), store.NewAccount{
		Account: verify.Account{Key: account, Name: "Simulation", Balance: credit, OnUndeliverable: verify.UndeliverableNextEvent},
		Secret:  "secret",
	}, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return template{key, file, messages}
}

// place is where databases are quick: what is simulated does not include a power cut.
func place(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "countersign-simulation")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// newWorld begins a world in a bubble of its own.
func newWorld(t testing.TB, tpl template, dir string, seed uint64) *world {
	t.Helper()
	w := &world{
		t: t, ctx: context.Background(), seed: seed, rng: rand.New(rand.NewPCG(seed, 1)),
		path: filepath.Join(dir, fmt.Sprintf("%d.db", seed)), key: tpl.key, messages: tpl.messages, began: time.Now(),
		values: map[verify.ID][]verify.Verification{}, ordinals: map[verify.ID]int{}, counts: map[string]int{}, tries: map[string]int{},
	}
	if seed%2 == 0 {
		w.caps = lowCaps()
	}
	w.must(os.WriteFile(w.path, tpl.file, 0o600))
	for i := range 1 + w.rng.IntN(3) {
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

// note adds to the story. The caller holds w.mu.
func (w *world) note(format string, args ...any) {
	w.story = append(w.story, fmt.Sprintf("%9s  ", time.Since(w.began).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

func (w *world) tell(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(format, args...)
}

// run lets the world go its way for so many turns, and then lets it come to rest.
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
	await.Pass(time.Hour)
	w.others.Wait()
	for _, n := range w.nodes {
		if n.crashed() { // by a carrier that was slow
			w.replace(n.number)
		}
	}
	await.Pass(time.Hour)
	for _, n := range w.nodes {
		n.bury()
	}
}

// turn is one thing that happens.
func (w *world) turn() {
	n := w.rng.IntN(len(w.nodes))
	switch p := w.rng.IntN(100); {
	case p < 25:
		w.start(n)
	case p < 50:
		w.check(n)
	case p < 55:
		w.control(n)
	case p < 85:
		w.pass()
	case p < 91:
		commits, keep := w.rng.IntN(4), w.rng.IntN(2) == 0
		w.tell("node %d crashes at commit %d, durable: %t", n, commits, keep)
		w.nodes[n].crash(commits, keep)
	case p < 95:
		w.tell("node %d stands still", n)
		w.nodes[n].hold()
	default:
		w.tell("node %d goes on", n)
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

// replace starts a new process for one that has crashed.
func (w *world) replace(i int) {
	w.tell("node %d starts again", i)
	w.nodes[i].bury()
	n := w.boot(i)
	w.mu.Lock()
	w.nodes[i] = n
	w.mu.Unlock()
}
