package store_test

import (
	"fmt"
	"testing"

	"countersign/internal/store"
	"countersign/internal/verify"
)

func wantPrice(t *testing.T, db *store.DB, country, want string) {
	t.Helper()
	got, err := db.Price(t.Context(), country)
	if err != nil || got.String() != want {
		t.Errorf("a verification in %q costs %s (%v), want %s", country, got, err, want)
	}
}

func testPrices(t *testing.T, db *store.DB) {
	// The published ones: 1205, 361 and 361 credits of 0.0001.
	for country, want := range map[string]string{
		"": "0.12050000", "GB": "0.12050000", "ZZ": "0.12050000", "US": "0.03610000", "IN": "0.03610000",
	} {
		wantPrice(t, db, country, want)
	}
	must(t, db.ReplacePrices(t.Context(), []store.Price{{Country: "GB", Amount: 5}, {Amount: 7}, {Country: "AA"}}))
	for country, want := range map[string]string{
		"GB": "0.00000005", "": "0.00000007", "US": "0.00000007", "AA": "0.00000000",
	} {
		wantPrice(t, db, country, want)
	}
	list, err := db.Prices(t.Context())
	if want := []store.Price{{Amount: 7}, {Country: "AA"}, {Country: "GB", Amount: 5}}; err != nil || fmt.Sprint(list) != fmt.Sprint(want) {
		t.Errorf("Prices = %v, %v; want %v", list, err, want)
	}
}

func testReplacePrices(t *testing.T, db *store.DB) {
	before, err := db.Prices(t.Context())
	must(t, err)
	if err := db.ReplacePrices(t.Context(), []store.Price{{Amount: 1}, {Country: "GB", Amount: 2}, {Country: "GB", Amount: 3}}); err == nil {
		t.Error("two prices for one country were accepted")
	}
	after, err := db.Prices(t.Context())
	if err != nil || fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("after a list that failed: %v, %v; want the old one %v", after, err, before)
	}
	must(t, db.ReplacePrices(t.Context(), nil))
	if price, err := db.Price(t.Context(), "GB"); err == nil {
		t.Errorf("without a price list a verification costs %s, want an error", price)
	}
	must(t, db.ReplacePrices(t.Context(), []store.Price{{Amount: verify.Unit}}))
	wantPrice(t, db, "GB", "1.00000000")
}
