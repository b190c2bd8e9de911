package apiv1_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"countersign/internal/config"
	"countersign/internal/server"
	"countersign/internal/servertest"
)

// limited sets the default limits, except the rate limit, since the clock stands still.
func limited(o *server.Options) {
	o.Unlimited = false
	o.Config.Fraud.Caps = config.Default().Fraud.Caps // the demo has higher caps
	o.Config.Limits.RequestsPerSecond = 10_000
}

// TestCapOnSends checks that a number receives exactly as many messages as its caps allow
// in each sliding window, and that the account pays for no more.
func TestCapOnSends(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, limited, func(o *server.Options) { o.Config.Retention = config.Retention{} }) // keep all messages of the phone
	const number = "447700900300"
	var sent []time.Time
	for s.Clock.Now().Before(servertest.Epoch.Add(25 * time.Hour)) {
		now := s.Clock.Now()
		answer := s.Post("/verify/json", url.Values{"number": {number}, "brand": {"Acme"}, "workflow_id": {"6"}})
		switch answer["status"] {
		case "0":
			sent = append(sent, now)
			s.WaitMessages(number, len(sent))
			id := answer["request_id"].(string)
			if found := s.Post("/verify/control/json", url.Values{"request_id": {id}, "cmd": {"cancel"}}); found["status"] != "19" {
				t.Fatalf("immediate cancel: %v", found)
			}
			s.Clock.Advance(30 * time.Second)
			s.Post("/verify/control/json", url.Values{"request_id": {id}, "cmd": {"cancel"}})
		case "7":
			if answer["error_text"] != "The number you are trying to verify is blacklisted for verification" || answer["request_id"] != nil {
				t.Fatalf("refused with %v", answer)
			}
			s.Clock.Advance(3 * time.Minute)
		default:
			t.Fatalf("answered %v", answer)
		}
	}
	if n := len(s.Messages(number)); n != len(sent) {
		t.Errorf("%d messages arrived, of %d accepted", n, len(sent))
	}
	for _, w := range []struct {
		count  int
		within time.Duration
	}{{5, 10 * time.Minute}, {10, time.Hour}, {20, 24 * time.Hour}} {
		most := 0
		for i := range sent {
			n := 0
			for _, at := range sent[i:] {
				if at.Sub(sent[i]) < w.within {
					n++
				}
			}
			most = max(most, n)
		}
		if most != w.count {
			t.Errorf("at most %d messages arrived within %v, want %d", most, w.within, w.count)
		}
	}
	if len(sent) <= 20 {
		t.Errorf("%d messages arrived in 25 hours: the windows do not slide", len(sent))
	}
}

// TestCapOnChecks checks that the fifteenth wrong code in a day ends its verification,
// and that the account's starts for the number are refused.
func TestCapOnChecks(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, limited, func(o *server.Options) { o.Config.Fraud.Caps.AccountFailedChecks[0].Count = 8 })
	const number = "447700900301"
	begin := func() map[string]any {
		return s.Post("/verify/json", url.Values{"number": {number}, "brand": {"Acme"}, "pin_code": {"4711"}})
	}
	var statuses []any
	for range 3 {
		id := begin()["request_id"].(string)
		for range 3 {
			answer := s.Post("/verify/check/json", url.Values{"request_id": {id}, "code": {"1234"}})
			statuses = append(statuses, answer["status"])
			if answer["status"] == "17" {
				break
			}
		}
		if found := s.Post("/verify/search/json", url.Values{"request_id": {id}}); found["status"] != "FAILED" {
			t.Errorf("the verification is %v", found["status"])
		}
	}
	if got, want := fmt.Sprint(statuses), "[16 16 17 16 16 17 16 17]"; got != want {
		t.Errorf("responses to wrong codes: %s, want %s", got, want)
	}
	if answer := begin(); answer["status"] != "7" {
		t.Errorf("response to another start: %v", answer)
	}
	s.Clock.Advance(24*time.Hour - time.Millisecond)
	if answer := begin(); answer["status"] != "7" {
		t.Errorf("response to a start within the day: %v", answer)
	}
	s.Clock.Advance(time.Millisecond)
	if answer := begin(); answer["status"] != "0" {
		t.Errorf("response to a start after a day: %v", answer)
	}
}

// TestCapOnTrigger checks that triggered messages count toward the caps.
func TestCapOnTrigger(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, limited, func(o *server.Options) { o.Config.Fraud.Caps.AccountSends[0].Count = 2 })
	const number = "447700900302"
	id := s.Post("/verify/json", url.Values{"number": {number}, "brand": {"Acme"}})["request_id"].(string)
	for i, want := range []string{"0", "7", "7"} {
		answer := s.Post("/verify/control/json", url.Values{"request_id": {id}, "cmd": {"trigger_next_event"}})
		if answer["status"] != want {
			t.Errorf("response to trigger %d: %v, want %s", i+1, answer, want)
		}
	}
	s.WaitMessages(number, 2)
	if found := s.Post("/verify/search/json", url.Values{"request_id": {id}}); found["status"] != "IN PROGRESS" || len(found["events"].([]any)) != 2 {
		t.Errorf("the verification is %v", found)
	}
}

// TestCapsOfTheDemo checks that the demo has caps, higher than the default ones.
func TestCapsOfTheDemo(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, limited, func(o *server.Options) { o.Config.Fraud = server.DemoConfig().Fraud })
	for i := range 101 {
		answer := s.Post("/verify/json", url.Values{"number": {"447700900303"}, "brand": {"Acme"}, "workflow_id": {"6"}, "pin_code": {"4711"}})
		want := "0"
		if i == 100 {
			want = "7"
		}
		if answer["status"] != want {
			t.Fatalf("response to start %d: %v", i+1, answer)
		}
		if i < 100 {
			s.Post("/verify/check/json", url.Values{"request_id": {answer["request_id"].(string)}, "code": {"4711"}})
		}
	}
}
