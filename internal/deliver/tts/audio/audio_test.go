package audio_test

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
	"time"

	"countersign/internal/deliver/tts/audio"
)

func tone(hz, amplitude float64, rate int, d time.Duration) []int16 {
	s := make([]int16, int(d.Seconds()*float64(rate)))
	for i := range s {
		s[i] = int16(math.Round(amplitude * math.Sin(2*math.Pi*hz*float64(i)/float64(rate))))
	}
	return s
}

// middle returns s without its ends, where a filter starts and stops.
func middle(s audio.Samples) audio.Samples { return s[len(s)/10 : len(s)*9/10] }

func decibels(ratio float64) float64 { return 20 * math.Log10(ratio) }

func TestResample(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rate     int
		hz       float64
		min, max float64 // change in dB
	}{
		{22_050, 50, -0.1, 0.1},
		{22_050, 1000, -0.1, 0.1},
		{22_050, 2500, -0.1, 0.1},
		{22_050, 3000, -1, 0.1},
		{22_050, 4100, math.Inf(-1), -60},
		{22_050, 6000, math.Inf(-1), -60},
		{22_050, 10_000, math.Inf(-1), -60},
		{16_000, 1000, -0.1, 0.1},
		{16_000, 6000, math.Inf(-1), -60},
		{44_100, 1000, -0.1, 0.1},
		{44_100, 6000, math.Inf(-1), -60},
		{8000, 3900, 0, 0},
	} {
		in := tone(tt.hz, 20_000, tt.rate, time.Second)
		out := audio.Resample(in, tt.rate)
		if got, want := out.Duration(), time.Second; got != want {
			t.Errorf("%d Hz: got %v, want %v", tt.rate, got, want)
		}
		got := decibels(middle(out).RMS() / middle(in).RMS())
		if got < tt.min || got > tt.max {
			t.Errorf("%.0f Hz at a rate of %d: got %.2f dB, want %g to %g", tt.hz, tt.rate, got, tt.min, tt.max)
		}
	}
}

func TestResampleKeepsTime(t *testing.T) {
	t.Parallel()
	in := make([]int16, 22_050)
	in[22_050/2] = 30_000 // a click after half a second
	out := audio.Resample(in, 22_050)
	if got, want := slices.Index(out, slices.Max(out)), audio.Rate/2; got != want {
		t.Errorf("click at sample %d, want %d", got, want)
	}
}

func TestResampleDoesNotWrap(t *testing.T) {
	t.Parallel()
	in := make([]int16, 2205) // full-scale square wave: overshoots when filtered
	for i := range in {
		in[i] = math.MaxInt16
		if i/40%2 == 1 {
			in[i] = math.MinInt16
		}
	}
	jump := 0
	out := audio.Resample(in, 22_050)
	for i := 2; i < len(out); i++ {
		if out[i-2] > 20_000 && out[i-1] < -20_000 && out[i] > 20_000 {
			jump++
		}
	}
	if jump != 0 {
		t.Errorf("%d samples wrapped around", jump)
	}
}

func TestTrim(t *testing.T) {
	t.Parallel()
	sound := audio.Samples(tone(500, 10_000, audio.Rate, 100*time.Millisecond))
	padded := slices.Concat(audio.Silence(time.Second), sound, audio.Silence(time.Second))
	padded[17] = 20 // noise
	got := padded.Trim().Duration()
	if low, high := 110*time.Millisecond, 121*time.Millisecond; got < low || got > high {
		t.Errorf("got %v, want %v to %v", got, low, high)
	}
	if got := audio.Silence(time.Second).Trim(); len(got) != 0 {
		t.Errorf("silence: got %d samples, want none", len(got))
	}
}

