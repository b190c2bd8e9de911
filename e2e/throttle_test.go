package e2e

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"countersign/internal/await"
)

// The limit of the demo: requests of one account within any second.
const requestsPerSecond = 30

// passage is one request and its result.
type passage struct {
	sent, answered time.Time
	status         string
}

// TestThrottle checks that of many parallel requests exactly the limit passes, and that over a long
// time no interval of one second has more.
func TestThrottle(t *testing.T) {
	t.Parallel()
	s := start(t, "--unlimited=false")

	t.Run("60 in parallel", func(t *testing.T) {
		passages := inCrowd(60, func(n int) passage {
			return s.pass(t, "/verify/json", "number", fmt.Sprintf("4477009001%02d", n), "brand", "Acme")
		})
		if got := statuses(passages); got["0"] != requestsPerSecond || got["1"] != 30 || len(got) != 2 {
			t.Errorf("got %v, want 0 and 1, %d times each", got, requestsPerSecond)
		}
		delivered := 0
		for n := range 60 {
			delivered += len(s.messages(t, fmt.Sprintf("4477009001%02d", n)))
		}
		if delivered > requestsPerSecond {
			t.Errorf("%d messages, want at most %d", delivered, requestsPerSecond)
		}
	})

	t.Run("the error text", func(t *testing.T) {
		var refused fields
		await.Until(t, "throttled", func() bool {
			refused = s.ask(t, "/verify/check/json", "request_id", noSuchID, "code", "1234")
			return refused["status"] == "1"
		})
		refused.want(t, "status", "1", "error_text", "Throttled")
	})

	t.Run("one window for all calls", func(t *testing.T) {
		lapse(time.Second) // until the window is empty
		calls := [][]string{
			{"/verify/search/json", "request_id", noSuchID},
			{"/verify/check/json", "request_id", noSuchID, "code", "1234"},
			{"/verify/control/xml", "request_id", noSuchID, "cmd", "cancel"},
			{"/verify/json", "number", "x", "brand", "Acme"},
			{"/verify/psd2/json", "number", "x"},
		}
		passages := inCrowd(60, func(n int) passage { return s.pass(t, calls[n%len(calls)][0], calls[n%len(calls)][1:]...) })
		if got := statuses(passages); got["1"] != 30 {
			t.Errorf("got %v, want 1 30 times", got)
		}
	})

	t.Run("any second", func(t *testing.T) { testAnySecond(t, s) })

	t.Run("accounts do not share", func(t *testing.T) {
		lapse(time.Second) // until the window is empty
		for _, account := range []string{apiKey, "trial001", "barred01"} {
			passages := inCrowd(40, func(int) passage {
				return s.pass(t, "/verify/search/json", "request_id", noSuchID, "api_key", account)
			})
			if got := statuses(passages); got["101"] != requestsPerSecond {
				t.Errorf("%s: got %v, want 101 %d times", account, got, requestsPerSecond)
			}
		}
	})

	t.Run("failed logins do not count", func(t *testing.T) {
		lapse(time.Second) // until the window is empty
		inCrowd(60, func(int) passage {
			return s.pass(t, "/verify/search/json", "request_id", noSuchID, "api_secret", "wrong")
		})
		if p := s.pass(t, "/verify/search/json", "request_id", noSuchID); p.status != "101" {
			t.Errorf("got %v after many wrong secrets, want 101", p.status)
		}
	})
}

// testAnySecond sends about twice the limit for 5 seconds, in bursts and evenly. The server counts
// a request between its sending and its answer. Therefore the requests with both times within any
// one second must not exceed the limit. Refused requests do not count, so the long-term rate of
// passed requests must reach the limit.
func testAnySecond(t *testing.T, s *server) {
	t.Helper()
	const seconds = 5
	lapse(time.Second) // until the window is empty
	begin := time.Now()
	var mu sync.Mutex
	var all []passage
	var wg sync.WaitGroup
	for n := range 2 * requestsPerSecond * seconds {
		at := begin.Add(time.Duration(n) * time.Second / (2 * requestsPerSecond))
		if n/100%2 == 1 { // bursts of ten
			at = begin.Add(time.Duration(n/10*10) * time.Second / (2 * requestsPerSecond))
		}
		wg.Go(func() {
			lapse(time.Until(at)) // the pace
			path := []string{"/verify/search/json", "/verify/check/json"}[n%2]
			p := s.pass(t, path, "request_id", noSuchID, "code", "1234")
			mu.Lock()
			defer mu.Unlock()
			all = append(all, p)
		})
	}
	wg.Wait()
	passed := slices.DeleteFunc(slices.Clone(all), func(p passage) bool { return p.status == "1" })
	most := 0
	for _, first := range passed {
		within := 0
		for _, p := range passed {
			if !p.sent.Before(first.sent) && p.answered.Before(first.sent.Add(time.Second)) {
				within++
			}
		}
		most = max(most, within)
	}
	t.Logf("%d of %d passed in %v; the busiest second had %d", len(passed), len(all), time.Since(begin), most)
	if most > requestsPerSecond {
		t.Errorf("%d passed within a second, want at most %d", most, requestsPerSecond)
	}
	if least := requestsPerSecond * (seconds - 1); len(passed) < least {
		t.Errorf("%d passed in %d seconds, want at least %d: refused requests must not count", len(passed), seconds, least)
	}
}

// pass makes a call and returns its times and status.
func (s *server) pass(t *testing.T, path string, pairs ...string) passage {
	t.Helper()
	p := passage{sent: time.Now()}
	got, err := s.tryAsk(path, pairs...)
	p.answered = time.Now()
	if err != nil {
		t.Error(err)
		return p
	}
	p.status, _ = got["status"].(string)
	return p
}

// inCrowd calls do n times in parallel.
func inCrowd(n int, do func(n int) passage) []passage {
	passages := make([]passage, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { passages[i] = do(i) })
	}
	wg.Wait()
	return passages
}

// statuses counts the requests by status.
func statuses(passages []passage) map[string]int {
	count := map[string]int{}
	for _, p := range passages {
		count[p.status]++
	}
	return count
}
