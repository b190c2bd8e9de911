package bench

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/deliver/smpp"
)

const (
	soakWindow  = 100
	soakSamples = 10
)

// BenchmarkSoak submits b.N messages through one carrier. It fails if the heap after a
// collection has grown since the first tenth. The SMSC runs in a separate process, so only the
// carrier is measured. "make soak" submits ten million messages.
func BenchmarkSoak(b *testing.B) {
	for _, receipts := range []string{"off", "on"} {
		b.Run("receipts="+receipts, func(b *testing.B) { soak(b, receipts == "on") })
	}
}

// sample holds memory statistics after a collection.
type sample struct {
	messages   int64
	heap       uint64 // octets
	objects    uint64
	goroutines int
	allocated  uint64 // octets since the start of the process
}

func takeSample(messages int64) sample {
	runtime.GC()
	runtime.GC() // frees objects that the first collection removed from pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return sample{messages, m.HeapAlloc, m.HeapObjects, runtime.NumGoroutine(), m.TotalAlloc}
}

func soak(b *testing.B, receipts bool) {
	var delivered atomic.Int64
	c := bind(b, smpp.Config{
		Addresses: []string{start(b, again(b, roleSMSC))}, Window: soakWindow, NoReceipts: !receipts,
		Reports: deliver.Reports{Receipt: func(context.Context, deliver.Receipt) error {
			delivered.Add(1)
			return nil
		}},
	})
	var mu sync.Mutex
	var samples []sample
	every := int64(max(b.N/soakSamples, 1))
	early := min(every/2, 10*soakWindow) // all goroutines are then still busy at the last sample
	b.ReportAllocs()
	b.ResetTimer()
	sendAll(b, c, soakWindow, func(n int64) {
		if (n+early)%every == 0 {
			mu.Lock()
			defer mu.Unlock()
			samples = append(samples, takeSample(n))
		}
	})
	if receipts {
		awaitReceipts(b, &delivered)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "submit_sm/s")
	if !b.Failed() {
		judge(b, samples)
	}
}

// awaitReceipts waits for at least b.N receipts; an SMSC may repeat a receipt. It fails after
// patience without a new one.
func awaitReceipts(b *testing.B, delivered *atomic.Int64) {
	b.Helper()
	last, since := int64(-1), time.Now()
	for delivered.Load() < int64(b.N) {
		if n := delivered.Load(); n != last {
			last, since = n, time.Now()
		}
		if time.Since(since) > patience {
			b.Fatalf("%d receipts for %d messages", last, b.N)
		}
		<-time.After(time.Millisecond)
	}
}

// judge compares the last sample with the first.
func judge(b *testing.B, samples []sample) {
	b.Helper()
	first, last := samples[0], samples[len(samples)-1]
	b.ReportMetric(float64(first.heap)/1024, "first-heap-KiB")
	b.ReportMetric(float64(last.heap)/1024, "last-heap-KiB")
	b.ReportMetric(float64(last.objects)-float64(first.objects), "objects-growth")
	b.ReportMetric(float64(last.goroutines-first.goroutines), "goroutines-growth")
	if limit := first.heap + first.heap/10 + 1<<20; last.heap > limit {
		b.Errorf("the heap has grown to %d octets, limit %d", last.heap, limit)
	}
	if last.goroutines > first.goroutines+10*soakWindow { // each receipt has one while it is stored
		b.Errorf("%d goroutines, %d in the first sample", last.goroutines, first.goroutines)
	}
	if b.N < 1_000_000 || b.Failed() {
		return
	}
	var table strings.Builder
	for i, s := range samples {
		fmt.Fprintf(&table, "%10d messages: heap %d KiB, %d objects, %d goroutines", s.messages, s.heap>>10, s.objects, s.goroutines)
		if i > 0 {
			before := samples[i-1]
			fmt.Fprintf(&table, ", %d octets allocated per message", (s.allocated-before.allocated)/uint64(s.messages-before.messages))
		}
		table.WriteByte('\n')
	}
	b.Log(strings.TrimSpace(table.String()))
}
