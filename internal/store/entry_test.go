package store_test

import (
	"fmt"
	"testing"

	"countersign/internal/store"
	"countersign/internal/verify"
)

func wantEntries(t *testing.T, got []store.Entry, err error, want ...string) {
	t.Helper()
	must(t, err)
	var list []string
	for _, e := range got {
		list = append(list, fmt.Sprintf("%s %d %s", e.Kind, e.Amount, e.SubAccount))
	}
	if fmt.Sprint(list) != fmt.Sprint(want) {
		t.Errorf("the entries are %q, want %q", list, want)
	}
}

// testEntries: the charge of a verification is in the payer's ledger once, before and after
// moves. Carrier costs are not part of the balance.
func testEntries(t *testing.T, db *store.DB) {
	addAccount(t, db, "payer001", 100)
	must(t, db.CreateAccount(t.Context(), store.NewAccount{Account: verify.Account{Key: "child001", Parent: "payer001"}, Secret: "s"}, t0))
	v, err := start(t.Context(), db, verify.Beginning{Request: request("child001", "447700900000"), Price: 30, Payer: "payer001"}, false, at(1))
	must(t, err)
	refused := outcome(v, verify.EventRefused)
	refused.Cost = 7
	v = save(t, db, v.Outcome(refused, onFailure(), at(2)))
	v = save(t, db, v.Withdraw(at(2)))
	v = save(t, db, v.Refund(at(3)))
	want := []string{"top-up 100 ", "charge -30 child001", "carrier-cost -7 child001", "refund 30 child001"}
	all := store.EntryFilter{Account: "payer001", Limit: 10}
	check := func(want ...string) {
		t.Helper()
		got, err := db.Entries(t.Context(), all)
		wantEntries(t, got, err, want...)
		b, ok, err := db.Book(t.Context(), "payer001")
		if err != nil || !ok || b.Balance != 100 || b.Sum != 100 || b.Costs != -7 || b.Entries != len(want) {
			t.Errorf("the book is %+v (%v, %v)", b, ok, err)
		}
	}
	check(want...)
	if v := find(t, db, v.ID); v.Cost() != 7 || v.Events[0].Cost() != 7 {
		t.Errorf("the costs are %d and %d, want 7", v.Cost(), v.Events[0].Cost())
	}
	settle(t, db, at(2), 2, 2)
	check(want...)
	page := store.EntryFilter{Account: "payer001", From: at(1), Until: at(3), Limit: 1}
	got, err := db.Entries(t.Context(), page)
	wantEntries(t, got, err, want[1])
	page.After = &got[0]
	got, err = db.Entries(t.Context(), page)
	wantEntries(t, got, err, want[2])
	page.After = &got[0]
	got, err = db.Entries(t.Context(), page)
	wantEntries(t, got, err)
	got, err = db.NewestEntries(t.Context(), "payer001", 2)
	wantEntries(t, got, err, want[3], want[2])

	settle(t, db, at(2), 10, 1)
	carry(t, db, at(2), 10, 3)
	check("carried 70 ", "carried-cost -7 ", "refund 30 child001")
	if _, ok, err := db.Book(t.Context(), "nobody01"); ok || err != nil {
		t.Errorf("the book of an unknown account: %v, %v", ok, err)
	}
}
