package fraud

import (
	"math"
	"slices"

	"countersign/internal/verify"
)

// leastHistory is how many half-days an account must have been in use before its
// volume is compared with them: 48 hours.
const leastHistory = 4

// Sudden reports whether a volume of the last 12 hours is far beyond those of the
// half-days before.
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
	// By chance alone it differs by as much as the root of the mean.
	sigma := max(math.Sqrt(squares/float64(len(before))), math.Sqrt(mean))
	f := Figures{
		Window: "12h0m0s", Counts: Counts{Starts: volume}, Mean: mean, Sigma: sigma,
		Limit: max(mean+float64(c.Sigma)*sigma, float64(c.Starts)),
	}
	return f, float64(volume) > f.Limit
}

// Spent reports whether an account has spent far more today than on the days before,
// on most of which it may have spent nothing.
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
