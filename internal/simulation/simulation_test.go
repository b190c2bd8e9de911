package simulation

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"countersign/internal/message"
)

const (
	seeds = 50 // unless COUNTERSIGN_SEEDS says otherwise
	turns = 60 // of each
)

// TestSimulation: whatever happens, no promise is broken.
func TestSimulation(t *testing.T) {
	t.Parallel()
	messages, err := message.New()
	if err != nil {
		t.Fatal(err)
	}
	tpl, dir := makeTemplate(t), place(t)
	if text := os.Getenv("COUNTERSIGN_SEED"); text != "" {
		story, e := live(t, tpl, messages, dir, number(t, text))
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
	var next, verifications, messagesSent, crashes atomic.Uint64
	first := uint64(1)
	if text := os.Getenv("COUNTERSIGN_FIRST_SEED"); text != "" { // so that a long run can be made in parts
		first = number(t, text)
		next.Store(first - 1)
		n += first - 1
	}
	var hands sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		hands.Go(func() {
			for seed := next.Add(1); seed <= n && !t.Failed(); seed = next.Add(1) {
				_, e := live(t, tpl, messages, dir, seed)
				broken := judge(e)
				verifications.Add(uint64(len(e.records)))
				messagesSent.Add(uint64(len(e.phones)))
				crashes.Add(uint64(e.crashes))
				for _, b := range broken {
					t.Errorf("COUNTERSIGN_SEED=%d: %s", seed, b)
				}
			}
		})
	}
	hands.Wait()
	t.Logf("seeds %d to %d: %d verifications, %d messages, %d crashes",
		first, min(next.Load(), n), verifications.Load(), messagesSent.Load(), crashes.Load())
}

// TestOnceBroken lives again through what has broken a promise before: a refund that
// never fell due, and an event whose outcome nobody settled. Worlds change with the
// program, so each is lived some times.
func TestOnceBroken(t *testing.T) {
	t.Parallel()
	messages, err := message.New()
	if err != nil {
		t.Fatal(err)
	}
	tpl, dir := makeTemplate(t), place(t)
	for _, seed := range []uint64{4561, 15618} {
		for range 5 {
			_, e := live(t, tpl, messages, dir, seed)
			for _, b := range judge(e) {
				t.Errorf("COUNTERSIGN_SEED=%d: %s", seed, b)
			}
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

// live lets one world happen, and tells what it was like in the end.
func live(t *testing.T, tpl template, messages *message.Catalog, dir string, seed uint64) (story []string, e evidence) {
	t.Helper()
	var w *world
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(t, tpl, messages, dir, seed)
		w.run(turns)
		e = w.collect()
	})
	files, err := filepath.Glob(filepath.Join(dir, fmt.Sprintf("%d.db*", seed)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		_ = os.Remove(f) // with the folder at the latest
	}
	return w.story, e
}
