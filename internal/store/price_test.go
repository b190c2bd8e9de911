package store_test

import (
	"errors"
	"fmt"
	"testing"

	"countersign/internal/store"
	"countersign/internal/verify"
)

func wantPrice(t *testing.T, db *store.DB, country, want string) {
	t.Helper()
	list, err := db.PriceList(t.Context())
	must(t, err)
	if got, ok := list.Find("", "447700900000", country, verify.SMS, t0); !ok || got.String() != want {
		t.Errorf("a verification in %q costs %s (%v), want %s", country, got, ok, want)
	}
}

func testPrices(t *testing.T, db *store.DB) {
	// Published prices: 1205, 361 and 361 credits of 0.0001.
	for country, want := range map[string]string{
		"": "0.12050000", "GB": "0.12050000", "ZZ": "0.12050000", "US": "0.03610000", "IN": "0.03610000",
	} {
		wantPrice(t, db, country, want)
	}
	must(t, db.ReplacePrices(t.Context(), "", []verify.Price{{Country: "GB", Amount: 5}, {Amount: 7}, {Country: "AA"}}))
	for country, want := range map[string]string{
		"GB": "0.00000005", "": "0.00000007", "US": "0.00000007", "AA": "0.00000000",
	} {
		wantPrice(t, db, country, want)
	}
	cost := []verify.Price{{Carrier: "a", Prefix: "4477", Channel: verify.SMS, Amount: 3, From: at(1), Until: at(2)}, {Carrier: "a", Prefix: "4477", Channel: verify.SMS, Amount: 4, From: at(2)}}
	must(t, db.ReplacePrices(t.Context(), "a", cost))
	list, err := db.Prices(t.Context())
	if want := append([]verify.Price{{Amount: 7}, {Country: "AA"}, {Country: "GB", Amount: 5}}, cost...); err != nil || fmt.Sprint(list) != fmt.Sprint(want) {
		t.Errorf("Prices = %v, %v; want %v", list, err, want)
	}
	must(t, db.ReplacePrices(t.Context(), "a", nil))
	if list, err := db.Prices(t.Context()); err != nil || len(list) != 3 {
		t.Errorf("without a carrier's list the prices are %v (%v)", list, err)
	}
}

func testReplacePrices(t *testing.T, db *store.DB) {
	before, err := db.Prices(t.Context())
	must(t, err)
	var overlap *verify.OverlapError
	err = db.ReplacePrices(t.Context(), "", []verify.Price{{Amount: 1}, {Country: "GB", Amount: 2}, {Country: "GB", Amount: 3}})
	if !errors.As(err, &overlap) || overlap.First != 1 || overlap.Second != 2 {
		t.Errorf("two prices for one country: %v", err)
	}
	boom := errors.New("boom")
	if err := db.ChangePrices(t.Context(), "", func([]verify.Price) ([]verify.Price, error) { return nil, boom }); !errors.Is(err, boom) {
		t.Errorf("a change with an error: %v", err)
	}
	after, err := db.Prices(t.Context())
	if err != nil || fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("after a refused list: %v, %v; want the previous list %v", after, err, before)
	}
	must(t, db.ReplacePrices(t.Context(), "", nil))
	list, err := db.PriceList(t.Context())
	must(t, err)
	if price, ok := list.Find("", "447700900000", "GB", verify.SMS, t0); ok {
		t.Errorf("without a price list a verification costs %s, want no price", price)
	}
	must(t, db.ReplacePrices(t.Context(), "", []verify.Price{{Amount: verify.Unit}}))
	wantPrice(t, db, "GB", "1.00000000")
}

// TestPriceList: the list contains changes by this process and by another.
func TestPriceList(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"sqlite": sqlite(t), "postgres": postgres(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			here, there := openFile(t, path, key), openFile(t, path, key)
			wantPrice(t, here, "GB", "0.12050000")
			must(t, there.ReplacePrices(t.Context(), "", []verify.Price{{Amount: 5}}))
			wantPrice(t, here, "GB", "0.00000005")
			must(t, here.ReplacePrices(t.Context(), "", []verify.Price{{Amount: 6}}))
			wantPrice(t, here, "GB", "0.00000006")
			wantPrice(t, there, "GB", "0.00000006")
		})
	}
}
