// Package audio represents telephone audio: one channel, 8,000 samples per second, 16
// bits each. It converts audio to that form (WAV, resampling, levelling) and to the
// wire format (G.711 A-law and μ-law).
//
// The package must not depend on the source or destination of the audio.
package audio

import (
	"math"
	"slices"
	"time"
)

// Rate is the number of samples per second.
const Rate = 8000

// Samples is a piece of audio at [Rate].
type Samples []int16

// Silence returns d of silence.
func Silence(d time.Duration) Samples {
	return make(Samples, int64(d)*Rate/int64(time.Second))
}

// Duration returns the playing time of s.
func (s Samples) Duration() time.Duration {
	return time.Duration(len(s)) * time.Second / Rate
}

// Peak returns the largest absolute sample as a fraction of full scale, 0 to 1.
func (s Samples) Peak() float64 {
	var peak int
	for _, v := range s {
		peak = max(peak, int(v), -int(v))
	}
	return float64(peak) / -math.MinInt16
}

// RMS returns the root mean square of s, its loudness, as a fraction of full scale.
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

// Targets of Level: an RMS of -18 dB and peaks of at most -1 dB of full scale. Clips
// from different sources are then equally loud and not clipped.
const (
	speechRMS  = 0.126
	speechPeak = 0.891
)

// Level scales speech to an RMS of speechRMS, or as near as speechPeak allows.
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

// Trim removes inaudible samples, 46 dB or more below the peak, from both ends. It keeps
// a margin of 10 ms, since consonants begin softly.
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

// toSample rounds v and limits it to the range of a sample.
func toSample(v float64) int16 {
	return int16(math.Round(max(math.MinInt16, min(math.MaxInt16, v))))
}
