package gsm_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"countersign/internal/deliver/gsm"
)

func TestParseHeader(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		userData string // hex
		want     gsm.Header
		rest     string // hex
		bad      bool
	}{
		{"8-bit reference", "050003AB0201616263", gsm.Header{Ref: 0xAB, Total: 2, Seq: 1, Octets: 6}, "616263", false},
		{"16-bit reference", "060804ABCD030361", gsm.Header{Ref: 0xABCD, Wide: true, Total: 3, Seq: 3, Octets: 7}, "61", false},
		{"tables", "06240101250103", gsm.Header{Single: gsm.Turkish, Locking: gsm.Portuguese, Octets: 7}, "", false},
		{"16-bit ports", "060504158200FF61", gsm.Header{Ports: true, ToPort: 0x1582, FromPort: 0xFF, Octets: 7}, "61", false},
		{"8-bit ports", "040402F0F1", gsm.Header{Ports: true, ToPort: 0xF0, FromPort: 0xF1, Octets: 5}, "", false},
		{"all together", "10" + "0003070201" + "0504158215B3" + "7000" + "240102", gsm.Header{
			Ref: 7, Total: 2, Seq: 1, Ports: true, ToPort: 5506, FromPort: 5555, Single: gsm.Spanish, Octets: 17,
		}, "", false},
		{"empty", "0061", gsm.Header{Octets: 1}, "61", false},
		{"the last of two counts", "0B" + "0003010201" + "080402020302", gsm.Header{Ref: 0x0202, Wide: true, Total: 3, Seq: 2, Octets: 12}, "", false},
		{"unknown elements", "06" + "7F0101" + "C80199" + "61", gsm.Header{Octets: 7}, "61", false},
		{"an element of another length", "03" + "000101" + "61", gsm.Header{Octets: 4}, "61", false},
		{"part 0", "05000307020061", gsm.Header{Octets: 6}, "61", false},
		{"part beyond the last", "05000307020361", gsm.Header{Octets: 6}, "61", false},
		{"no parts", "05000307000061", gsm.Header{Octets: 6}, "61", false},
		{"nothing at all", "", gsm.Header{}, "", true},
		{"longer than the data", "0500030702", gsm.Header{}, "0500030702", true},
		{"an element cut off", "0600030702012461", gsm.Header{Octets: 7}, "61", true},
		{"an element longer than the header", "05000407020161", gsm.Header{Octets: 6}, "61", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			userData, err := hex.DecodeString(test.userData)
			if err != nil {
				t.Fatal(err)
			}
			h, rest, err := gsm.ParseHeader(userData)
			if (err != nil) != test.bad || test.bad && !errors.Is(err, gsm.ErrHeader) {
				t.Errorf("error %v", err)
			}
			if h != test.want || hex.EncodeToString(rest) != test.rest {
				t.Errorf("%+v, rest %x", h, rest)
			}
		})
	}
}

func FuzzParseHeader(f *testing.F) {
	for _, seed := range []string{"", "\x00", "\x05\x00\x03\xab\x02\x01abc", "\x06\x08\x04\xab\xcd\x03\x03", "\x03\x24\x01\x01", "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, userData []byte) {
		h, rest, err := gsm.ParseHeader(userData)
		if !bytes.HasSuffix(userData, rest) || h.Octets+len(rest) != len(userData) {
			t.Fatalf("%d octets and %d of %d", h.Octets, len(rest), len(userData))
		}
		if err != nil && h != (gsm.Header{Octets: h.Octets}) {
			t.Fatalf("%+v of a malformed header", h)
		}
		if h.Seq > h.Total || (h.Total > 0) != (h.Seq > 0) {
			t.Fatalf("part %d of %d", h.Seq, h.Total)
		}
	})
}
