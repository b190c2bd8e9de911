package engine_test

import (
	"testing"
	"time"

	"countersign/internal/verify"
)

// TestWanted: a message is wanted while it is the last of a verification that may
// still be answered, and no longer.
func TestWanted(t *testing.T) {
	t.Parallel()
	d := setUpDesks(t, "a")
	d.resume()
	_, first := d.start()
	first.accept("1")
	if !d.Wanted(t.Context(), first.Message) {
		t.Error("the message of a running verification is not wanted")
	}
	gone := first.Message
	gone.RequestID = verify.ID{9}
	if d.Wanted(t.Context(), gone) {
		t.Error("a message of no verification is wanted")
	}
	d.clock.Advance(125 * time.Second)
	second := d.next(1)
	second.accept("2")
	if d.Wanted(t.Context(), first.Message) || !d.Wanted(t.Context(), second.Message) {
		t.Error("of two messages not the last is wanted")
	}
	d.clock.Advance(10 * time.Minute)
	if d.Wanted(t.Context(), second.Message) {
		t.Error("a message is wanted when the code does not live any more")
	}
}
