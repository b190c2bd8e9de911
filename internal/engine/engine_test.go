package engine_test

import (
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/servertest"
)

const number = "447700900000"

func start(t *testing.T, s *servertest.Server, params url.Values) (requestID string) {
	t.Helper()
	if !params.Has("number") {
		params.Set("number", number)
	}
	if !params.Has("brand") {
		params.Set("brand", "Acme")
	}
	answer := s.Post("/verify/json", params)
	if answer["status"] != "0" {
		t.Fatalf("start: %v", answer)
	}
	return answer["request_id"].(string)
}

func check(s *servertest.Server, id, code string) map[string]any {
	return s.Post("/verify/check/json", url.Values{"request_id": {id}, "code": {code}})
}

func search(s *servertest.Server, id string) map[string]any {
	return s.Post("/verify/search/json", url.Values{"request_id": {id}})
}

// waitStatus waits until a verification has a status.
func waitStatus(t *testing.T, s *servertest.Server, id, want string) map[string]any {
	t.Helper()
	var got map[string]any
	await.Until(t, want, func() bool {
		got = search(s, id)
		return got["status"] == want
	})
	return got
}

// TestDefaultWorkflow: without a check, the SMS, the call, the call with a new PIN and the
// end are each at their published times.
func TestDefaultWorkflow(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	id := start(t, s, url.Values{})
	var pins []string
	for i, wait := range []time.Duration{0, 125 * time.Second, 180 * time.Second} {
		if wait > 0 {
			s.Clock.Advance(wait - time.Millisecond)
			if got := len(s.Messages(number)); got != i {
				t.Fatalf("event %d is early", got)
			}
			s.Clock.Advance(time.Millisecond)
		}
		m := s.WaitMessages(number, i+1)[i]
		if want := []string{"sms", "tts", "tts"}[i]; m.Channel != want || !m.SentAt.Equal(s.Clock.Now()) {
			t.Errorf("event %d: %s at %v, want %s at %v", i, m.Channel, m.SentAt, want, s.Clock.Now())
		}
		pins = append(pins, m.PIN())
	}
	if pins[0] != pins[1] {
		t.Errorf("PIN %s in the call, %s in the SMS", pins[1], pins[0])
	}
	s.Clock.Advance(300 * time.Second)
	got := waitStatus(t, s, id, "EXPIRED")
	if got["date_finalized"] != "2026-01-02 03:14:10" {
		t.Errorf("ended at %v, want 605 s after the start", got["date_finalized"])
	}
	if answer := check(s, id, pins[2]); answer["status"] != "6" {
		t.Errorf("check after the end: %v", answer)
	}
}

// TestParallelChecks: of concurrent wrong codes exactly three are compared; of concurrent
// right ones exactly one succeeds.
func TestParallelChecks(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	tests := []struct {
		name   string
		number string
		code   func(pin string) string
		want   map[string]int // number of answers by status
	}{
		{"wrong", "447700900100", func(pin string) string { return pin + "0" }, map[string]int{"16": 2, "17": 1, "6": 197}},
		{"right", "447700900101", func(pin string) string { return pin }, map[string]int{"0": 1, "6": 199}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			id := start(t, s, url.Values{"number": {tt.number}})
			code := tt.code(s.WaitMessages(tt.number, 1)[0].PIN())
			var mu sync.Mutex
			got := map[string]int{}
			var wg sync.WaitGroup
			for range 200 {
				wg.Go(func() {
					answer := check(s, id, code)
					mu.Lock()
					defer mu.Unlock()
					got[answer["status"].(string)]++
				})
			}
			wg.Wait()
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("statuses %v, want %v", got, tt.want)
			}
		})
	}
}

// TestParallelStarts: of concurrent requests for one number one is accepted and charged, and
// the answers to the others name it.
func TestParallelStarts(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	var mu sync.Mutex
	ids := map[any]int{}
	statuses := map[any]int{}
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			answer := s.Post("/verify/json", url.Values{"number": {number}, "brand": {"Acme"}})
			mu.Lock()
			defer mu.Unlock()
			ids[answer["request_id"]]++
			statuses[answer["status"]]++
		})
	}
	wg.Wait()
	if len(ids) != 1 || statuses["0"] != 1 || statuses["10"] != 99 {
		t.Errorf("%d ids, statuses %v; want one id, 0 once and 10 99 times", len(ids), statuses)
	}
	sum, charges, err := s.Store().LedgerSum(t.Context(), "demo0001")
	if err != nil || charges != 1 || sum.String() != "999.87950000" {
		t.Errorf("ledger: %s after %d charges (%v), want 999.87950000 after 1", sum, charges, err)
	}
	if n := len(s.WaitMessages(number, 1)); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}
