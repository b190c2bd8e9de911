package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestArrivals checks that requests arrive on time, and that requests delayed by a slow answer
// follow it, with the wait included in their times.
func TestArrivals(t *testing.T) {
	t.Parallel()
	const slow = typing + 300*time.Millisecond
	var starts, checks atomic.Int64
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/start":
			starts.Add(1)
			<-time.After(slow) // time of the answer
			_, _ = w.Write([]byte(`{"id":"x"}`))
		case checks.Add(1) == 1:
			w.WriteHeader(http.StatusTeapot) // one wrong answer
		}
	}))
	t.Cleanup(far.Close)
	address := strings.TrimPrefix(far.URL, "http://")
	p := peer{Name: "slow", Start: ask{Path: "/start", Keep: []string{"id"}}, Check: &ask{Path: "/check/{id}"}}
	s, err := p.system(address)
	if err != nil {
		t.Fatal(err)
	}
	a := newArrivals(s, 7, 4, 1)
	if err := a.run(t.Context(), 16); err != nil {
		t.Fatal(err)
	}
	if starts.Load() != 8 || checks.Load() != 8 || a.wrong.Load() != 1 {
		t.Errorf("%d starts, %d checks, %d wrong; want 8, 8, 1", starts.Load(), checks.Load(), a.wrong.Load())
	}
	for i := range a.lives {
		if a.lives[i].index != 7+i {
			t.Errorf("life %d has number %d", i, a.lives[i].index)
		}
		if a.starts[i] < slow || a.checks[i] < slow-typing {
			t.Errorf("life %d: start after %v, check after %v", i, a.starts[i], a.checks[i])
		}
	}
	r := a.result(result{}, &proof{left: map[uint64]int64{}})
	if r[colLate] != 4 || r[colArrivals] != 4 || r[colStart+"p50"] < ms(slow) {
		t.Errorf("result %v", r)
	}
}
