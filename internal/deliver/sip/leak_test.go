package sip_test

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver/sip"
	"countersign/internal/deliver/sip/softphone"
)

// TestManyCalls: a call leaves nothing behind in a carrier that goes on, however it
// ends. COUNTERSIGN_CALLS says how many; "make soak" makes 10,000.
func TestManyCalls(t *testing.T) {
	calls := 400
	if text := os.Getenv("COUNTERSIGN_CALLS"); text != "" {
		var err error
		if calls, err = strconv.Atoi(text); err != nil {
			t.Fatalf("COUNTERSIGN_CALLS: %v", err)
		}
	}
	const callersAtOnce = 40
	var over atomic.Int64 // at the phones
	type end struct {
		trunk *trunk
		phone *softphone.Phone
	}
	var ends []end
	enough := make(chan struct{})
	defer close(enough)
	for _, tt := range []struct {
		phone softphone.Config
		ring  time.Duration // long enough that a busy machine rings at all
	}{
		{phone: softphone.Config{Script: []softphone.Step{softphone.HangUp()}}},
		{phone: softphone.Config{Script: []softphone.Step{softphone.HangUp()}, User: "acme", Password: "secret"}},
		{phone: softphone.Config{Status: 486}},
		{phone: softphone.Config{RingForever: true}, ring: 4 * time.Second},
		{phone: softphone.Config{Late: true}, ring: 4 * time.Second},
	} {
		tt.phone.OnCall = func(softphone.Call) { over.Add(1) }
		p := start(t, tt.phone)
		tr := open(t, p.Addr(), func(c *sip.Config) {
			c.User, c.Password, c.RingTimeout, c.MaxCalls = "acme", "secret", tt.ring, 5000
		})
		go func() { // nobody reads its receipts one by one
			for {
				select {
				case <-tr.receipts:
				case <-enough:
					return
				}
			}
		}()
		ends = append(ends, end{tr, p.Phone})
	}
	runtime.GC()
	goroutines, memory := runtime.NumGoroutine(), heap()
	for _, e := range ends {
		var callers sync.WaitGroup
		for range callersAtOnce {
			callers.Go(func() {
				for range calls / len(ends) / callersAtOnce {
					if _, err := e.trunk.Send(t.Context(), call()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		callers.Wait()
	}
	await.Until(t, "the end of every call at the phones", func() bool { return over.Load() >= int64(calls) })
	for _, e := range ends {
		await.Until(t, "no call in flight", func() bool { return e.trunk.Status().InFlight == 0 })
	}
	await.Until(t, "as few goroutines as before", func() bool { return runtime.NumGoroutine() <= goroutines })
	if calls < 10_000 {
		return
	}
	// Transactions stay for 32 s, for what may come late (RFC 3261 §17.1.1.2). A call
	// that stayed would be 10 KiB or more; what stays is the room in maps.
	<-time.After(32 * time.Second)
	await.Until(t, "as little memory as before", func() bool { return heap() < memory+16<<20 })
	t.Logf("%d calls: %d goroutines before, %d after; %d KiB of heap before, %d after",
		calls, goroutines, runtime.NumGoroutine(), memory>>10, heap()>>10)
}

// heap is the memory in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
