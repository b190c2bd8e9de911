package gsm_test

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"countersign/internal/deliver/gsm"
)

// TestPack has the well-known examples, and one that was packed by hand.
func TestPack(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		septets string
		header  int
		want    string
	}{
		{"", 0, ""},
		{"hello", 0, "E8329BFD06"},
		{"hellohello", 0, "E8329BFD4697D9EC37"},
		{"12345678", 0, "31D98C56B3DD70"},
		{"1234567", 0, "31D98C56B3DD00"},
		// Behind 6 octets: 48 bits, so one bit of fill to 49.
		{"a", 6, "C2"},
		{"ab", 6, "C262"},
		// Behind 7 octets: 56 bits, no fill.
		{"hello", 7, "E8329BFD06"},
		// Behind 4 octets: 32 bits, three of fill to 35.
		{"a", 4, "0803"},
	} {
		t.Run(fmt.Sprintf("%q behind %d", test.septets, test.header), func(t *testing.T) {
			t.Parallel()
			packed := gsm.Pack([]byte(test.septets), test.header)
			if got := fmt.Sprintf("%X", packed); got != test.want {
				t.Errorf("packed %s, want %s", got, test.want)
			}
			if got := string(gsm.Unpack(packed, test.header, len(test.septets))); got != test.septets {
				t.Errorf("unpacked %q", got)
			}
			if got := string(gsm.Unpack(packed, test.header, -1)); got != test.septets {
				t.Errorf("unpacked %q without the number", got)
			}
		})
	}
}

func TestUnpackTolerates(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		packed []byte
		header int
		n      int
		want   string
	}{
		{"nothing", nil, 6, -1, ""},
		{"more wanted than there is", []byte{0xC2}, 6, 9, "a"},
		{"only fill", []byte{0}, 2, 3, ""},
		{"an at sign by number", []byte{0x31, 0xD9, 0x8C, 0x56, 0xB3, 0xDD, 0x00}, 0, 8, "1234567\x00"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := string(gsm.Unpack(test.packed, test.header, test.n)); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestPackRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		septets := rapid.SliceOfN(rapid.ByteMax(0x7F), 0, 170).Draw(t, "septets")
		header := rapid.IntRange(0, 20).Draw(t, "header")
		packed := gsm.Pack(septets, header)
		bits := 8*header + 6
		bits += 7*len(septets) - bits%7 // from the boundary behind the header
		if want := (bits+7)/8 - header; len(packed) != want {
			t.Fatalf("%d octets, want %d", len(packed), want)
		}
		if got := gsm.Unpack(packed, header, len(septets)); !bytes.Equal(got, septets) {
			t.Fatalf("unpacked % X", got)
		}
		guess := gsm.Unpack(packed, header, -1)
		if n := len(septets); !bytes.Equal(guess, septets) && (n == 0 || septets[n-1] != 0 || !bytes.Equal(guess, septets[:n-1])) {
			t.Fatalf("unpacked % X without the number", guess)
		}
	})
}

func TestUnpackThenPack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		header := rapid.IntRange(0, 20).Draw(t, "header")
		packed := rapid.SliceOfN(rapid.Byte(), 1, 140).Draw(t, "packed")
		all := gsm.Unpack(packed, header, len(packed)*8)
		again := gsm.Pack(all, header)
		if len(again) > len(packed) {
			t.Fatalf("%d octets of %d", len(again), len(packed))
		}
		if got := gsm.Unpack(again, header, len(all)); !bytes.Equal(got, all) {
			t.Fatalf("% X, want % X", got, all)
		}
	})
}
