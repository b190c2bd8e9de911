package audio_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"countersign/internal/deliver/tts/audio"
)

// run is a row of the golden tables.
type run struct {
	code    byte
	last    int16 // last sample with that code
	decoded int16
}

func parseRuns(t *testing.T, table string) []run {
	t.Helper()
	var runs []run
	for row := range strings.FieldsFuncSeq(table, func(r rune) bool { return r == ';' || r == '\n' }) {
		var r run
		if _, err := fmt.Sscanf(strings.TrimSpace(row), "%02x %d %d", &r.code, &r.last, &r.decoded); err != nil {
			t.Fatalf("%q: %v", row, err)
		}
		runs = append(runs, r)
	}
	return runs
}

// TestG711Golden compares with another implementation, sample by sample. μ-law has 14
// bits; implementations round differently between two of its values.
func TestG711Golden(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		law   audio.Law
		table string
		step  int
		codes int
	}{
		{"A-law", audio.ALaw, goldenALaw, 1, 256},
		{"mu-law", audio.MuLaw, goldenMuLaw, 4, 255}, // minus zero is never encoded
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			runs := parseRuns(t, tt.table)
			if len(runs) != tt.codes {
				t.Fatalf("the table has %d rows, want %d", len(runs), tt.codes)
			}
			v := math.MinInt16
			for _, r := range runs {
				if got := tt.law.AppendDecode(nil, []byte{r.code}); got[0] != r.decoded {
					t.Errorf("code %#02x: got %d, want %d", r.code, got[0], r.decoded)
				}
				for ; v <= int(r.last); v += tt.step {
					if got := tt.law.AppendEncode(nil, audio.Samples{int16(v)}); got[0] != r.code {
						t.Fatalf("sample %d: got %#02x, want %#02x", v, got[0], r.code)
					}
				}
			}
			if v <= math.MaxInt16 {
				t.Errorf("the table ends before %d", v)
			}
		})
	}
}

// TestALawTable checks the decoder against G.711 table 1a: the middle of the first step
// and the step of each segment, in the 13 bits of the standard.
func TestALawTable(t *testing.T) {
	t.Parallel()
	segments := []struct{ first, step int }{
		{1, 2}, {33, 2}, {66, 4}, {132, 8}, {264, 16}, {528, 32}, {1056, 64}, {2112, 128},
	}
	for i, seg := range segments {
		for j := range 16 {
			code := byte(16*i+j) ^ 0x55 // G.711 table 1, note 2
			want := int16((seg.first + j*seg.step) << 3)
			got := audio.ALaw.AppendDecode(nil, []byte{code | 0x80, code})
			if got[0] != want || got[1] != -want {
				t.Errorf("code %#02x: got %d, %d; want %d, %d", code, got[0], got[1], want, -want)
			}
		}
	}
}

// TestG711Tone checks the 1 kHz tone of 0 dBm0 in the octets of each law (G.711 tables 5
// and 6), and silence.
func TestG711Tone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		law   audio.Law
		tone  []byte
		quiet byte
	}{
		{"A-law", audio.ALaw, []byte{0x34, 0x21, 0x21, 0x34, 0xB4, 0xA1, 0xA1, 0xB4}, 0xD5},
		{"mu-law", audio.MuLaw, []byte{0x1E, 0x0B, 0x0B, 0x1E, 0x9E, 0x8B, 0x8B, 0x9E}, 0xFF},
	} {
		s := tt.law.AppendDecode(nil, tt.tone)
		if got := tt.law.AppendEncode(nil, s); !slices.Equal(got, tt.tone) {
			t.Errorf("%s: got % x, want % x", tt.name, got, tt.tone)
		}
		// The peak of a sine is sqrt(2) times its RMS; 0 dBm0 is 3.14 dB (A-law) or 3.17 dB
		// (μ-law) below a full-scale sine.
		if got := decibels(s.RMS() * math.Sqrt2); math.Abs(got+3.15) > 0.1 {
			t.Errorf("%s: the tone of 0 dBm0 is at %.2f dB of full scale", tt.name, got)
		}
		if got := tt.law.AppendEncode(nil, audio.Samples{0}); got[0] != tt.quiet || tt.law.Silence() != tt.quiet {
			t.Errorf("%s: silence is %#02x and %#02x, want %#02x", tt.name, got[0], tt.law.Silence(), tt.quiet)
		}
	}
}

func TestLawAppends(t *testing.T) {
	t.Parallel()
	for _, law := range []audio.Law{audio.MuLaw, audio.ALaw} {
		for code := range 256 {
			s := law.AppendDecode(audio.Samples{7}, []byte{byte(code)})
			got := law.AppendEncode([]byte("x"), s[1:])
			want := []byte{'x', byte(code)}
			if law == audio.MuLaw && code == 0x7F { // minus zero
				want[1] = 0xFF
			}
			if s[0] != 7 || !slices.Equal(got, want) {
				t.Errorf("law %d, code %#02x: got %v and %q", law, code, s, got)
			}
		}
	}
}
