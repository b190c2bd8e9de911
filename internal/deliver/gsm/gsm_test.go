package gsm_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"countersign/internal/deliver/gsm"
)

// TestBoundaries encodes texts near the limits of parts.
func TestBoundaries(t *testing.T) {
	t.Parallel()
	var (
		narrow    = gsm.Options{}
		wide      = gsm.Options{Wide: true}
		latin     = gsm.Options{Base: gsm.Latin1}
		latinWide = gsm.Options{Base: gsm.Latin1, Wide: true}
		turkish   = gsm.Options{Languages: []gsm.Language{gsm.Turkish}}
	)
	a, e, ya, smile := strings.Repeat, "€", "я", "😀"
	for _, test := range []struct {
		name    string
		text    string
		options gsm.Options
		want    []int // units by part
	}{
		{"nothing", "", narrow, []int{0}},
		{"159 septets", a("a", 159), narrow, []int{159}},
		{"160 septets", a("a", 160), narrow, []int{160}},
		{"161 septets", a("a", 161), narrow, []int{153, 8}},
		{"161 septets, wide", a("a", 161), wide, []int{152, 9}},
		{"305 septets", a("a", 305), narrow, []int{153, 152}},
		{"306 septets", a("a", 306), narrow, []int{153, 153}},
		{"307 septets", a("a", 307), narrow, []int{153, 153, 1}},
		{"304 septets, wide", a("a", 304), wide, []int{152, 152}},
		{"305 septets, wide", a("a", 305), wide, []int{152, 152, 1}},
		{"80 euros", a(e, 80), narrow, []int{160}},
		{"81 euros", a(e, 81), narrow, []int{152, 10}},
		{"an escape ends the part", a("a", 151) + e + a("a", 20), narrow, []int{153, 20}},
		{"an escape across the parts", a("a", 152) + e + a("a", 20), narrow, []int{152, 22}},
		{"an escape begins a part", a("a", 153) + e + a("a", 20), narrow, []int{153, 22}},
		{"an escape across the end of a single", a("a", 159) + e, narrow, []int{153, 8}},
		{"306 septets that need three parts", a("a", 152) + e + a("a", 152), narrow, []int{152, 153, 1}},

		{"69 units", a(ya, 69), narrow, []int{69}},
		{"70 units", a(ya, 70), narrow, []int{70}},
		{"71 units", a(ya, 71), narrow, []int{67, 4}},
		{"134 units", a(ya, 134), narrow, []int{67, 67}},
		{"135 units", a(ya, 135), narrow, []int{67, 67, 1}},
		{"71 units, wide", a(ya, 71), wide, []int{66, 5}},
		{"35 emoji", a(smile, 35), narrow, []int{70}},
		{"36 emoji", a(smile, 36), narrow, []int{66, 6}},
		{"an emoji across the parts", a(ya, 66) + smile + a(ya, 10), narrow, []int{66, 12}},
		{"an emoji ends the part", a(ya, 65) + smile + a(ya, 10), narrow, []int{67, 10}},

		{"140 octets", a("ê", 140), latin, []int{140}},
		{"141 octets", a("ê", 141), latin, []int{134, 7}},
		{"268 octets", a("ê", 268), latin, []int{134, 134}},
		{"269 octets", a("ê", 269), latin, []int{134, 134, 1}},
		{"141 octets, wide", a("ê", 141), latinWide, []int{133, 8}},

		{"155 septets, one table", "ğ" + a("a", 154), turkish, []int{155}},
		{"156 septets, one table", "ğ" + a("a", 155), turkish, []int{149, 8}},
		{"77 escapes, one table", a("ş", 77), turkish, []int{154}},
		{"an escape across the parts, one table", a("ş", 3) + a("a", 142) + a("ş", 40), turkish, []int{148, 80}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, err := gsm.Encode(test.text, test.options, 7)
			if err != nil {
				t.Fatal(err)
			}
			var got []int
			for _, p := range m.Parts {
				n := len(p.Payload)
				if m.Coding.Alphabet == gsm.UCS2 {
					n /= 2
				}
				got = append(got, n)
			}
			if fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("parts of %v, want %v", got, test.want)
			}
			if n := gsm.Segments(test.text, test.options); n != len(test.want) || m.Segments != n {
				t.Errorf("Segments is %d, Encode has %d", n, m.Segments)
			}
		})
	}
}

