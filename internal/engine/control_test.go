package engine_test

import (
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/await"
	"countersign/internal/engine"
	"countersign/internal/servertest"
	"countersign/internal/verify"
)

// TestTriggerWhileClaimed: the next message does not wait for a message in flight, whose
// outcome does not release the new lease.
func TestTriggerWhileClaimed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, func(b *bench, _ *engine.Config) { b.carrier.gate = make(chan struct{}) })
		b.resume()
		v, err := b.Start(t.Context(), b.account, b.request())
		must(t, err)
		await.Until(t, "at the carrier: the SMS", func() bool { return len(b.carrier.all()) == 1 })
		b.clock.Advance(5 * time.Second)
		must(t, b.Trigger(t.Context(), b.account, v.ID))
		await.Until(t, "at the carrier: the call", func() bool { return len(b.carrier.all()) == 2 })
		held := b.lease(v.ID)
		if !held.Until.Equal(at(15)) {
			t.Errorf("the lease lasts until %v, want 10 s from the trigger", held.Until)
		}

		b.carrier.gate <- struct{}{} // accepts one of the two messages
		await.Until(t, "recorded: the first outcome", func() bool {
			events := b.record(v.ID).Events
			return events[0].State == verify.EventAccepted || events[1].State == verify.EventAccepted
		})
		if events := b.record(v.ID).Events; events[0].State == verify.EventAccepted {
			if c := b.lease(v.ID); c != held {
				t.Errorf("the outcome of the SMS has changed the lease of the call: %+v", c)
			}
		}
		b.carrier.gate <- struct{}{}
		b.settled(v.ID, 0)
		b.settled(v.ID, 1)
		if c := b.lease(v.ID); c.Node != "" {
			t.Errorf("the row is still leased: %+v", c)
		}
		if sent := b.carrier.all(); sent[1].Channel != verify.TTS {
			t.Errorf("the second message is %+v, want a call", sent[1])
		}

		close(b.carrier.gate)
		b.rest()
		b.clock.Advance(180*time.Second - time.Millisecond)
		b.rest()
		if n := len(b.carrier.all()); n != 2 {
			t.Errorf("%d messages before the third is due", n)
		}
		b.clock.Advance(time.Millisecond)
		if e := b.settled(v.ID, 2); !e.StartedAt.Equal(at(185)) {
			t.Errorf("the third event is at %v, want 180 s after the trigger", e.StartedAt)
		}
	})
}

// TestCheckWhileClaimed: a verification that ends while a message is in flight stays ended.
func TestCheckWhileClaimed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, func(b *bench, _ *engine.Config) { b.carrier.gate = make(chan struct{}) })
		b.resume()
		v, err := b.Start(t.Context(), b.account, b.request())
		must(t, err)
		done, err := b.Check(t.Context(), b.account, v.ID, v.PIN, "")
		if err != nil || done.Status != verify.Success {
			t.Fatalf("got %s, %v", done.Status, err)
		}
		if c := b.lease(v.ID); c.Node == "" {
			t.Error("the row is not leased while its message is in flight")
		}
		close(b.carrier.gate)
		b.settled(v.ID, 0)
		if at, ok, err := b.db.NextDue(t.Context()); ok || err != nil {
			t.Errorf("the row is due at %v (%v)", at, err)
		}
		b.clock.Advance(time.Hour)
		b.rest()
		if rec := b.record(v.ID); rec.Status != verify.Success || len(rec.Events) != 1 {
			t.Errorf("an hour later it is %s after %d events", rec.Status, len(rec.Events))
		}
	})
}

func control(s *servertest.Server, id, cmd string) map[string]any {
	return s.Post("/verify/control/json", url.Values{"request_id": {id}, "cmd": {cmd}})
}

func TestCancelRules(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	want := func(what string, answer map[string]any, status string) {
		t.Helper()
		if answer["status"] != status {
			t.Errorf("%s: %v, want status %s", what, answer, status)
		}
	}
	settled := func(id string, seq int) {
		t.Helper()
		requestID, _ := verify.ParseID(id)
		await.Until(t, "recorded: the outcome of an event", func() bool {
			rec, _, err := s.Store().Verification(t.Context(), requestID)
			must(t, err)
			return len(rec.Events) > seq && rec.Events[seq].State != verify.EventSubmitting
		})
	}
	id := start(t, s, url.Values{})
	late := start(t, s, url.Values{"number": {"447700900101"}})
	triggered := start(t, s, url.Values{"number": {"447700900102"}})
	for _, id := range []string{id, late, triggered} {
		settled(id, 0)
	}

	want("at once", control(s, id, "cancel"), "19")
	s.Clock.Advance(30*time.Second - time.Millisecond)
	want("just before 30 s", control(s, id, "cancel"), "19")
	want("trigger", control(s, triggered, "trigger_next_event"), "0")
	settled(triggered, 1)
	s.Clock.Advance(time.Millisecond)
	want("after a triggered event", control(s, triggered, "cancel"), "19")
	want("at 30 s", control(s, id, "cancel"), "0")
	want("again", control(s, id, "cancel"), "6")
	want("trigger after the cancel", control(s, id, "trigger_next_event"), "6")
	pin := s.Messages(number)[0].PIN()
	want("the right code after the cancel", check(s, id, pin), "6")
	if got := search(s, id); got["status"] != "CANCELLED" || got["date_finalized"] != "2026-01-02 03:04:35" || got["price"] != "0.12050000" {
		t.Errorf("search finds %v, want it cancelled after 30 s and charged", got)
	}
	again := start(t, s, url.Values{}) // the first has ended, so the number is free
	settled(again, 0)

	s.Clock.Advance(95 * time.Second) // 125 s after the first three
	settled(late, 1)
	want("after the second event", control(s, late, "cancel"), "19")
	if n := len(s.Messages(number)); n != 2 {
		t.Errorf("%d messages, want one of the cancelled verification and one of the new", n)
	}
	if other := s.Post("/verify/control/json", url.Values{
		"request_id": {late}, "cmd": {"trigger_next_event"}, "api_key": {"trial001"}, "api_secret": {"demosecret0001"},
	}); other["status"] != "6" {
		t.Errorf("another account triggers it: %v", other)
	}
}

// TestParallelTriggers: concurrent triggers take each step once.
func TestParallelTriggers(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.resume()
	v, err := b.Start(t.Context(), b.account, b.request())
	must(t, err)
	results := make(chan error, 50)
	for range cap(results) {
		go func() { results <- b.Trigger(t.Context(), b.account, v.ID) }()
	}
	took := 0
	for range cap(results) {
		switch err := <-results; {
		case err == nil:
			took++
		case kind(err) != verify.KindNoMoreEvents:
			t.Error(err)
		}
	}
	for seq := range 3 {
		b.settled(v.ID, seq)
	}
	if took != 2 || len(b.carrier.all()) != 3 {
		t.Errorf("%d triggers succeeded and %d messages were sent, want 2 and 3", took, len(b.carrier.all()))
	}
}
