package store_test

import (
	"errors"
	"testing"
	"time"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// testWarned: one of two nodes that find a low balance is the first, and again after the
// balance was found to be good.
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
		t.Errorf("the settings are %+v, want those of autofill and values", list)
	}
}

// testShortage: the limit that refuses a charge is named, and the balance stays.
func testShortage(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 10)
	must(t, db.CreateAccount(t.Context(), store.NewAccount{
		Account: verify.Account{Key: "sub00001", Parent: "demo0001", DailyCap: 6}, Secret: "sub",
	}, t0))
	midnight := t0.Truncate(24*time.Hour).AddDate(0, 0, 1)
	for name, tt := range map[string]struct {
		account string
		price   verify.Money
		payer   store.Payer
		want    verify.Cause // zero for no shortage
		err     error
	}{
		"free":         {"unknown1", 0, store.Payer{}, verify.Cause{}, nil},
		"unknown":      {"unknown1", 1, store.Payer{}, verify.Cause{}, store.ErrNoAccount},
		"no payer":     {"demo0001", 1, store.Payer{Account: "unknown1"}, verify.Cause{}, store.ErrNoAccount},
		"balance":      {"demo0001", 11, store.Payer{}, verify.Cause{Rule: verify.RuleBalance, Count: 11, Limit: 10}, nil},
		"all of it":    {"demo0001", 10, store.Payer{}, verify.Cause{}, nil},
		"on credit":    {"demo0001", 11, store.Payer{OnCredit: true}, verify.Cause{}, nil},
		"daily cap":    {"sub00001", 7, store.Payer{Account: "demo0001"}, verify.Cause{Rule: verify.RuleDailyCap, Count: 7, Limit: 6, Until: midnight}, nil},
		"all of a cap": {"sub00001", 6, store.Payer{Account: "demo0001"}, verify.Cause{}, nil},
	} {
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			by, short, err := tx.Shortage(priced(tt.account, tt.price), tt.payer, t0)
			if by != tt.want || short != (tt.want != verify.Cause{}) {
				t.Errorf("%s: %+v, %t; want %+v", name, by, short, tt.want)
			}
			return err
		})
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, want %v", name, err, tt.err)
		}
	}
	wantBalance(t, db, "demo0001", 10, 0)
}

// testWriteLimited: nodes that share a database refuse the write over an account's limit. It is
// not carried out, and passes again a second later. With a file, which has one server, all pass.
func testWriteLimited(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	addAccount(t, db, "demo0002", 0)
	ran := 0
	write := func(account string, now time.Time, refused bool) {
		t.Helper()
		before := ran
		err := db.WriteLimited(t.Context(), store.Limit{Account: account, PerSecond: 2, Now: func() time.Time { return now }}, func(*store.Tx) error {
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
		t.Errorf("in an empty list there is %+v (%v)", b, err)
	}
	want := store.BlockedNumber{Number: landline, Reason: "abuse", CreatedAt: at(1)}
	must(t, db.BlockNumber(t.Context(), want))
	for _, number := range []string{mobile, landline} {
		if b, ok, err := db.BlockedNumber(t.Context(), number); b != want || !ok || err != nil {
			t.Errorf("BlockedNumber(%s) = %+v, %t, %v; want %+v", number, b, ok, err, want)
		}
	}
}

// testLoadUnknown: a verification that does not exist, or belongs to another account, is not
// loaded. Running does not load a verification that has ended.
func testLoadUnknown(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	row, _ := insert(t, db, request("demo0001", "447700900000"), t0)
	ended, _ := insert(t, db, request("demo0001", "447700900001"), t0)
	ended.Verification = ended.At(at(1e6))
	write(t, db, func(tx *store.Tx) error { return tx.Save(ended) })
	for name, tt := range map[string]struct {
		load func(tx *store.Tx) (*store.Row, bool, error)
		want bool
	}{
		"Get":                    {func(tx *store.Tx) (*store.Row, bool, error) { return tx.Get("demo0001", row.ID) }, true},
		"Get of another account": {func(tx *store.Tx) (*store.Row, bool, error) { return tx.Get("demo0002", row.ID) }, false},
		"Get of an unknown id":   {func(tx *store.Tx) (*store.Row, bool, error) { return tx.Get("demo0001", verify.ID{1}) }, false},
		"Find":                   {func(tx *store.Tx) (*store.Row, bool, error) { return tx.Find(row.ID) }, true},
		"Find an unknown id":     {func(tx *store.Tx) (*store.Row, bool, error) { return tx.Find(verify.ID{1}) }, false},
		"FindFree":               {func(tx *store.Tx) (*store.Row, bool, error) { return tx.FindFree(row.ID) }, true},
		"FindFree unknown":       {func(tx *store.Tx) (*store.Row, bool, error) { return tx.FindFree(verify.ID{1}) }, false},
		"Running":                {func(tx *store.Tx) (*store.Row, bool, error) { return tx.Running("demo0001", "447700900000") }, true},
		"Running of an ended":    {func(tx *store.Tx) (*store.Row, bool, error) { return tx.Running("demo0001", "447700900001") }, false},
		"Running of another":     {func(tx *store.Tx) (*store.Row, bool, error) { return tx.Running("demo0002", "447700900000") }, false},
	} {
		write(t, db, func(tx *store.Tx) error {
			r, ok, err := tt.load(tx)
			if ok != tt.want || ok && r.ID != row.ID {
				t.Errorf("%s: %v, want %v", name, ok, tt.want)
			}
			return err
		})
	}
}
