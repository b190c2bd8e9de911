package store_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// testWarned: SetWarned returns first = true exactly for each change of the mark.
func testWarned(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	addAccount(t, db, "demo0002", 0)
	for i, tt := range []struct{ low, first bool }{{false, false}, {true, true}, {true, false}, {false, true}, {false, false}, {true, true}} {
		first, err := db.SetWarned(t.Context(), "demo0001", tt.low, at(float64(i)))
		must(t, err)
		warned, err := db.Warned(t.Context())
		must(t, err)
		if first != tt.first || warned["demo0001"] != tt.low || warned["demo0002"] {
			t.Errorf("step %d, low %t: first %t, warned %v; want first %t", i, tt.low, first, warned, tt.first)
		}
	}
}

// testMessageSettings: only accounts with settings that change messages are listed.
func testMessageSettings(t *testing.T, db *store.DB) {
	want := map[string]func(*verify.Account) error{
		"autofill": func(a *verify.Account) error { a.Settings.Autofill.Domain = "example.com"; return nil },
		"values": func(a *verify.Account) error {
			a.Settings.CarrierValues = verify.CarrierValues{"campaign": "a"}
			return nil
		},
	}
	for _, key := range []string{"autofill", "values", "strict", "none"} {
		addAccount(t, db, key, 0)
	}
	for key, change := range want {
		must(t, db.UpdateAccount(t.Context(), key, change))
	}
	must(t, db.UpdateAccount(t.Context(), "strict", func(a *verify.Account) error { a.Settings.Strict = true; return nil }))
	list, err := db.MessageSettings(t.Context())
	must(t, err)
	if len(list) != 2 || list["autofill"].Autofill.Domain != "example.com" || list["values"].CarrierValues["campaign"] != "a" {
		t.Errorf("the settings are %+v, want Autofill and CarrierValues", list)
	}
}

// testShortage: a refused charge names its limit and does not change the balance.
func testShortage(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 10)
	must(t, db.CreateAccount(t.Context(), store.NewAccount{
		Account: verify.Account{Key: "sub00001", Parent: "demo0001", DailyCap: 6}, Secret: "sub",
	}, t0))
	midnight := t0.Truncate(24*time.Hour).AddDate(0, 0, 1)
	for name, tt := range map[string]struct {
		account, payer string
		price          verify.Money
		onCredit       bool
		want           *verify.Cause // nil for no shortage
		err            error
	}{
		"unknown":      {"unknown1", "unknown1", 1, false, nil, store.ErrNoAccount},
		"no payer":     {"demo0001", "unknown1", 1, false, nil, store.ErrNoAccount},
		"balance":      {"demo0001", "demo0001", 11, false, &verify.Cause{Rule: verify.RuleBalance, Count: 11, Limit: 10}, nil},
		"all of it":    {"demo0001", "demo0001", 10, false, nil, nil},
		"on credit":    {"demo0001", "demo0001", 11, true, nil, nil},
		"daily cap":    {"sub00001", "demo0001", 7, false, &verify.Cause{Rule: verify.RuleDailyCap, Count: 7, Limit: 6, Until: midnight}, nil},
		"all of a cap": {"sub00001", "demo0001", 6, false, nil, nil},
	} {
		err := db.Write(t.Context(), store.Scope{}, func(tx *store.Tx) error {
			funds, err := tx.Funds(tt.account, tt.payer, tt.onCredit)
			if err != nil {
				return err
			}
			if by := funds.Shortage(tt.price, t0); !reflect.DeepEqual(by, tt.want) {
				t.Errorf("%s: %+v, want %+v", name, by, tt.want)
			}
			return nil
		})
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, want %v", name, err, tt.err)
		}
	}
	wantBalance(t, db, "demo0001", 10, 0)
}

