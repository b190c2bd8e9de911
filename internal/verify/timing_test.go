package verify_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/verify"
)

// BenchmarkPINTiming measures whether the time of a comparison depends on the position or
// number of wrong digits. It computes Welch's t of b.N comparisons with the first digit
// wrong and of b.N with another kind of code, in random order, without the slowest tenth.
// "t" must be below 4.5 in absolute value. One sample is 100 comparisons, since a clock
// cannot resolve one.
//
//	go test -run '^$' -bench PINTiming -benchtime 100000x ./internal/verify
func BenchmarkPINTiming(b *testing.B) {
	parse := func(text string) verify.PIN {
		p, ok := verify.ParsePIN(strings.Clone(text)) // in another place each time
		if !ok {
			b.Fatal(text)
		}
		return p
	}
	right := parse("482915")
	for name, code := range map[string]string{"second digit wrong": "412915", "last digit wrong": "482917", "all wrong": "017342"} {
		b.Run(name, func(b *testing.B) {
			codes := [2]string{"782915", code}
			var times [2][]float64
			equal := 0
			for range 2 * b.N {
				kind := rand.IntN(2)
				guess := parse(codes[kind])
				begin := time.Now()
				for range 100 {
					if right.Equal(guess) {
						equal++
					}
				}
				times[kind] = append(times[kind], float64(time.Since(begin).Nanoseconds()))
			}
			if equal > 0 {
				b.Fatal("a wrong code was taken for the right one")
			}
			b.ReportMetric(welch(times[0], times[1]), "t")
		})
	}
}

// welch returns Welch's t of two samples without values above the 90th percentile of both.
func welch(a, b []float64) float64 {
	all := slices.Sorted(slices.Values(slices.Concat(a, b)))
	if len(all) < 20 {
		return 0 // too few samples
	}
	limit := all[len(all)*9/10]
	slow := func(x float64) bool { return x > limit }
	a, b = slices.DeleteFunc(slices.Clone(a), slow), slices.DeleteFunc(slices.Clone(b), slow)
	ma, va := moments(a)
	mb, vb := moments(b)
	return (ma - mb) / math.Sqrt(va/float64(len(a))+vb/float64(len(b)))
}

func moments(sample []float64) (mean, variance float64) {
	for _, x := range sample {
		mean += x / float64(len(sample))
	}
	for _, x := range sample {
		variance += (x - mean) * (x - mean) / float64(len(sample)-1)
	}
	return mean, variance
}
