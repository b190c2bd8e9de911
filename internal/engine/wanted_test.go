package engine_test

import (
	"testing"
	"time"

	"countersign/internal/verify"
)

// TestWanted: a message is wanted while it is the latest of a running verification.
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
		t.Error("a message of an unknown verification is wanted")
	}
	d.clock.Advance(125 * time.Second)
	second := d.next(1)
	second.accept("2")
	if d.Wanted(t.Context(), first.Message) || !d.Wanted(t.Context(), second.Message) {
		t.Error("the first of two messages is wanted, or the second is not")
	}
	d.clock.Advance(10 * time.Minute)
	if d.Wanted(t.Context(), second.Message) {
		t.Error("a message is wanted after its code expired")
	}
}
