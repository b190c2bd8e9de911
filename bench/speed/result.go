package main

import (
	"math"
	"slices"
	"time"
)

// result is what one run of a work has come to: the value of each column that it
// has.
type result map[string]float64

// The columns.
const (
	colRate     = "per_second"
	colP50      = "p50"
	colP99      = "p99"
	colMax      = "max"
	colMean     = "mean_ms"
	colCPU      = "cpu_us"          // of the server, for each
	colLoad     = "load_cpu_us"     // of the load, for each
	colDatabase = "database_cpu_us" // of PostgreSQL, for each
	colPeak     = "peak_mib"        // of the server, resident
	colWritten  = "disk_octets"     // of the server, for each
	colMallocs  = "allocations"     // of the server, for each
	colCounted  = "counted"         // percent of starts that count
)

// results are those of all rounds, by work, in the order of their first run.
type results struct {
	Order []string            `json:"order"`
	Runs  map[string][]result `json:"runs"`
}

func (r *results) add(work string, of result) {
	if r.Runs == nil {
		r.Runs = map[string][]result{}
	}
	if _, ok := r.Runs[work]; !ok {
		r.Order = append(r.Order, work)
	}
	r.Runs[work] = append(r.Runs[work], of)
}

// median of a column over the runs of a work; not a number where it has none.
func (r *results) median(work, column string) float64 {
	var v []float64
	for _, run := range r.Runs[work] {
		if x, ok := run[column]; ok && !math.IsNaN(x) {
			v = append(v, x)
		}
	}
	return median(v)
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// ratio of a column of two works, round by round, and the median of that: what two runs
// next to each other have in common is not in it.
func (r *results) ratio(work, to, column string) float64 {
	var v []float64
	a, b := r.Runs[work], r.Runs[to]
	for i := range min(len(a), len(b)) {
		v = append(v, a[i][column]/b[i][column])
	}
	return median(v)
}

// quantile is the least of sorted that a share q of all does not exceed.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(int(math.Ceil(q*float64(len(sorted)))), 1)-1]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// latency adds the quantiles of times, which it sorts.
func (r result) latency(times []time.Duration) {
	r.quantiles("", times)
}

// quantiles adds those of times, in milliseconds, under names with a prefix. It sorts
// times.
func (r result) quantiles(prefix string, times []time.Duration) {
	if len(times) == 0 {
		return
	}
	slices.Sort(times)
	r[prefix+"p50"], r[prefix+"p99"], r[prefix+"max"] = ms(quantile(times, 0.5)), ms(quantile(times, 0.99)), ms(times[len(times)-1])
}
