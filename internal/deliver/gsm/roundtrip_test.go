package gsm_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"

	"countersign/internal/deliver/gsm"
)

// texts generates texts with characters of different widths and lengths near the limits,
// which rapid alone rarely generates.
func texts() *rapid.Generator[string] {
	characters := []string{
		"aZ09 @\n€{}[]^|~\\", "aşğıİçÇ€[@", "aáãõçÍª∞ΘΦ€", "aAक०ड{।ॐ", "aé÷ÿ\u00a0", "aя😀🇹\u0301",
	}
	return rapid.Custom(func(t *rapid.T) string {
		n := rapid.SampledFrom([]int{0, 1, 35, 70, 75, 140, 153, 155, 160, 270, 310, 470}).Draw(t, "length")
		n += rapid.IntRange(0, 9).Draw(t, "more")
		runes := rapid.Rune()
		if i := rapid.IntRange(0, len(characters)).Draw(t, "characters"); i < len(characters) {
			runes = rapid.RuneFrom([]rune(characters[i]))
		}
		return rapid.StringOfN(runes, n, n, -1).Draw(t, "text")
	})
}

func options() *rapid.Generator[gsm.Options] {
	return rapid.Custom(func(t *rapid.T) gsm.Options {
		languages := rapid.SampledFrom([]gsm.Language{gsm.Turkish, gsm.Spanish, gsm.Portuguese, gsm.Hindi, 0, 99})
		return gsm.Options{
			Base:      rapid.SampledFrom([]gsm.Alphabet{gsm.GSM7, gsm.GSM7, gsm.Latin1, gsm.UCS2}).Draw(t, "base"),
			Languages: rapid.SliceOfN(languages, 0, 3).Draw(t, "languages"),
			Concat:    rapid.SampledFrom([]gsm.Concat{gsm.ConcatUDH, gsm.ConcatSAR, gsm.ConcatWhole}).Draw(t, "concat"),
			Wide:      rapid.Bool().Draw(t, "wide"),
		}
	})
}

// TestRoundTrip encodes a text, and parses and joins its parts like a phone.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := texts().Draw(t, "text")
		o := options().Draw(t, "options")
		ref := rapid.Uint16().Draw(t, "ref")
		m, err := gsm.Encode(text, o, ref)
		if err != nil {
			t.Fatal(err)
		}
		checkMessage(t, text, o, m)

		parts := rapid.Permutation(m.Parts).Draw(t, "order")
		j := gsm.NewJoiner[string](1 << 20)
		for i, p := range parts {
			h, payload := receive(t, m, p)
			if o.Concat == gsm.ConcatSAR && m.Segments > 1 {
				seq := 1 + slices.IndexFunc(m.Parts, func(q gsm.Part) bool { return &q.Payload[0] == &p.Payload[0] })
				h.Ref, h.Total, h.Seq = ref, m.Segments, seq
			}
			got, whole := j.Add("key", m.Coding.Alphabet, h, payload)
			if last := i+1 == len(parts); whole != last || last && got != text {
				t.Fatalf("part %d of %d: %q, %v; want %q", i+1, len(parts), got, whole, text)
			}
		}
	})
}

// receive parses one part like a phone.
func receive(t *rapid.T, m gsm.Message, p gsm.Part) (gsm.Header, []byte) {
	payload := p.Payload
	var h gsm.Header
	if p.Header != nil {
		var err error
		if h, payload, err = gsm.ParseHeader(slices.Concat(p.Header, payload)); err != nil {
			t.Fatal(err)
		}
		if h.Coding(m.Coding.Alphabet) != m.Coding || h.Octets != len(p.Header) {
			t.Fatalf("%+v of %+v", h, m.Coding)
		}
	}
	return h, payload
}

// checkMessage checks the invariants of messages.
func checkMessage(t interface{ Fatalf(string, ...any) }, text string, o gsm.Options, m gsm.Message) {
	if n := gsm.Segments(text, o); n != m.Segments {
		t.Fatalf("Segments is %d, Encode has %d", n, m.Segments)
	}
	if o.Concat == gsm.ConcatWhole {
		if len(m.Parts) != 1 {
			t.Fatalf("ConcatWhole has %d parts", len(m.Parts))
		}
		return
	}
	if len(m.Parts) != m.Segments {
		t.Fatalf("%d parts in %d segments", len(m.Parts), m.Segments)
	}
	for i, p := range m.Parts {
		octets := len(p.Header) + len(p.Payload)
		if m.Coding.Alphabet == gsm.GSM7 {
			header := (8*len(p.Header) + 6) / 7 // septets, with fill bits (23.040 §9.2.3.24)
			octets = (7*(header+len(p.Payload)) + 7) / 8
		}
		if octets > 140 {
			t.Fatalf("part %d has %d octets", i, octets)
		}
		if gsm.Decode(m.Coding, p.Payload) == "" && text != "" {
			t.Fatalf("part %d is empty", i)
		}
	}
	ucs := o
	ucs.Base = gsm.UCS2
	if n := gsm.Segments(text, ucs); n < m.Segments {
		t.Fatalf("%v needs %d segments, UCS2 %d", m.Coding, m.Segments, n)
	}
	if m.Coding.Alphabet == gsm.UCS2 && m.Segments == 1 && len(m.Parts[0].Payload) != 2*len(utf16.Encode([]rune(text))) {
		t.Fatalf("%d octets", len(m.Parts[0].Payload))
	}
}

func FuzzEncode(f *testing.F) {
	f.Add("Your code: 1234", byte(0), byte(0), false)
	f.Add(strings.Repeat("ş", 200), byte(0), byte(1), true)
	f.Add(strings.Repeat("😀", 80), byte(2), byte(0), false)
	f.Add("\xff\x1b·", byte(1), byte(3), false)
	f.Fuzz(func(t *testing.T, text string, base, language byte, wide bool) {
		o := gsm.Options{Base: gsm.Alphabet(base % 3), Languages: []gsm.Language{gsm.Language(language)}, Wide: wide}
		m, err := gsm.Encode(text, o, 1)
		if err != nil {
			if !errors.Is(err, gsm.ErrTooLong) || gsm.Segments(text, o) <= gsm.MaxParts {
				t.Fatal(err)
			}
			return
		}
		checkMessage(t, text, o, m)
		if got, want := decodeParts(t, m), string([]rune(text)); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}

// FuzzDecode: a decoded text is unchanged after encoding and decoding.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("hello\x1be"), byte(0), byte(0), byte(0))
	f.Add([]byte("\xd8\x3d\xde\x00\xd8"), byte(2), byte(0), byte(0))
	f.Add([]byte("\x1b\x1b\x1b"), byte(0), byte(1), byte(13))
	f.Fuzz(func(t *testing.T, payload []byte, alphabet, locking, single byte) {
		coding := gsm.Coding{
			Alphabet: gsm.Alphabet(alphabet % 3), Locking: gsm.Language(locking), Single: gsm.Language(single),
		}
		text := gsm.Decode(coding, payload)
		if n := len([]rune(text)); n > len(payload) {
			t.Fatalf("%d characters of %d octets", n, len(payload))
		}
		o := gsm.Options{Languages: []gsm.Language{coding.Locking, coding.Single}}
		m, err := gsm.Encode(text, o, 0)
		if err != nil {
			return // too long
		}
		if got := decodeParts(t, m); got != text {
			t.Fatalf("%q, want %q", got, text)
		}
	})
}
