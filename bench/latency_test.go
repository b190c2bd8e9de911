package bench

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"countersign/internal/deliver/smpp/smpptest"
)

// BenchmarkLatency measures how soon the message of an accepted verification is on
// the wire: the whole server in its own process, with its database on disk, one
// bind as it is by default, receipts on; load and SMSC in this process. It runs
// once, whatever b.N is. The times are
//
//	wire      from when the answer "0" was read to when the SMSC had read submit_sm;
//	          negative where the message was first
//	request   from when the request was due to when the SMSC had read submit_sm
//	answer    from when the request was due to when its answer was read
//	late      from when the request was due to when it was sent: the load's own fault
func BenchmarkLatency(b *testing.B) {
	for _, rate := range []int{100, 500, 1000} {
		b.Run(fmt.Sprint("rate=", rate), func(b *testing.B) { latency(b, rate) })
	}
}

func latency(b *testing.B, rate int) {
	warm, seconds := 1, 20
	if testing.Short() {
		seconds = 1
	}
	l := newLoad(b, (warm+seconds)*rate)
	far := smpptest.Start(b, smpptest.Config{OnPDU: l.seen})
	l.url = start(b, again(b, roleServer, dirVar+"="+b.TempDir(), smscVar+"="+far.Addr()))
	for end := time.Now().Add(patience); len(far.Sessions()) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.Fatal("the server does not bind")
		}
	}
	l.run(rate)
	if b.Failed() {
		return
	}
	b.ReportMetric(0, "ns/op") // which is how long it was told to take
	judged := l.arrivals[warm*rate:]
	report := func(name string, took func(*arrival) time.Duration, quantiles ...float64) {
		all := make([]time.Duration, len(judged))
		for i := range judged {
			all[i] = took(&judged[i])
		}
		slices.Sort(all)
		for _, q := range quantiles {
			unit := fmt.Sprintf("%s-p%.0f-ms", name, q*100)
			if q == 1 {
				unit = name + "-max-ms"
			}
			b.ReportMetric(float64(quantile(all, q))/float64(time.Millisecond), unit)
		}
	}
	wire := func(a *arrival) time.Duration { return time.Duration(a.wire.Load()) }
	report("wire", func(a *arrival) time.Duration { return wire(a) - a.answered }, 0.5, 0.99, 1)
	report("request", func(a *arrival) time.Duration { return wire(a) - a.due }, 0.5, 0.99, 1)
	report("answer", func(a *arrival) time.Duration { return a.answered - a.due }, 0.5, 0.99, 1)
	report("late", func(a *arrival) time.Duration { return a.sent - a.due }, 0.99)
}

// quantile is the least of sorted that a share q of all does not exceed.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[max(int(math.Ceil(q*float64(len(sorted)))), 1)-1]
}
