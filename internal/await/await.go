// Package await lets a test wait for a condition instead of a duration of real time. Only
// tests import it. It imports no other package of the project.
package await

import (
	"testing"
	"testing/synctest"
	"time"
)

const (
	// Limit is the longest wait, in real time. It only bounds a failing test, so
	// it is far longer than a condition needs on a busy machine.
	Limit = 30 * time.Second

	interval = 2 * time.Millisecond
)

// Until returns as soon as met returns true. It calls met at once and then every
// 2 ms, in the goroutine of the test. After [Limit] it ends the test with Fatalf;
// condition completes the sentence "after 30s: not yet …".
func Until(t testing.TB, condition string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Limit); !met(); {
		if time.Now().After(deadline) {
			t.Fatalf("after %s: not yet %s", Limit, condition)
		}
		time.Sleep(interval)
	}
}

// Closed waits until done is closed or sends a value. After [Limit] it ends the
// test with Fatalf; event completes the sentence "after 30s: not yet …".
func Closed[T any](t testing.TB, event string, done <-chan T) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(Limit):
		t.Fatalf("after %s: not yet %s", Limit, event)
	}
}

// Pass lets d of the virtual time of a synctest bubble pass. It returns when every
// other goroutine of the bubble is blocked. Outside a bubble it panics, so it can never
// wait in real time.
func Pass(d time.Duration) {
	synctest.Wait()
	time.Sleep(d)
	synctest.Wait()
}
