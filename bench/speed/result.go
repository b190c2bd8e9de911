package main

import (
	"math"
	"slices"
	"time"
)

// result has the values of one run of a work, by column.
type result map[string]float64

// The columns.
const (
	colRate     = "per_second"
	colP50      = "p50"
	colP99      = "p99"
	colMax      = "max"
	colMean     = "mean_ms"
	colCPU      = "cpu_us"          // server CPU time for each answer
	colLoad     = "load_cpu_us"     // load CPU time for each answer
	colDatabase = "database_cpu_us" // PostgreSQL CPU time for each answer
	colPeak     = "peak_mib"        // resident memory of the server
	colWritten  = "disk_octets"     // octets that the server wrote to disk, for each answer
	colMallocs  = "allocations"     // objects that the server allocated, for each answer
	colCounted  = "counted"         // percentage of valid starts
)

// results are the results of all rounds by work, in the order of the first runs.
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

// median returns the median of a column over the runs of a work; NaN without values.
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

// ratio returns the median over all rounds of the ratio of two works. Influences common to adjacent
// runs cancel out.
func (r *results) ratio(work, to, column string) float64 {
	var v []float64
	a, b := r.Runs[work], r.Runs[to]
	for i := range min(len(a), len(b)) {
		v = append(v, a[i][column]/b[i][column])
	}
	return median(v)
}

// quantile returns the least value of sorted that at least a share q of all values does not exceed.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(int(math.Ceil(q*float64(len(sorted)))), 1)-1]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// latency adds the quantiles of times. It sorts times.
func (r result) latency(times []time.Duration) {
	r.quantiles("", times)
}

// quantiles adds the quantiles of times, in milliseconds, with a prefix of their names. It sorts
// times.
func (r result) quantiles(prefix string, times []time.Duration) {
	if len(times) == 0 {
		return
	}
	slices.Sort(times)
	r[prefix+"p50"], r[prefix+"p99"], r[prefix+"max"] = ms(quantile(times, 0.5)), ms(quantile(times, 0.99)), ms(times[len(times)-1])
}