func TestLevel(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		in   audio.Samples
	}{
		{"quiet", tone(500, 90, audio.Rate, time.Second)},
		{"loud", tone(500, 32_000, audio.Rate, time.Second)},
	} {
		if got := decibels(tt.in.Level().RMS()); math.Abs(got+18) > 0.1 {
			t.Errorf("%s: got %.2f dB, want -18", tt.name, got)
		}
	}
	click := audio.Silence(time.Second)
	click[100] = -9000
	if got := click.Level().Peak(); got < 0.88 || got > 0.9 {
		t.Errorf("click: got a peak of %.3f, want 0.89 and no clipping", got)
	}
	if got := audio.Silence(time.Second).Level().Peak(); got != 0 {
		t.Errorf("silence: got a peak of %v, want 0", got)
	}
}

func TestWAV(t *testing.T) {
	t.Parallel()
	in := audio.Samples{0, 1, -1, math.MaxInt16, math.MinInt16}
	b := in.WAV()
	want := "RIFF\x2e\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00" +
		"data\x0a\x00\x00\x00\x00\x00\x01\x00\xff\xff\xff\x7f\x00\x80"
	if got := string(b); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// A program that writes to a pipe leaves these sizes at their maximum.
	binary.LittleEndian.PutUint32(b[4:], 0x7FFFF024)
	binary.LittleEndian.PutUint32(b[40:], 0x7FFFF000)
	out, err := audio.ParseWAV(b)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(out, in) {
		t.Errorf("got %v, want %v", out, in)
	}
}

func TestParseWAVRefuses(t *testing.T) {
	t.Parallel()
	good := audio.Samples{1, 2, 3}.WAV()
	with := func(at int, b ...byte) []byte {
		out := slices.Clone(good)
		copy(out[at:], b)
		return out
	}
	for name, b := range map[string][]byte{
		"empty":       nil,
		"text":        []byte("espeak-ng: no such voice, sorry"),
		"header only": good[:40],
		"stereo":      with(22, 2),
		"8 bits":      with(34, 8),
		"rate 0":      with(24, 0, 0, 0, 0),
		"no format":   with(12, 'j', 'u', 'n', 'k'),
	} {
		if got, err := audio.ParseWAV(b); err == nil {
			t.Errorf("%s: got %d samples, want an error", name, len(got))
		}
	}
}

func FuzzParseWAV(f *testing.F) {
	f.Add(audio.Samples{1, 2, 3}.WAV())
	f.Add([]byte("RIFF\x00\x00\x00\x00WAVELIST\x03\x00\x00\x00abc\x00data"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := audio.ParseWAV(b)
		if err == nil && len(s) > len(b) {
			t.Errorf("%d samples from %d bytes", len(s), len(b))
		}
	})
}

// TestMuLawTable checks the decoder against G.711 table 2a: the first value and the step
// of each segment, in the 14 bits of the standard.
func TestMuLawTable(t *testing.T) {
	t.Parallel()
	segments := []struct{ first, step int }{
		{0, 2}, {33, 4}, {99, 8}, {231, 16}, {495, 32}, {1023, 64}, {2079, 128}, {4191, 256},
	}
	for i, seg := range segments {
		for j := range 16 {
			code := byte(0xFF - 16*i - j)
			want := int16((seg.first + j*seg.step) << 2)
			got := audio.FromMuLaw([]byte{code, code &^ 0x80})
			if got[0] != want || got[1] != -want {
				t.Errorf("code %#02x: got %d, %d; want %d, %d", code, got[0], got[1], want, -want)
			}
		}
	}
}

func TestMuLawRoundTrip(t *testing.T) {
	t.Parallel()
	for code := range 256 {
		b := []byte{byte(code)}
		want := b[0]
		if want == 0x7F { // minus zero
			want = 0xFF
		}
		if got := audio.FromMuLaw(b).MuLaw()[0]; got != want {
			t.Errorf("code %#02x: got %#02x", want, got)
		}
	}
	for v := math.MinInt16; v <= math.MaxInt16; v++ {
		in := audio.Samples{int16(v)}
		out := int(audio.FromMuLaw(in.MuLaw())[0])
		if limit := max(8, abs(v)/16, abs(v)-32_124); abs(out-v) > limit {
			t.Fatalf("%d became %d, want it within %d", v, out, limit)
		}
	}
}

func abs(v int) int { return max(v, -v) }