// TestChoice: the coding of different texts.
func TestChoice(t *testing.T) {
	t.Parallel()
	national := func(l ...gsm.Language) gsm.Options { return gsm.Options{Languages: l} }
	for _, test := range []struct {
		name    string
		text    string
		options gsm.Options
		want    gsm.Coding
		parts   int
	}{
		{"plain", "Code: 1234", gsm.Options{}, gsm.Coding{}, 1},
		{"plain, languages allowed", "Ça coûte 5€? No: 5€", national(gsm.Turkish), gsm.Coding{Alphabet: gsm.UCS2}, 1},
		{"the default comes first", strings.Repeat("€", 90), national(gsm.Turkish), gsm.Coding{}, 2},
		{"Turkish, not allowed", "Şifre", gsm.Options{}, gsm.Coding{Alphabet: gsm.UCS2}, 1},
		{"Turkish: among equals the single shift", "Şifre", national(gsm.Turkish), gsm.Coding{Single: gsm.Turkish}, 1},
		{"Spanish has a single shift only", "código", national(gsm.Spanish), gsm.Coding{Single: gsm.Spanish}, 1},
		{"the first that fits", "código", national(gsm.Turkish, gsm.Portuguese, gsm.Spanish), gsm.Coding{Single: gsm.Portuguese}, 1},
		{"fewest segments", strings.Repeat("ş", 150), national(gsm.Turkish), gsm.Coding{Locking: gsm.Turkish}, 1},
		{"both shifts", "ãõ" + strings.Repeat("ΦΓ", 4), national(gsm.Portuguese), gsm.Coding{Single: gsm.Portuguese}, 1},
		{"both shifts for fewer segments", strings.Repeat("ª", 100) + "Θ", national(gsm.Portuguese),
			gsm.Coding{Locking: gsm.Portuguese, Single: gsm.Portuguese}, 1},
		{"two languages", "ğğ" + strings.Repeat("ı", 80) + "í", national(gsm.Turkish, gsm.Spanish),
			gsm.Coding{Locking: gsm.Turkish, Single: gsm.Spanish}, 1},
		{"Hindi", "कोड 1234", national(gsm.Hindi), gsm.Coding{Locking: gsm.Hindi}, 1},
		{"not in any table", "ş я", national(gsm.Turkish), gsm.Coding{Alphabet: gsm.UCS2}, 1},
		{"languages without tables", "ş", national(0, 99), gsm.Coding{Alphabet: gsm.UCS2}, 1},
		{"a lone escape is no character", "a\x1be", gsm.Options{}, gsm.Coding{Alphabet: gsm.UCS2}, 1},
		{"Latin-1", "ê^ÿ", gsm.Options{Base: gsm.Latin1}, gsm.Coding{Alphabet: gsm.Latin1}, 1},
		{"not Latin-1", "5 €", gsm.Options{Base: gsm.Latin1}, gsm.Coding{Alphabet: gsm.UCS2}, 1},
		{"no tables in Latin-1", "ş", gsm.Options{Base: gsm.Latin1, Languages: []gsm.Language{gsm.Turkish}}, gsm.Coding{Alphabet: gsm.UCS2}, 1},
		{"UCS-2 always", "Code", gsm.Options{Base: gsm.UCS2}, gsm.Coding{Alphabet: gsm.UCS2}, 1},
		{"not UTF-8", "a\xff", gsm.Options{}, gsm.Coding{Alphabet: gsm.UCS2}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, err := gsm.Encode(test.text, test.options, 0)
			if err != nil {
				t.Fatal(err)
			}
			if m.Coding != test.want || len(m.Parts) != test.parts {
				t.Errorf("%v in %d parts, want %v in %d", m.Coding, len(m.Parts), test.want, test.parts)
			}
			if got, want := decodeParts(t, m), strings.ToValidUTF8(test.text, "\uFFFD"); got != want {
				t.Errorf("read as %q, want %q", got, want)
			}
		})
	}
}

