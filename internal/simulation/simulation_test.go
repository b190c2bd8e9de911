package simulation

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const (
	seeds = 50 // default of COUNTERSIGN_SEEDS
	turns = 60 // turns of each seed
)

// TestSimulation checks that no seed breaks a promise.
func TestSimulation(t *testing.T) {
	t.Parallel()
	tpl := makeTemplate(t)
	if text := os.Getenv("COUNTERSIGN_SEED"); text != "" {
		story, e := live(t, tpl, number(t, text))
		t.Log(strings.Join(story, "\n"))
		for _, b := range judge(e) {
			t.Error(b)
		}
		return
	}
	n := uint64(seeds)
	if text := os.Getenv("COUNTERSIGN_SEEDS"); text != "" {
		n = number(t, text)
	}
	goOn := func() bool { return true }
	if text := os.Getenv("COUNTERSIGN_SEEDS_FOR"); text != "" { // no seed begins after this time
		limit, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("COUNTERSIGN_SEEDS_FOR: %v", err)
		}
		begun := time.Now()
		goOn = func() bool { return time.Since(begun) < limit }
	}
	var next, done, verifications, messagesSent, crashes, deadlocks atomic.Uint64
	first := uint64(1)
	if text := os.Getenv("COUNTERSIGN_FIRST_SEED"); text != "" { // allows a long run in parts
		first = number(t, text)
	}
	last := first + n - 1
	next.Store(first - 1)
	var hands sync.WaitGroup
	for range tpl.parallel * runtime.GOMAXPROCS(0) {
		hands.Go(func() {
			for seed := next.Add(1); seed <= last && !t.Failed() && goOn(); seed = next.Add(1) {
				e := promise(t, tpl, seed)
				done.Add(1)
				deadlocks.Add(uint64(e.deadlocks))
				verifications.Add(uint64(len(e.records)))
				messagesSent.Add(uint64(len(e.phones)))
				crashes.Add(uint64(e.crashes))
			}
		})
	}
	hands.Wait()
	t.Logf("%d seeds from %d: %d verifications, %d messages, %d crashes, %d deadlocks",
		done.Load(), first, verifications.Load(), messagesSent.Load(), crashes.Load(), deadlocks.Load())
}

// TestOnceBroken repeats seeds that broke a promise in the past: a refund never became due,
// and the outcome of an event stayed open. Worlds change with the program, so each seed runs
// 5 times.
func TestOnceBroken(t *testing.T) {
	t.Parallel()
	tpl := makeTemplate(t)
	for _, seed := range []uint64{4561, 15618} {
		for range 5 {
			promise(t, tpl, seed)
		}
	}
}

func number(t *testing.T, text string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// promise runs one world, and fails the test for each broken promise.
func promise(t *testing.T, tpl template, seed uint64) evidence {
	t.Helper()
	_, e := live(t, tpl, seed)
	for _, b := range judge(e) {
		t.Errorf("COUNTERSIGN_SEED=%d: %s", seed, b)
	}
	return e
}

// live runs one world, and returns its story and evidence.
func live(t *testing.T, tpl template, seed uint64) (story []string, e evidence) {
	t.Helper()
	database, drop, err := tpl.create(seed)
	if err != nil {
		t.Fatal(err)
	}
	var w *world
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(t, tpl, database, seed)
		w.run(turns)
		e = w.end()
	})
	if err := drop(); err != nil {
		t.Logf("remove the database of seed %d: %v", seed, err)
	}
	return w.story, e
}
