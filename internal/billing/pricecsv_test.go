package billing_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"countersign/internal/billing"
	"countersign/internal/verify"
)

func day(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

func TestReadPrices(t *testing.T) {
	t.Parallel()
	now := day(2026, 2, 1)
	tests := []struct {
		name, text string
		want       []verify.Price // nil for an error
		wantErr    string
	}{
		{"OK", "country,price\n*,0.1205\nUS,0.0361\n", []verify.Price{{Amount: 12050000}, {Country: "US", Amount: 3610000}}, ""},
		{"NoHeader", "US,1\n*,0\n", []verify.Price{{Country: "US", Amount: 1e8}, {}}, ""},
		{"Untidy", "Country, Price\n us , 1 \n\n\"*\",\"0.00000001\"", []verify.Price{{Country: "US", Amount: 1e8}, {Amount: 1}}, ""},
		{"ByteOrderMark", "\ufeffcountry,price\n*,1\n", []verify.Price{{Amount: 1e8}}, ""},
		{"ErrEmpty", "", nil, "all other countries"},
		{"ErrHeaderOnly", "country,price\n", nil, "all other countries"},
		{"ErrNoOthers", "US,1\n", nil, "all other countries"},
		{"ErrTwice", "*,1\nUS,1\nus,2\n", nil, "line 3: price for US overlaps with line 2"},
		{"ErrOthersTwice", "*,1\n*,2\n", nil, "line 2: price for * overlaps with line 1"},
		{"ErrHeaderLater", "*,1\ncountry,price\n", nil, `line 2: "country"`},
		{"ErrCountry", "*,1\nUSA,1\n", nil, `line 2: "USA" is not a country`},
		{"ErrNoSuchCountry", "*,1\nXX,1\n", nil, `line 2: "XX" is not a country`},
		{"ErrReservedCountry", "*,1\nAA,1\n", nil, `line 2: "AA" is not a country`},
		{"ErrNoCountry", "*,1\n,1\n", nil, "line 2"},
		{"ErrNegative", "*,-1\n", nil, `line 1: "-1" is not a price`},
		{"ErrPrice", "*,1\n\nUS,one\n", nil, `line 3: "one" is not a price`},
		{"ErrNoPrice", "*,\n", nil, "line 1"},
		{"ErrTooFine", "*,0.000000001\n", nil, "line 1"},
		{"ErrOneField", "*,1\nUS\n", nil, "line 2"},
		{"ErrThreeFields", "*,1\nUS,1,2\n", nil, "line 2"},
		{"Columns", "prefix,price,channel,country,valid_from,valid_until\n,1,,*,,\n4477,2,sms,,2026-03-01,2026-04-01T00:00:00+02:00\n+4477,3,SMS,,2026-03-31T22:00:00Z,\n", []verify.Price{
			{Amount: 1e8},
			{Prefix: "4477", Channel: verify.SMS, Amount: 2e8, From: day(2026, 3, 1), Until: day(2026, 3, 31).Add(22 * time.Hour)},
			{Prefix: "4477", Channel: verify.SMS, Amount: 3e8, From: day(2026, 3, 31).Add(22 * time.Hour)},
		}, ""},
		{"OthersInTurn", "country,price,valid_until,valid_from\n*,1,2026-03-01,\n*,2,,2026-03-01\n", []verify.Price{
			{Amount: 1e8, Until: day(2026, 3, 1)}, {Amount: 2e8, From: day(2026, 3, 1)},
		}, ""},
		{"ErrOthersOver", "country,price,valid_until\n*,1,2026-01-01\n", nil, "all other countries"},
		{"ErrOthersEnd", "country,price,valid_until\n*,1,2026-03-01\n", nil, "all other countries (*) from 2026-03-01T00:00:00Z on"},
		{"ErrOthersGap", "country,price,valid_until,valid_from\n*,1,2026-03-01,\n*,2,,2026-03-02\n", nil, "from 2026-03-01T00:00:00Z on"},
		{"ErrOthersByChannel", "country,price,channel\n*,1,sms\n*,1,tts\n", nil, "all other countries"},
		{"ErrOverlap", "country,price,valid_from,valid_until\n*,1,,\nGB,1,2026-01-01,2026-06-01\nGB,2,2026-05-31,\n", nil, "line 4: price for GB overlaps with line 3"},
		{"ErrOverlapPrefix", "country,prefix,price\n*,,1\n,44,1\n,44,2\n", nil, "line 4: price for prefix 44 overlaps with line 3"},
		{"ErrColumn", "country,cost\n*,1\n", nil, `line 1: unknown column "cost"`},
		{"ErrColumnTwice", "country,price,price\n*,1,1\n", nil, "line 1: duplicate column price"},
		{"ErrNoPriceColumn", "country,prefix\n*,1\n", nil, "line 1: required columns: price, and country or prefix"},
		{"ErrBoth", "country,prefix,price\n*,,1\nGB,44,1\n", nil, "line 3: set country or prefix, not both"},
		{"ErrOthersPrefix", "country,prefix,price\n*,44,1\n", nil, "line 2: set country or prefix, not both"},
		{"ErrNeither", "country,prefix,price\n*,,1\n,,1\n", nil, "line 3: country (* for all others) or prefix is required"},
		{"ErrPrefix", "country,prefix,price\n*,,1\n,044,1\n", nil, `line 3: "044" is not the first digits`},
		{"ErrPrefixLetters", "country,prefix,price\n*,,1\n,44a,1\n", nil, `line 3: "44a"`},
		{"ErrChannel", "country,channel,price\n*,,1\nGB,fax,1\n", nil, `line 3: channel "fax"`},
		{"ErrDate", "country,price,valid_from\n*,1,\nGB,1,31.12.2026\n", nil, "line 3: valid_from"},
		{"ErrDatesTurned", "country,price,valid_from,valid_until\n*,1,,\nGB,1,2026-02-01,2026-02-01\n", nil, "line 3: valid_until must be after"},
		{"ErrTooDear", "*,1000001\n", nil, "out of range"},
		{"ErrQuotes", "*,1\n\"US,1\n", nil, "line 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := billing.ReadPrices(strings.NewReader(tt.text), "", now)
			if tt.want == nil && (err == nil || !strings.Contains(err.Error(), tt.wantErr)) {
				t.Errorf("got %v, %v; want an error with %q", got, err, tt.wantErr)
			}
			if tt.want != nil && (err != nil || fmt.Sprint(got) != fmt.Sprint(tt.want)) {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

// TestWritePrices: written prices are read back unchanged.
func TestWritePrices(t *testing.T) {
	t.Parallel()
	for _, list := range [][]verify.Price{
		{{Amount: 1}, {Country: "GB", Amount: 2}},
		{{Amount: 1, Until: day(2026, 3, 1)}, {Amount: 2, From: day(2026, 3, 1)}, {Prefix: "1242", Channel: verify.TTS, Amount: 9, From: day(2026, 3, 1).Add(time.Millisecond)}},
	} {
		var text strings.Builder
		if err := billing.WritePrices(&text, list); err != nil {
			t.Fatal(err)
		}
		got, err := billing.ReadPrices(strings.NewReader(text.String()), "", day(2026, 2, 1))
		if err != nil || fmt.Sprint(got) != fmt.Sprint(list) {
			t.Errorf("%q is read as %v (%v), want %v", text.String(), got, err, list)
		}
	}
}
