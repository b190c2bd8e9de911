package verify_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"countersign/internal/verify"
)

// day is midnight of the nth day; the zero time for 0.
func day(n int) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC)
}

// priced is a price for all others, valid from a day until another; 0 means unbounded.
func priced(amount verify.Money, from, until int) verify.Price {
	return verify.Price{Amount: amount, From: day(from), Until: day(until)}
}

// TestSetPrice: the new price applies during its validity, and the old prices at other
// times.
func TestSetPrice(t *testing.T) {
	t.Parallel()
	gb := verify.Price{Country: "GB", Amount: 7}
	sms := verify.Price{Channel: verify.SMS, Amount: 8}
	carrier := verify.Price{Carrier: "smsc", Amount: 9}
	for _, tt := range []struct {
		name   string
		before []verify.Price
		set    verify.Price
		want   []verify.Price
	}{
		{"Empty", nil, priced(2, 0, 0), []verify.Price{priced(2, 0, 0)}},
		{"ReplaceOpenEnded", []verify.Price{priced(1, 0, 0)}, priced(2, 0, 0), []verify.Price{priced(2, 0, 0)}},
		{"OpenEndedFromADay", []verify.Price{priced(1, 0, 0)}, priced(2, 5, 0), []verify.Price{priced(1, 0, 5), priced(2, 5, 0)}},
		{"OpenEndedUntilADay", []verify.Price{priced(1, 0, 0)}, priced(2, 0, 5), []verify.Price{priced(1, 5, 0), priced(2, 0, 5)}},
		{"OpenEndedForSomeDays", []verify.Price{priced(1, 0, 0)}, priced(2, 5, 7), []verify.Price{priced(1, 0, 5), priced(1, 7, 0), priced(2, 5, 7)}},
		{"OpenEndedFromTheSameDay", []verify.Price{priced(1, 0, 5), priced(2, 5, 0)}, priced(3, 5, 0), []verify.Price{priced(1, 0, 5), priced(3, 5, 0)}},
		{"Middle", []verify.Price{priced(1, 3, 9)}, priced(2, 5, 7), []verify.Price{priced(1, 3, 5), priced(1, 7, 9), priced(2, 5, 7)}},
		{"UntilTheSameDay", []verify.Price{priced(1, 3, 9)}, priced(2, 5, 9), []verify.Price{priced(1, 3, 5), priced(2, 5, 9)}},
		{"BeyondTheEnd", []verify.Price{priced(1, 3, 9)}, priced(2, 5, 12), []verify.Price{priced(1, 3, 5), priced(2, 5, 12)}},
		{"FromBefore", []verify.Price{priced(1, 3, 9)}, priced(2, 1, 5), []verify.Price{priced(1, 5, 9), priced(2, 1, 5)}},
		{"Adjacent", []verify.Price{priced(1, 1, 5), priced(3, 7, 0)}, priced(2, 5, 7), []verify.Price{priced(1, 1, 5), priced(3, 7, 0), priced(2, 5, 7)}},
		{"OverSeveral", []verify.Price{priced(1, 0, 3), priced(2, 3, 5), priced(3, 5, 0)}, priced(4, 2, 6), []verify.Price{priced(1, 0, 2), priced(3, 6, 0), priced(4, 2, 6)}},
		{"OtherLists", []verify.Price{priced(1, 0, 0), gb, sms, carrier}, priced(2, 0, 0), []verify.Price{gb, sms, carrier, priced(2, 0, 0)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := verify.SetPrice(tt.before, tt.set); fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("got  %v\nwant %v", got, tt.want)
			}
		})
	}
}

