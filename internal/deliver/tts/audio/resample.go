package audio

import "math"

// The low-pass filter of Resample. A telephone passes 300 to 3,400 Hz; whatever
// is left above 4,000 Hz, half of Rate, would come back as a false tone below.
const (
	cutoff       = 3500.0 // Hz, where a tone is at half its size
	filterReach  = 0.0029 // s of sound on either side that count for a sample
	lowestSource = Rate   // no filter makes up what was never recorded
	maxPhases    = 400    // positions for which a filter is made; usual rates have up to 320
)

// Resample brings sound recorded at another rate, at least [Rate], to Rate.
//
// Each sample is a sum over its neighbours weighted by a sinc, the ideal
// low-pass filter, under a Blackman window that lets it end somewhere. Products
// are rounded by conversion before they are added: a fused multiply-add, which
// some processors have, would give other last bits, and clips are compared byte
// by byte.
func Resample(s []int16, rate int) Samples {
	if rate == Rate {
		return append(Samples(nil), s...)
	}
	reach := int(math.Ceil(filterReach * float64(rate)))
	phases := Rate / gcd(Rate, rate) // the positions between samples repeat
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

// lowPass gives the weights of the samples from -reach to +reach+1 around a
// point that lies fraction of a sample after the one in the middle. They add up
// to 1, so a constant stays what it is.
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

// blackman is the window over -1 to 1.
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