// testWriteLimited: nodes that share a database refuse a write over an account's limit
// without running it. A second later it is accepted. An SQLite file, which has one server,
// refuses none.
func testWriteLimited(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	addAccount(t, db, "demo0002", 0)
	ran := 0
	write := func(account string, now time.Time, refused bool) {
		t.Helper()
		before := ran
		limit := &store.Limit{Account: account, PerSecond: 2, Now: func() time.Time { return now }}
		err := db.Write(t.Context(), store.Scope{Limit: limit}, func(*store.Tx) error {
			ran++
			return nil
		})
		if refused = refused && db.Shared(); errors.Is(err, store.ErrRate) != refused || refused == (ran > before) || !refused && err != nil {
			t.Errorf("a write of %s at %s: %v, run %d times; want refused: %t", account, now, err, ran-before, refused)
		}
	}
	write("demo0001", t0, false)
	write("demo0001", t0, false)
	write("demo0001", t0, true)
	write("demo0002", t0, false)
	write("demo0001", at(0.9), true)
	write("demo0001", at(1.1), false)
}

// testBlockedNumber: an entry of the block list is found by any form of its number.
func testBlockedNumber(t *testing.T, db *store.DB) {
	const mobile, landline = "5491123456789", "541123456789"
	if b, ok, err := db.BlockedNumber(t.Context(), mobile); ok || err != nil {
		t.Errorf("an empty list has %+v (%v)", b, err)
	}
	want := store.BlockedNumber{Number: landline, Reason: "abuse", CreatedAt: at(1)}
	must(t, db.BlockNumber(t.Context(), want))
	for _, number := range []string{mobile, landline} {
		if b, ok, err := db.BlockedNumber(t.Context(), number); b != want || !ok || err != nil {
			t.Errorf("BlockedNumber(%s) = %+v, %t, %v; want %+v", number, b, ok, err, want)
		}
	}
}

// testLoadUnknown: a verification that does not exist is not loaded. Running loads neither a
// verification that has ended nor one of another account.
func testLoadUnknown(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	addAccount(t, db, "demo0002", 0)
	v := begin(t, db, request("demo0001", "447700900000"), t0)
	ended := begin(t, db, request("demo0001", "447700900001"), t0)
	save(t, db, ended.Withdraw(at(1)))
	for name, tt := range map[string]struct {
		load func(tx *store.Tx) (verify.Verification, bool, error)
		want bool
	}{
		"Verification":                      {func(tx *store.Tx) (verify.Verification, bool, error) { return tx.Verification(v.ID) }, true},
		"Verification of an unknown id":     {func(tx *store.Tx) (verify.Verification, bool, error) { return tx.Verification(verify.ID{1}) }, false},
		"Verification without an id":        {func(tx *store.Tx) (verify.Verification, bool, error) { return tx.Verification(verify.ID{}) }, false},
		"FreeVerification":                  {func(tx *store.Tx) (verify.Verification, bool, error) { return tx.FreeVerification(v.ID) }, true},
		"FreeVerification of an unknown id": {func(tx *store.Tx) (verify.Verification, bool, error) { return tx.FreeVerification(verify.ID{1}) }, false},
		"Running": {func(tx *store.Tx) (verify.Verification, bool, error) {
			return tx.Running("demo0001", verify.PhoneAddress("447700900000", ""))
		}, true},
		"Running of a number that has ended": {func(tx *store.Tx) (verify.Verification, bool, error) {
			return tx.Running("demo0001", verify.PhoneAddress("447700900001", ""))
		}, false},
		"Running of another account": {func(tx *store.Tx) (verify.Verification, bool, error) {
			return tx.Running("demo0002", verify.PhoneAddress("447700900000", ""))
		}, false},
		"db.Verification":                  {func(*store.Tx) (verify.Verification, bool, error) { return db.Verification(t.Context(), v.ID) }, true},
		"db.Verification of an unknown id": {func(*store.Tx) (verify.Verification, bool, error) { return db.Verification(t.Context(), verify.ID{1}) }, false},
	} {
		scopes := []store.Scope{{}, {Verification: v.ID}, {Verification: verify.ID{1}}, {Changes: v.ID}, {Number: v.To.Given, Begins: "demo0002", Account: "demo0002"}}
		for _, scope := range scopes {
			must(t, db.Write(t.Context(), scope, func(tx *store.Tx) error {
				got, ok, err := tt.load(tx)
				if ok != tt.want || ok && got.ID != v.ID {
					t.Errorf("%s in %+v: %v, want %v", name, scope, ok, tt.want)
				}
				return err
			}))
		}
	}
}
