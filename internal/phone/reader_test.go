package phone_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/nyaruka/phonenumbers"

	"countersign/internal/phone"
)

// A Reader must return the results of Parse: for examples of each type and country, numbers
// that differ by one digit, random digits, and numbers of invalid length.
// COUNTERSIGN_NUMBERS is the number of attempts for each calling code.
func TestReaderReadsLikeParse(t *testing.T) {
	t.Parallel()
	tries := 25
	if raceDetector { // the race detector makes the library ten times as slow, and finds no races here
		tries = 1
	}
	if s := os.Getenv("COUNTERSIGN_NUMBERS"); s != "" {
		var err error
		if tries, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	rnd := rand.New(rand.NewPCG(8, 8))
	var r phone.Reader
	for code := range 1000 {
		examples := examples(code)
		for range tries {
			number := strconv.Itoa(code)
			if len(examples) > 0 && rnd.IntN(4) > 0 {
				number = change(rnd, examples[rnd.IntN(len(examples))])
			} else if len(examples) == 0 && rnd.IntN(50) > 0 {
				continue // unassigned calling code
			} else {
				number += digits(rnd, rnd.IntN(16))
			}
			compare(t, &r, number, "")
		}
		for _, number := range examples[:min(len(examples), tries)] {
			compare(t, &r, number, "")
		}
	}
}

// compare parses one number both ways.
func compare(t *testing.T, r *phone.Reader, number, country string) {
	t.Helper()
	want, werr := phone.Parse(number, country)
	got, err := r.Parse(number, country)
	if got != want || fmt.Sprint(err) != fmt.Sprint(werr) {
		t.Errorf("%q in %q: %+v, %v; Parse returns %+v, %v", number, country, got, err, want, werr)
	}
}

// examples returns example numbers of all types with a calling code.
func examples(code int) []string {
	var list []string
	for _, region := range phonenumbers.GetRegionCodesForCountryCode(code) {
		for kind := phonenumbers.FIXED_LINE; kind <= phonenumbers.UNKNOWN; kind++ {
			if n := phonenumbers.GetExampleNumberForType(region, kind); n != nil {
				list = append(list, phonenumbers.Format(n, phonenumbers.E164)[1:])
			}
		}
		if region == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY {
			list = append(list, phonenumbers.Format(phonenumbers.GetExampleNumberForNonGeoEntity(code), phonenumbers.E164)[1:])
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// change returns a variation of a number: random last digits, or one digit changed, added
// or omitted.
func change(rnd *rand.Rand, number string) string {
	at := rnd.IntN(len(number))
	switch rnd.IntN(5) {
	case 0, 1:
		return number[:at] + digits(rnd, len(number)-at)
	case 2:
		return number[:at] + digits(rnd, 1) + number[at+1:]
	case 3:
		return number[:at] + digits(rnd, 1) + number[at:]
	default:
		return number[:at] + number[at+1:]
	}
}

func digits(rnd *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + rnd.IntN(10))
	}
	return string(b)
}

// The mobile numbers of every country use the fast path, which does not allocate.
func TestReaderKnowsMobiles(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	var r phone.Reader
	var slow []string
	for region := range phonenumbers.GetSupportedRegions() {
		example := phonenumbers.GetExampleNumberForType(region, phonenumbers.MOBILE)
		if example == nil {
			continue
		}
		number := phonenumbers.Format(example, phonenumbers.E164)[1:]
		if testing.AllocsPerRun(10, func() { _, _ = r.Parse(number, "") }) > 0 {
			slow = append(slow, region)
		}
	}
	slices.Sort(slow)
	if !slices.Equal(slow, []string{}) {
		t.Errorf("read the long way: %v", slow)
	}
}

func FuzzReader(f *testing.F) {
	for _, number := range []string{"447700900000", "+1 202-555-0123", "07700 900000", "0", "+883510012345", "78001234567", "5491123456789"} {
		f.Add(number, "")
		f.Add(number, "GB")
	}
	var r phone.Reader
	f.Fuzz(func(t *testing.T, number, country string) { compare(t, &r, number, country) })
}

func BenchmarkReader(b *testing.B) {
	for _, bb := range []struct{ name, number, country string }{
		{"fiction", "447700900000", ""},
		{"international", "491701234567", ""},
		{"plus", "+49 170 1234567", ""},
		{"national", "0170 1234567", "DE"},
		{"sharedCallingCode", "14165551234", ""},
	} {
		b.Run(bb.name, func(b *testing.B) {
			var r phone.Reader
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Parse(bb.number, bb.country); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("firstOfAll", func(b *testing.B) { // the time to compile the plans of all calling codes
		b.ReportAllocs()
		var all []string
		for code := range 1000 {
			if e := examples(code); len(e) > 0 {
				all = append(all, e[0])
			}
		}
		for b.Loop() {
			var r phone.Reader
			for _, number := range all {
				_, _ = r.Parse(number, "")
			}
		}
	})
}
