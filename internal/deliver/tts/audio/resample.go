package audio

import "math"

// The low-pass filter of Resample. A telephone passes 300 to 3,400 Hz. Frequencies above
// 4,000 Hz, half of Rate, would alias to lower ones.
const (
	cutoff       = 3500.0 // Hz, frequency of half amplitude
	filterReach  = 0.0029 // seconds of audio on either side of a sample
	lowestSource = Rate   // minimum rate of the source
	maxPhases    = 400    // maximum number of filters; usual rates need up to 320
)

// Resample converts audio recorded at rate, which must be at least [Rate], to Rate.
//
// Each sample is the sum of its neighbours weighted by a sinc, the ideal low-pass
// filter, under a Blackman window that makes it finite. Products are rounded by
// conversion before they are added: fused multiply-add, which some processors have,
// would change the last bits, and clips are compared byte by byte.
func Resample(s []int16, rate int) Samples {
	if rate == Rate {
		return append(Samples(nil), s...)
	}
	reach := int(math.Ceil(filterReach * float64(rate)))
	phases := Rate / gcd(Rate, rate) // period of the positions between samples
	weights := make([][]float64, phases)
	for p := range weights {
		fraction := float64(p*rate%Rate) / Rate
		weights[p] = lowPass(reach, fraction, rate)
	}

	out := make(Samples, len(s)*Rate/rate)
	for i := range out {
		center := i * rate / Rate
		var sum float64
		for k, w := range weights[i%phases] {
			if j := center + k - reach; j >= 0 && j < len(s) {
				sum += float64(float64(s[j]) * w)
			}
		}
		out[i] = toSample(sum)
	}
	return out
}

// lowPass returns the weights of the samples from -reach to +reach+1 around a point that
// is fraction of a sample after sample 0. Their sum is 1, which preserves a constant.
func lowPass(reach int, fraction float64, rate int) []float64 {
	weights := make([]float64, 2*reach+2)
	var sum float64
	for k := range weights {
		x := float64(k-reach) - fraction // in samples
		w := float64(sinc(2*cutoff/float64(rate)*x) * blackman(x/float64(reach+1)))
		weights[k] = w
		sum += w
	}
	for k := range weights {
		weights[k] /= sum
	}
	return weights
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// blackman returns the Blackman window over -1 to 1.
func blackman(x float64) float64 {
	if math.Abs(x) >= 1 {
		return 0
	}
	return 0.42 + float64(0.5*math.Cos(math.Pi*x)) + float64(0.08*math.Cos(2*math.Pi*x))
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
