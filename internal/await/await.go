// Package await waits for conditions in tests, instead of a duration of real time. Only
// tests import it. It imports no other package of the project.
package await

import (
	"testing"
	"testing/synctest"
	"time"
)

const (
	// Limit is the maximum wait in real time. Only failing tests reach it, so it is far
	// longer than needed on a busy machine.
	Limit = 30 * time.Second

	interval = 2 * time.Millisecond
)

// Until returns once met returns true. It calls met immediately and then every 2 ms, in the
// goroutine of the test. After [Limit] it ends the test with Fatalf; condition completes
// the sentence "after 30s: not yet …".
func Until(t testing.TB, condition string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Limit); !met(); {
		if time.Now().After(deadline) {
			t.Fatalf("after %s: not yet %s", Limit, condition)
		}
		time.Sleep(interval)
	}
}

// Closed waits until done is closed or delivers a value. After [Limit] it ends the test
// with Fatalf; event completes the sentence "after 30s: not yet …".
func Closed[T any](t testing.TB, event string, done <-chan T) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(Limit):
		t.Fatalf("after %s: not yet %s", Limit, event)
	}
}

// Pass advances the simulated time of a synctest bubble by d. It returns when all other
// goroutines of the bubble are blocked. Outside a bubble it panics, so it never waits in
// real time.
func Pass(d time.Duration) {
	synctest.Wait()
	time.Sleep(d)
	synctest.Wait()
}
