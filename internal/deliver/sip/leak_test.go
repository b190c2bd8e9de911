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

// TestManyCalls: finished calls leave no goroutines and no memory in a running carrier,
// for each kind of end. COUNTERSIGN_CALLS sets the number; "make soak" uses 10,000.
func TestManyCalls(t *testing.T) {
	calls := 400
	if text := os.Getenv("COUNTERSIGN_CALLS"); text != "" {
		var err error
		if calls, err = strconv.Atoi(text); err != nil {
			t.Fatalf("COUNTERSIGN_CALLS: %v", err)
		}
	}
	const callersAtOnce = 40
	var over atomic.Int64 // calls that ended at the phones
	type end struct {
		trunk *trunk
		phone *softphone.Phone
	}
	var ends []end
	enough := make(chan struct{})
	defer close(enough)
	for _, tt := range []struct {
		phone softphone.Config
		ring  time.Duration // long enough for ringing on a busy machine
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
		go func() { // drain the receipts
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
	// Transactions remain for 32 s, for late messages (RFC 3261 §17.1.1.2). A leaked call
	// would take 10 KiB or more; the capacity of maps remains.
	<-time.After(32 * time.Second)
	await.Until(t, "as little memory as before", func() bool { return heap() < memory+16<<20 })
	t.Logf("%d calls: %d goroutines before, %d after; %d KiB of heap before, %d after",
		calls, goroutines, runtime.NumGoroutine(), memory>>10, heap()>>10)
}

// heap returns the size of live heap memory.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
