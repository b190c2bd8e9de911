package store_test

import (
	"reflect"
	"testing"

	"countersign/internal/store"
	"countersign/internal/verify"
)

func testChecks(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	row, _ := insert(t, db, request("demo0001", "447700900000"), t0)
	other, _ := insert(t, db, request("demo0001", "447700900001"), t0)
	code := func(s string) verify.PIN {
		pin, ok := verify.ParsePIN(s)
		if !ok {
			t.Fatalf("%q is no code", s)
		}
		return pin
	}
	want := []verify.Check{ // the order is that of writing, not of time
		{Verification: row.ID, Generation: 1, Code: code("0000"), IPAddress: "192.0.2.1", ReceivedAt: at(9)},
		{Verification: row.ID, Generation: 1, Code: code("aB3456"), ReceivedAt: at(8)},
		{Verification: row.ID, Generation: 2, Code: code("1234567890"), Valid: true, IPAddress: "2001:db8::1", ReceivedAt: at(8)},
	}
	for _, c := range want {
		write(t, db, func(tx *store.Tx) error { return tx.AddCheck(c) })
		write(t, db, func(tx *store.Tx) error {
			c.Verification = other.ID
			return tx.AddCheck(c)
		})
	}
	if got := record(t, db, "demo0001", row.ID).CheckList; !reflect.DeepEqual(got, want) {
		t.Errorf("checks %+v, want %+v", got, want)
	}
	if got := record(t, db, "demo0001", other.ID).CheckList; len(got) != len(want) {
		t.Errorf("the other verification has %d checks, want %d", len(got), len(want))
	}
}
