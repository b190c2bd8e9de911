package fraud

import (
	"math"
	"slices"

	"countersign/internal/verify"
)

// leastHistory is the number of half-days that an account must have been in use before its
// volume is compared: 48 hours.
const leastHistory = 4

// Sudden reports whether a volume of the last 12 hours exceeds earlier half-days by far.
func (c Country) Sudden(volume int64, before []int64) (Figures, bool) {
	if c.Mode == Off || len(before) < leastHistory || volume <= int64(c.Starts) {
		return Figures{}, false
	}
	var sum, squares float64
	for _, n := range before {
		sum += float64(n)
	}
	mean := sum / float64(len(before))
	for _, n := range before {
		squares += (float64(n) - mean) * (float64(n) - mean)
	}
	// Random variation alone reaches the root of the mean.
	sigma := max(math.Sqrt(squares/float64(len(before))), math.Sqrt(mean))
	f := Figures{
		Window: "12h0m0s", Counts: Counts{Starts: volume}, Mean: mean, Sigma: sigma,
		Limit: max(mean+float64(c.Sigma)*sigma, float64(c.Starts)),
	}
	return f, float64(volume) > f.Limit
}

// Spent reports whether an account's spending today exceeds the days before by far. Most of
// those may be 0.
func (c Spend) Spent(today verify.Money, before []verify.Money) (Figures, bool) {
	if c.Mode == Off || len(before) == 0 {
		return Figures{}, false
	}
	sorted := slices.Sorted(slices.Values(before))
	limit := max(sorted[len(sorted)/2]*verify.Money(c.Times), c.Least)
	return Figures{
		Window: "24h0m0s", Counts: Counts{Spend: int64(today)}, Limit: float64(limit), Mean: float64(sorted[len(sorted)/2]),
	}, today > limit
}