// TestSetPriceAtAnyTime: after any sequence of changes, Find returns the last price set for
// a time, and no two prices overlap.
func TestSetPriceAtAnyTime(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var prices, set []verify.Price
		for i := range rapid.IntRange(1, 6).Draw(t, "prices") {
			from := rapid.IntRange(0, 9).Draw(t, "from")
			until := rapid.SampledFrom([]int{0, from + 1, from + 3}).Draw(t, "until")
			p := priced(verify.Money(i+1), from, until)
			set = append(set, p)
			prices = verify.SetPrice(prices, p)
		}
		list, err := verify.NewPriceList(prices)
		if err != nil {
			t.Fatalf("%v of %v", err, prices)
		}
		for d := 1; d < 15; d++ {
			for _, at := range []time.Time{day(d), day(d).Add(-1)} {
				var want verify.Money
				for _, p := range set {
					if !at.Before(p.From) && (p.Until.IsZero() || at.Before(p.Until)) {
						want = p.Amount
					}
				}
				if got, ok := list.Find("", "447700900000", "GB", verify.SMS, at); got != want || ok != (want != 0) {
					t.Fatalf("at %v the price is %d, %v; want %d of %v", at, got, ok, want, set)
				}
			}
		}
	})
}

// TestFindPrice: the longest prefix precedes the country, and the country all others; for
// one destination, the channel precedes all channels.
func TestFindPrice(t *testing.T) {
	t.Parallel()
	list, err := verify.NewPriceList([]verify.Price{
		{Amount: 1}, {Channel: verify.TTS, Amount: 2},
		{Country: "GB", Amount: 3}, {Country: "GB", Channel: verify.SMS, Amount: 4},
		{Prefix: "44", Amount: 5, Until: day(5)}, {Prefix: "4477", Channel: verify.TTS, Amount: 6}, {Prefix: "447700900000", Amount: 7},
		{Carrier: "smsc", Country: "GB", Amount: 8},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		carrier, number, country string
		channel                  verify.Channel
		day                      int
		want                     verify.Money // 0 if no price is found
	}{
		{"", "33612345678", "FR", verify.SMS, 1, 1},
		{"", "33612345678", "FR", verify.TTS, 1, 2},
		{"", "33612345678", "", verify.SMS, 1, 1},
		{"", "33612345678", "GB", verify.TTS, 1, 3},
		{"", "33612345678", "GB", verify.SMS, 1, 4},
		{"", "447700900001", "GB", verify.SMS, 4, 5},
		{"", "447700900001", "GB", verify.SMS, 5, 4},
		{"", "447700900001", "GB", verify.TTS, 4, 6},
		{"", "447700900000", "GB", verify.TTS, 4, 7},
		{"", "44770090000", "GB", verify.SMS, 4, 5},
		{"", "44", "GB", verify.SMS, 4, 5},
		{"", "4", "GB", verify.SMS, 4, 4},
		{"", "", "GB", verify.SMS, 4, 4},
		{"smsc", "447700900000", "GB", verify.TTS, 4, 8},
		{"smsc", "447700900000", "", verify.TTS, 4, 0},
		{"other", "447700900000", "GB", verify.SMS, 4, 0},
	} {
		got, ok := list.Find(tt.carrier, tt.number, tt.country, tt.channel, day(tt.day))
		if got != tt.want || ok != (tt.want != 0) {
			t.Errorf("%+v: got %d, %v", tt, got, ok)
		}
	}
	if !list.Has("") || !list.Has("smsc") || list.Has("other") {
		t.Error("Has does not report the carriers with prices")
	}
}

func TestPriceListRefusesOverlaps(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		list []verify.Price
		want string // "" for no error
	}{
		{"Adjacent", []verify.Price{priced(1, 0, 5), priced(2, 5, 7), priced(3, 7, 0)}, ""},
		{"AdjacentInAnyOrder", []verify.Price{priced(3, 7, 0), priced(2, 5, 7), priced(1, 0, 5)}, ""},
		{"OtherChannel", []verify.Price{{}, {Channel: verify.SMS}}, ""},
		{"OtherCarrier", []verify.Price{{}, {Carrier: "smsc"}}, ""},
		{"OtherCountry", []verify.Price{{Country: "GB"}, {Country: "FR"}}, ""},
		{"OtherPrefix", []verify.Price{{Prefix: "44"}, {Prefix: "447"}}, ""},
		{"TwoOpenEnded", []verify.Price{priced(1, 0, 0), priced(2, 5, 0)}, "prices 0 and 1 overlap: same destination, channel and time"},
		{"EndsLater", []verify.Price{priced(1, 1, 5), {Country: "GB"}, priced(2, 4, 7)}, "prices 0 and 2 overlap: same destination, channel and time"},
		{"BeginsEarlier", []verify.Price{priced(1, 4, 7), priced(2, 1, 5)}, "prices 0 and 1 overlap: same destination, channel and time"},
		{"Inside", []verify.Price{priced(1, 1, 9), priced(2, 3, 4)}, "prices 0 and 1 overlap: same destination, channel and time"},
		{"Prefix", []verify.Price{{Prefix: "44"}, {Prefix: "44", Country: ""}}, "prices 0 and 1 overlap: same destination, channel and time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := verify.NewPriceList(tt.list)
			_, overlap := errors.AsType[*verify.OverlapError](err)
			if got := fmt.Sprint(err); tt.want == "" && err != nil || tt.want != "" && (got != tt.want || !overlap) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestPriceGap: only prices for all others and all channels close a gap.
func TestPriceGap(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		list []verify.Price
		want int // day of the gap; 0 if the list has no gap
	}{
		{"None", nil, 2},
		{"OpenEnded", []verify.Price{priced(1, 0, 0)}, 0},
		{"FromToday", []verify.Price{priced(1, 2, 0)}, 0},
		{"FromTomorrow", []verify.Price{priced(1, 3, 0)}, 2},
		{"Ends", []verify.Price{priced(1, 0, 5)}, 5},
		{"EndsToday", []verify.Price{priced(1, 0, 2)}, 2},
		{"Chain", []verify.Price{priced(3, 7, 0), priced(1, 0, 5), priced(2, 5, 7)}, 0},
		{"ChainEnds", []verify.Price{priced(2, 5, 7), priced(1, 0, 5)}, 7},
		{"BrokenChain", []verify.Price{priced(1, 0, 5), priced(2, 6, 0)}, 5},
		{"Country", []verify.Price{{Country: "GB"}}, 2},
		{"Channel", []verify.Price{{Channel: verify.SMS}, {Channel: verify.TTS}}, 2},
		{"Carrier", []verify.Price{{Carrier: "smsc"}}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			list, err := verify.NewPriceList(tt.list)
			if err != nil {
				t.Fatal(err)
			}
			at, ok := list.Gap("", day(2))
			if ok != (tt.want != 0) || ok && !at.Equal(day(tt.want)) {
				t.Errorf("got %v, %v; want day %d", at, ok, tt.want)
			}
		})
	}
}

func TestMoneyBounds(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]verify.Money{
		"9223372036854775807": 0, "92233720368.54775807": 1<<63 - 1, "92233720368.54775808": 0, "-92233720368.54775807": -1<<63 + 1,
		"-0": 0, "0.12345678": 12345678, "1.": 1e8, "9.09": 909e6,
	} {
		if got, err := verify.ParseMoney(text); got != want || (err == nil) == (want == 0 && text != "-0") {
			t.Errorf("ParseMoney(%q) = %d, %v", text, got, err)
		}
	}
	for m, want := range map[verify.Money]string{
		0: "0.00000000", -1: "-0.00000001", 1<<63 - 1: "92233720368.54775807", -1 << 63: "-92233720368.54775808",
	} {
		if got := m.String(); got != want {
			t.Errorf("%d is %s, want %s", int64(m), got, want)
		}
	}
	for _, text := range []string{"1.a", "a.1", "1/", "1:", "1.2.3", "1.-1"} {
		if m, err := verify.ParseMoney(text); err == nil {
			t.Errorf("ParseMoney(%q) = %s", text, m)
		}
	}
}
