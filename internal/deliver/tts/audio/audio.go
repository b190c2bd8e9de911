// Package audio is sound as a telephone carries it: one channel, 8,000 samples a
// second, 16 bits each. It has what is needed to get sound into that form (WAV,
// resampling, levelling) and onto the wire (G.711 μ-law).
//
// It must not know where sound comes from or where it goes.
package audio

import (
	"math"
	"slices"
	"time"
)

// Rate is the number of samples in a second.
const Rate = 8000

// Samples is a piece of sound.
type Samples []int16

// Silence is a piece of sound with nothing to hear.
func Silence(d time.Duration) Samples {
	return make(Samples, int64(d)*Rate/int64(time.Second))
}

// Duration is how long s takes to play.
func (s Samples) Duration() time.Duration {
	return time.Duration(len(s)) * time.Second / Rate
}

// Peak is the largest swing of s either way, as a fraction of the largest
// possible.
func (s Samples) Peak() float64 {
	var peak int
	for _, v := range s {
		peak = max(peak, int(v), -int(v))
	}
	return float64(peak) / -math.MinInt16
}

// RMS is the root of the mean square of s, its loudness, as a fraction of the
// largest possible.
func (s Samples) RMS() float64 {
	if len(s) == 0 {
		return 0
	}
	var sum int64 // exact, so that no machine rounds it differently
	for _, v := range s {
		sum += int64(v) * int64(v)
	}
	return math.Sqrt(float64(sum)/float64(len(s))) / -math.MinInt16
}

// What Level aims at: speech at -18 dB, its peaks no higher than -1 dB of full
// scale, so that clips from different sources are equally loud and none is cut.
const (
	speechRMS  = 0.126
	speechPeak = 0.891
)

// Level brings speech to the loudness of all other speech here, or as near as
// its peaks allow.
func (s Samples) Level() Samples {
	if s.Peak() == 0 {
		return slices.Clone(s)
	}
	gain := min(speechRMS/s.RMS(), speechPeak/s.Peak())
	out := make(Samples, len(s))
	for i, v := range s {
		out[i] = toSample(float64(v) * gain)
	}
	return out
}

// Trim cuts off what cannot be heard at both ends: all that is 46 dB or more
// below the peak. A few milliseconds stay, since a consonant begins softly.
func (s Samples) Trim() Samples {
	const margin = Rate / 100
	threshold := s.Peak() / 200 * -math.MinInt16
	audible := func(v int16) bool { return math.Abs(float64(v)) > threshold }
	first := slices.IndexFunc(s, audible)
	if first < 0 {
		return nil
	}
	last := len(s) - 1
	for !audible(s[last]) {
		last--
	}
	return slices.Clone(s[max(0, first-margin):min(len(s), last+1+margin)])
}

// toSample rounds v, and holds it within what a sample can say.
func toSample(v float64) int16 {
	return int16(math.Round(max(math.MinInt16, min(math.MaxInt16, v))))
}
