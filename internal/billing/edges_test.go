package billing_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"countersign/internal/billing"
	"countersign/internal/verify"
)

// TestCheckPrice: the bounds of a price, on both sides.
func TestCheckPrice(t *testing.T) {
	t.Parallel()
	const prefix15 = "123456789012345"
	for _, tt := range []struct {
		price verify.Price
		want  string // part of the error; "" if the price is valid
	}{
		{verify.Price{}, ""},
		{verify.Price{Amount: 1_000_000 * verify.Unit}, ""},
		{verify.Price{Amount: 1_000_000*verify.Unit + 1}, "a price of 1000000.00000001 is out of range"},
		{verify.Price{Amount: -1}, "a price of -0.00000001 is out of range"},
		{verify.Price{Country: "GB"}, ""},
		{verify.Price{Country: "AA"}, `"AA" is not a country`},
		{verify.Price{Country: "ZZ"}, `"ZZ" is not a country`},
		{verify.Price{Country: "*"}, `"*" is not a country`},
		{verify.Price{Country: "GB", Prefix: "44"}, "set country or prefix, not both"},
		{verify.Price{Prefix: "1"}, ""},
		{verify.Price{Prefix: "9"}, ""},
		{verify.Price{Prefix: "10"}, ""},
		{verify.Price{Prefix: prefix15}, ""},
		{verify.Price{Prefix: prefix15 + "6"}, `"1234567890123456" is not the first digits of an international number`},
		{verify.Price{Prefix: "0"}, `"0" is not the first digits`},
		{verify.Price{Prefix: "44/"}, `"44/" is not the first digits`},
		{verify.Price{Prefix: "44:"}, `"44:" is not the first digits`},
		{verify.Price{Prefix: "+44"}, `"+44" is not the first digits`},
		{verify.Price{Channel: verify.SMS}, ""},
		{verify.Price{Channel: verify.TTS}, ""},
		{verify.Price{Channel: "SMS"}, `channel "SMS" is neither sms, tts nor email`},
		{verify.Price{From: t0}, ""},
		{verify.Price{Until: t0}, ""},
		{verify.Price{From: t0, Until: t0.Add(time.Millisecond)}, ""},
		{verify.Price{From: t0, Until: t0}, "valid_until must be after valid_from"},
		{verify.Price{From: t0, Until: t0.Add(-time.Millisecond)}, "valid_until must be after valid_from"},
	} {
		err := billing.CheckPrice(tt.price)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.price, err, tt.want)
		}
	}
}

// TestTimes: a date is its start in UTC; years before 1971 are refused.
func TestTimes(t *testing.T) {
	t.Parallel()
	east := time.FixedZone("", 2*3600)
	for text, want := range map[string]time.Time{
		"":                              {},
		"1971-01-01":                    day(1971, 1, 1),
		"2026-12-31":                    day(2026, 12, 31),
		"2026-12-31T23:00:00Z":          day(2026, 12, 31).Add(23 * time.Hour),
		"2026-12-31T01:00:00+02:00":     day(2026, 12, 30).Add(23 * time.Hour),
		"2026-12-31T23:00:00.0019Z":     day(2026, 12, 31).Add(23*time.Hour + time.Millisecond),
		"2026-12-31T23:59:59.999+00:00": day(2026, 12, 31).Add(24*time.Hour - time.Millisecond),
	} {
		if got, err := billing.ParseTime(text); err != nil || !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%q is read as %v (%v), want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"1970-12-31", "1970-12-31T23:59:59Z", "31.12.2026", "2026-02-30", "2026-12-31 23:00", "tomorrow", " "} {
		if got, err := billing.ParseTime(text); err == nil || !got.IsZero() || !strings.Contains(err.Error(), fmt.Sprintf("%q: not a date", text)) {
			t.Errorf("%q is read as %v (%v)", text, got, err)
		}
	}
	for want, at := range map[string]time.Time{
		"":                         {},
		"2026-12-31":               day(2026, 12, 31).In(east),
		"2026-12-31T00:00:00.001Z": day(2026, 12, 31).Add(time.Millisecond),
		"2026-12-30T22:00:00Z":     day(2026, 12, 31).Add(-2 * time.Hour).In(east),
	} {
		if got := billing.FormatTime(at); got != want {
			t.Errorf("%v is written as %q, want %q", at, got, want)
		}
	}
}

