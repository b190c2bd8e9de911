package store_test

import (
	"crypto/rand"
	"slices"
	"testing"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// testFindVerifications: verifications are found by number, account and time, in the table
// of requests and in the archive.
func testFindVerifications(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	addAccount(t, db, "demo0002", 0)
	const number, other = "447700900000", "447700900001"
	past := cancelled(t, db, sent(t, db, request("demo0001", number), t0), at(31))
	if moved, err := db.Archive(t.Context(), store.Cutoffs{Codes: at(31)}, 10); moved != 1 || err != nil {
		t.Fatalf("%d were archived (%v), want 1", moved, err)
	}
	running := begin(t, db, request("demo0001", number), at(60))
	theirs := begin(t, db, request("demo0002", number), at(61))
	apart := begin(t, db, request("demo0001", other), at(62))

	for name, tt := range map[string]struct {
		filter store.VerificationFilter
		want   []verify.ID
	}{
		"number":  {store.VerificationFilter{Number: number}, []verify.ID{theirs.ID, running.ID, past.ID}},
		"account": {store.VerificationFilter{Account: "demo0001"}, []verify.ID{apart.ID, running.ID, past.ID}},
		"both":    {store.VerificationFilter{Number: number, Account: "demo0002"}, []verify.ID{theirs.ID}},
		"time":    {store.VerificationFilter{Since: t0, Until: at(61)}, []verify.ID{running.ID, past.ID}},
		"limit":   {store.VerificationFilter{Limit: 1}, []verify.ID{apart.ID}},
		"none":    {store.VerificationFilter{Number: "447700900099"}, nil},
	} {
		f := tt.filter
		if f.Until.IsZero() {
			f.Since, f.Until = at(-1), at(100)
		}
		if f.Limit == 0 {
			f.Limit = 10
		}
		list, err := db.FindVerifications(t.Context(), f)
		must(t, err)
		var got []verify.ID
		for _, r := range list {
			got = append(got, r.ID)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
	for _, want := range []verify.Verification{past, theirs} {
		if v, ok, err := db.Verification(t.Context(), want.ID); !ok || err != nil || v.Account != want.Account || len(v.Events) != 1 {
			t.Errorf("%s: %v, %v, %+v", want.ID, ok, err, v)
		}
	}
	if _, ok, err := db.Verification(t.Context(), verify.NewID(rand.Reader)); ok || err != nil {
		t.Errorf("an unknown id: %v, %v", ok, err)
	}
}