// decodeParts decodes the parts of m separately.
func decodeParts(t testing.TB, m gsm.Message) string {
	t.Helper()
	var text strings.Builder
	for _, p := range m.Parts {
		text.WriteString(gsm.Decode(m.Coding, p.Payload))
	}
	return text.String()
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	var (
		long    = strings.Repeat("a", 200)
		turkish = "ş" + strings.Repeat("a", 200)
		both    = strings.Repeat("ª", 160) + "Θ"
	)
	tr, pt := []gsm.Language{gsm.Turkish}, []gsm.Language{gsm.Portuguese}
	for _, test := range []struct {
		name    string
		text    string
		options gsm.Options
		want    []string // headers by part, in hex
	}{
		{"single", "a", gsm.Options{}, []string{""}},
		{"single, with a table", "ş", gsm.Options{Languages: tr}, []string{"03240101"}},
		{"long", long, gsm.Options{}, []string{"050003CD0201", "050003CD0202"}},
		{"long, wide", long, gsm.Options{Wide: true}, []string{"060804ABCD0201", "060804ABCD0202"}},
		{"long, with a table", turkish, gsm.Options{Languages: tr}, []string{"080003CD0201240101", "080003CD0202240101"}},
		{"long, with both", both, gsm.Options{Languages: pt},
			[]string{"0B0003CD0201240103250103", "0B0003CD0202240103250103"}},
		{"numbered elsewhere", long, gsm.Options{Concat: gsm.ConcatSAR}, []string{"", ""}},
		{"numbered elsewhere, with a table", turkish, gsm.Options{Concat: gsm.ConcatSAR, Languages: tr}, []string{"03240101", "03240101"}},
		{"whole", long, gsm.Options{Concat: gsm.ConcatWhole}, []string{""}},
		{"whole, with a table", turkish, gsm.Options{Concat: gsm.ConcatWhole, Languages: tr}, []string{"03240101"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, err := gsm.Encode(test.text, test.options, 0xABCD)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range m.Parts {
				got = append(got, fmt.Sprintf("%X", p.Header))
				if p.Header != nil && len(p.Header) == 0 {
					t.Error("an empty header is not nil")
				}
			}
			if strings.Join(got, " ") != strings.Join(test.want, " ") {
				t.Errorf("headers %v, want %v", got, test.want)
			}
			if got := decodeParts(t, m); got != test.text {
				t.Errorf("read as %q", got)
			}
		})
	}
}

// TestConcatKeepsTheCount: the numbering of parts affects neither the number of segments
// nor the division of the text.
func TestConcatKeepsTheCount(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("a", 152) + "€" + strings.Repeat("b", 300)
	udh, err := gsm.Encode(text, gsm.Options{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	sar, err := gsm.Encode(text, gsm.Options{Concat: gsm.ConcatSAR}, 1)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := gsm.Encode(text, gsm.Options{Concat: gsm.ConcatWhole}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if udh.Segments != 3 || sar.Segments != 3 || whole.Segments != 3 {
		t.Errorf("%d, %d, %d segments", udh.Segments, sar.Segments, whole.Segments)
	}
	var joined []byte
	for i, p := range udh.Parts {
		if string(p.Payload) != string(sar.Parts[i].Payload) {
			t.Errorf("part %d differs", i)
		}
		joined = append(joined, p.Payload...)
	}
	if len(whole.Parts) != 1 || string(whole.Parts[0].Payload) != string(joined) {
		t.Errorf("%d parts, payload % X", len(whole.Parts), whole.Parts[0].Payload)
	}
}

func TestTooLong(t *testing.T) {
	t.Parallel()
	for _, concat := range []gsm.Concat{gsm.ConcatUDH, gsm.ConcatSAR, gsm.ConcatWhole} {
		o := gsm.Options{Concat: concat}
		most := strings.Repeat("a", 255*153)
		if m, err := gsm.Encode(most, o, 0); err != nil || m.Segments != 255 {
			t.Errorf("%d segments, %v", m.Segments, err)
		}
		if m, err := gsm.Encode(most+"a", o, 0); !errors.Is(err, gsm.ErrTooLong) || m.Parts != nil {
			t.Errorf("%d parts, %v", len(m.Parts), err)
		}
		if n := gsm.Segments(most+"a", o); n != 256 {
			t.Errorf("%d segments", n)
		}
	}
}

const typical = "Your Acme code: 493817. Valid 5 minutes."

// TestAllocations is not parallel, since other tests also allocate.
func TestAllocations(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { gsm.Encode(typical, gsm.Options{}, 1) }); n > 3 {
		t.Errorf("Encode allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { gsm.Segments(typical, gsm.Options{}) }); n > 0 {
		t.Errorf("Segments allocates %v times", n)
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, bench := range []struct {
		name, text string
		options    gsm.Options
	}{
		{"default", typical, gsm.Options{}},
		{"turkish", "Acme şifreniz: 493817. 5 dakika geçerli.", gsm.Options{Languages: []gsm.Language{gsm.Turkish}}},
		{"ucs2", "Код Acme: 493817. Действует 5 минут.", gsm.Options{}},
		{"long", strings.Repeat(typical, 10), gsm.Options{}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := gsm.Encode(bench.text, bench.options, 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
