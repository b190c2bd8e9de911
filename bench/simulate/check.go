package main

import (
	"fmt"
	"time"
)

// check sets what the simulation says of the machine of the benchmarks beside what was
// measured there.
func (r *report) check() {
	r.head("accepted a second on PostgreSQL (BenchmarkPostgres)", "measured", "simulated", "ratio")
	counts := []int{1, 8, 64, 256}
	rates := all(counts, func(clients int) float64 {
		return acceptsOnPostgres(r.in, clients, r.seed)
	})
	for i, clients := range counts {
		was := r.in.value(fmt.Sprint("measured.postgres.", clients))
		r.row(fmt.Sprint(clients, " clients"), number(was), number(rates[i]), fmt.Sprintf("%.2f", rates[i]/was))
	}
	fmt.Fprintln(r.out)
	r.head("request to answer on SQLite (BenchmarkLatency)", "p50 measured", "simulated", "p99 measured", "simulated", "cores busy, simulated")
	loads := []int{100, 500, 1000}
	answers := all(loads, func(rate int) answer { return latencyOnSQLite(r.in, float64(rate), r.seed) })
	for i, rate := range loads {
		a, of := answers[i], func(q string) string { return ms(r.in.time(fmt.Sprint("measured.sqlite.", rate, ".", q))) }
		r.row(fmt.Sprint(rate, "/s"), of("p50"), ms(a.start.quantile(0.5)), of("p99"), ms(a.start.quantile(0.99)), percent(a.base))
	}
}

// acceptsOnPostgres is BenchmarkPostgres: clients that accept verifications of one
// account past the API, the caps and the rules.
func acceptsOnPostgres(in inputs, clients int, seed uint64) float64 {
	const length = 5 * time.Second
	c := newBench(seed, in, false)
	c.acceptOnly = true
	c.costs.startNode, c.costs.startReads = 0, 0
	c.clients(clients)
	c.run(time.Second)
	c.measure()
	c.run(time.Second + length)
	return c.answer(length).rate
}

// latencyOnSQLite is BenchmarkLatency: the whole server, with receipts, and nobody who
// types a code.
func latencyOnSQLite(in inputs, rate float64, seed uint64) answer {
	const length = 20 * time.Second
	c := newBench(seed, in.with(map[string]float64{"typed": 0, "typed.later": 0, "receipts": 1, "carrier.answer": float64(time.Millisecond)}), true)
	c.arrivals(rate, constant(), warmUp+length)
	c.run(warmUp)
	c.measure()
	c.run(warmUp + length)
	return c.answer(length)
}
