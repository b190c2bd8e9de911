package store_test

import (
	"fmt"
	"testing"

	"countersign/internal/store"
)

func testNumbers(t *testing.T, db *store.DB) {
	blocked := func(number string) bool {
		t.Helper()
		is, err := db.Blocked(t.Context(), number)
		must(t, err)
		return is
	}
	if blocked("447700900007") {
		t.Error("an empty list blocks a number")
	}
	for _, b := range []store.BlockedNumber{
		{Number: "447700900008", Reason: "second", CreatedAt: at(1)},
		{Number: "447700900007", Reason: "first", CreatedAt: t0},
		{Number: "447700900007", Reason: "again", CreatedAt: at(2)}, // keeps its date
	} {
		must(t, db.BlockNumber(t.Context(), b))
	}
	if !blocked("447700900007") || blocked("44770090000") || blocked("4477009000070") {
		t.Error("the number is not blocked, or a number with the same prefix is")
	}
	list, err := db.BlockedNumbers(t.Context())
	must(t, err)
	want := []store.BlockedNumber{
		{Number: "447700900007", Reason: "again", CreatedAt: t0},
		{Number: "447700900008", Reason: "second", CreatedAt: at(1)},
	}
	if fmt.Sprint(list) != fmt.Sprint(want) {
		t.Errorf("the list is %v, want %v", list, want)
	}
	for _, want := range []bool{true, false} { // the second time the number is not on the list
		if found, err := db.UnblockNumber(t.Context(), "447700900007"); found != want || err != nil {
			t.Errorf("UnblockNumber = %v, %v; want %v", found, err, want)
		}
	}
	if blocked("447700900007") || !blocked("447700900008") {
		t.Error("the number is still blocked, or the other one no longer is")
	}
}

// A phone with two international forms is blocked in both, for either given form.
func testNumberForms(t *testing.T, db *store.DB) {
	const mobile, landline = "5491123456789", "541123456789"
	for _, entered := range []string{mobile, landline} {
		must(t, db.BlockNumber(t.Context(), store.BlockedNumber{Number: entered, CreatedAt: t0}))
		for _, number := range []string{mobile, landline} {
			if is, err := db.Blocked(t.Context(), number); !is || err != nil {
				t.Errorf("%s is blocked, but Blocked(%s) = %v, %v", entered, number, is, err)
			}
		}
		other := map[string]string{mobile: landline, landline: mobile}[entered]
		if found, err := db.UnblockNumber(t.Context(), other); !found || err != nil {
			t.Errorf("UnblockNumber(%s) = %v, %v after blocking %s", other, found, err, entered)
		}
		if is, err := db.Blocked(t.Context(), entered); is || err != nil {
			t.Errorf("%s is still blocked: %v", entered, err)
		}
	}
	sendOne(t, db, store.Scope{Number: mobile}, mobile, "demo0001")
	sendOne(t, db, store.Scope{Number: landline}, landline, "demo0001")
	for _, number := range []string{mobile, landline} {
		if n := historyOf(t, db, number); len(n.Uses) != 1 || len(n.Uses[0].Sends) != 2 {
			t.Errorf("the history of %s is %+v, want 2 messages", number, n)
		}
	}
}