func TestDestination(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]verify.Price{"*": {}, "GB": {Country: "GB"}, "prefix 44": {Prefix: "44"}} {
		if got := billing.Destination(p); got != want {
			t.Errorf("%+v is for %q, want %q", p, got, want)
		}
	}
}

// TestReadPricesHeader: the first line names the columns, in any order and letter case, or
// is a price.
func TestReadPricesHeader(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text, carrier string
		want                string // prices, or the error
	}{
		{"prefix only", "prefix,price\n+44,1\n", "smsc", "smsc 44 1.00000000"},
		{"country only", " PRICE ,Country\n1,gb\n", "smsc", "smsc GB 1.00000000"},
		{"space before quotes", "country, price\n\"GB\", \"1\"\n", "smsc", "smsc GB 1.00000000"},
		{"line without names", "*,1\nGB,2\n", "", " * 1.00000000, GB 2.00000000"},
		{"one field", "GB\n", "smsc", "line 1: without a header line, the columns must be country and price"},
		{"three fields", "GB,1,2\n", "smsc", "line 1: without a header line, the columns must be country and price"},
		{"no destination", "price,channel\n1,sms\n", "smsc", "line 1: required columns: price, and country or prefix"},
		{"no price", "prefix,country\n44,\n", "smsc", "line 1: required columns: price, and country or prefix"},
		{"empty column", "country,price,\nGB,1,\n", "smsc", `line 1: unknown column "", must be one of country, prefix, channel, price, valid_from, valid_until`},
		{"overlap by channel", "country,channel,price\nGB,tts,1\nGB,TTS,2\n", "smsc", "line 3: price for GB by tts overlaps with line 2"},
		{"overlap of a prefix by channel", "prefix,channel,price\n44,sms,1\n44,sms,2\n", "smsc", "line 3: price for prefix 44 by sms overlaps with line 2"},
		{"dearest", "GB,1000000\n", "smsc", "smsc GB 1000000.00000000"},
		{"bad until", "country,price,valid_until\nGB,1,never\n", "smsc", `line 2: valid_until: "never": not a date such as 2026-12-31, nor a time such as 2026-12-31T23:00:00Z`},
		{"needs no default", "", "smsc", ""},
		{"short text", "\xef", "smsc", "line 1: without a header line, the columns must be country and price"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			prices, err := billing.ReadPrices(strings.NewReader(tt.text), tt.carrier, t0)
			var got []string
			for _, p := range prices {
				got = append(got, p.Carrier+" "+strings.TrimPrefix(billing.Destination(p), "prefix ")+" "+p.Amount.String())
			}
			if text := strings.Join(got, ","); err == nil && text != tt.want || err != nil && err.Error() != tt.want {
				t.Errorf("got %q, %v; want %q", text, err, tt.want)
			}
		})
	}
	if _, err := billing.ReadPrices(failing{}, "smsc", t0); !errors.Is(err, errFull) {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

// failing is a reader from a broken disk.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errFull }

// TestWritePricesColumns: a list has only the columns used by its prices.
func TestWritePricesColumns(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]verify.Price{
		"country,price\n*,0.00000001\n":                                  {Amount: 1},
		"country,price\nGB,0.00000001\n":                                 {Country: "GB", Amount: 1},
		"country,prefix,price\n,44,0.00000001\n":                         {Prefix: "44", Amount: 1},
		"country,channel,price\n*,sms,0.00000001\n":                      {Channel: verify.SMS, Amount: 1},
		"country,price,valid_from\n*,0.00000001,2026-02-01\n":            {Amount: 1, From: t0},
		"country,price,valid_until\n*,0.00000001,2026-02-01\n":           {Amount: 1, Until: t0},
		"country,price,valid_until\n*,0.00000001,2026-02-01T01:00:00Z\n": {Amount: 1, Until: t0.Add(time.Hour)},
	} {
		var text strings.Builder
		if err := billing.WritePrices(&text, []verify.Price{p}); err != nil || text.String() != want {
			t.Errorf("%+v is written as %q (%v), want %q", p, text.String(), err, want)
		}
	}
}
