package gsm_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"countersign/internal/deliver/gsm"
)

// golden is a table of other implementations; -1 is a septet without a character.
type golden [128]rune

// readTables returns the main and extension tables of testdata/tables.txt.
func readTables(t *testing.T) (main, ext map[gsm.Language]golden) {
	t.Helper()
	text, err := os.ReadFile("testdata/tables.txt")
	if err != nil {
		t.Fatal(err)
	}
	main, ext = map[gsm.Language]golden{}, map[gsm.Language]golden{}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		if len(f) != 130 {
			t.Fatalf("%d fields: %s", len(f), line)
		}
		language := gsm.NoLanguage
		if f[0] != "-" {
			if language, err = gsm.ParseLanguage(f[0]); err != nil {
				t.Fatal(err)
			}
		}
		var g golden
		for i, hex := range f[2:] {
			g[i] = -1
			if hex != "-" {
				r, err := strconv.ParseInt(hex, 16, 32)
				if err != nil {
					t.Fatal(err)
				}
				g[i] = rune(r)
			}
		}
		map[string]map[gsm.Language]golden{"main": main, "ext": ext}[f[1]][language] = g
	}
	return main, ext
}

// TestTables decodes every septet, alone and after an escape, with every pair of tables,
// and compares the characters with other implementations.
func TestTables(t *testing.T) {
	t.Parallel()
	mains, exts := readTables(t)
	if len(mains) != 13 || len(exts) != 14 {
		t.Fatalf("%d main and %d extension tables, want 13 and 14", len(mains), len(exts))
	}
	for locking, main := range mains {
		for single, ext := range exts {
			coding := gsm.Coding{Alphabet: gsm.GSM7, Locking: locking, Single: single}
			for septet := range byte(0x80) {
				if septet == 0x1B {
					continue // the escape
				}
				want := main[septet]
				if want < 0 {
					want = '\uFFFD'
				}
				if got := gsm.Decode(coding, []byte{septet}); got != string(want) {
					t.Errorf("%q %q: %02X is %q, want %q", locking, single, septet, got, want)
				}
				if ext[septet] >= 0 {
					want = ext[septet]
				}
				if got := gsm.Decode(coding, []byte{0x1B, septet}); got != string(want) {
					t.Errorf("%q %q: 1B%02X is %q, want %q", locking, single, septet, got, want)
				}
			}
		}
	}
}

// TestDefaultAlphabet encodes every character of the default alphabet.
func TestDefaultAlphabet(t *testing.T) {
	t.Parallel()
	mains, exts := readTables(t)
	characters := 0
	check := func(r rune, want ...byte) {
		m, err := gsm.Encode(string(r), gsm.Options{}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if m.Coding != (gsm.Coding{}) || string(m.Parts[0].Payload) != string(want) || m.Parts[0].Header != nil {
			t.Errorf("%q is %+v, want % X", r, m, want)
		}
		characters++
	}
	for septet, r := range mains[gsm.NoLanguage] {
		if r >= 0 {
			check(r, byte(septet))
		}
	}
	for septet, r := range exts[gsm.NoLanguage] {
		if r >= 0 {
			check(r, 0x1B, byte(septet))
		}
	}
	if characters != 127+10 {
		t.Errorf("%d characters", characters)
	}
	for _, r := range "çêαА`“’…–·\x1b\u00a0\x00ı" { // similar characters outside the alphabet
		m, err := gsm.Encode(string(r), gsm.Options{}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if m.Coding.Alphabet != gsm.UCS2 {
			t.Errorf("%q is %v", r, m.Coding.Alphabet)
		}
	}
}

// TestNationalAlphabets encodes and decodes every character of the national tables with
// the language allowed.
func TestNationalAlphabets(t *testing.T) {
	t.Parallel()
	mains, exts := readTables(t)
	check := func(l gsm.Language, g golden) {
		for _, r := range g {
			if r < 0 {
				continue
			}
			m, err := gsm.Encode(string(r), gsm.Options{Languages: []gsm.Language{l}}, 0)
			if err != nil {
				t.Fatal(err)
			}
			if m.Coding.Alphabet != gsm.GSM7 {
				t.Errorf("%v: %q is %v", l, r, m.Coding)
			}
			if got := gsm.Decode(m.Coding, m.Parts[0].Payload); got != string(r) {
				t.Errorf("%v: %q is read as %q", l, r, got)
			}
		}
	}
	for l, g := range mains {
		check(l, g)
	}
	for l, g := range exts {
		check(l, g)
	}
}

func TestLanguages(t *testing.T) {
	t.Parallel()
	for l := gsm.Turkish; l <= gsm.Urdu; l++ {
		if got, err := gsm.ParseLanguage(l.String()); err != nil || got != l {
			t.Errorf("%v is parsed as %v, %v", l, got, err)
		}
	}
	for _, code := range []string{"", "en", "TR"} {
		if l, err := gsm.ParseLanguage(code); err == nil {
			t.Errorf("%q is %v", code, l)
		}
	}
	if got := gsm.Language(200).String(); got != "Language(200)" {
		t.Error(got)
	}
}

func TestDecodeTolerates(t *testing.T) {
	t.Parallel()
	const unknown = gsm.Language(77)
	for _, test := range []struct {
		name    string
		coding  gsm.Coding
		payload string
		want    string
	}{
		{"nothing", gsm.Coding{}, "", ""},
		{"an escape to no character shows the main table", gsm.Coding{}, "\x1bA\x1b5", "A5"},
		{"an escape to a further table is a space", gsm.Coding{}, "a\x1b\x1bb", "a b"},
		{"an escape at the end is a space", gsm.Coding{}, "a\x1b", "a "},
		{"a carriage return behind an escape", gsm.Coding{Single: gsm.Turkish}, "\x1b\r", "\r"},
		{"octets that are no septets", gsm.Coding{}, "a\x80\xff", "a\uFFFD\uFFFD"},
		{"an escape before no septet", gsm.Coding{}, "\x1b\x80a", "\uFFFD\uFFFDa"},
		{"a septet without character", gsm.Coding{Locking: gsm.Bengali}, "\x0ca", "\uFFFDa"},
		{"escaped, and in neither table", gsm.Coding{Locking: gsm.Bengali}, "\x1b\x0c", "\uFFFD"},
		{"an unknown language is none", gsm.Coding{Locking: unknown, Single: unknown}, "\x00\x1be", "@€"},
		{"Spanish has no locking table", gsm.Coding{Locking: gsm.Spanish}, "\x00", "@"},
		{"Latin-1", gsm.Coding{Alphabet: gsm.Latin1}, "a\xe9\xff", "aéÿ"},
		{"UCS-2", gsm.Coding{Alphabet: gsm.UCS2}, "\x04\x10\xd8\x3d\xde\x00", "А😀"},
		{"half a unit", gsm.Coding{Alphabet: gsm.UCS2}, "\x00a\x00", "a\uFFFD"},
		{"half a pair", gsm.Coding{Alphabet: gsm.UCS2}, "\xd8\x3d\x00a", "\uFFFDa"},
		{"half a pair at the end", gsm.Coding{Alphabet: gsm.UCS2}, "\x00a\xd8\x3d", "a\uFFFD"},
		{"a pair the wrong way round", gsm.Coding{Alphabet: gsm.UCS2}, "\xde\x00\xd8\x3d", "\uFFFD\uFFFD"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := gsm.Decode(test.coding, []byte(test.payload)); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
