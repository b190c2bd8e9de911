package store_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// addChild makes an account that uses the balance of another.
func addChild(t *testing.T, db *store.DB, key, parent string) {
	t.Helper()
	must(t, db.CreateAccount(t.Context(), store.NewAccount{Account: verify.Account{Key: key, Parent: parent}, Secret: "s"}, t0))
}

func setCap(t *testing.T, db *store.DB, key string, amount verify.Money) {
	t.Helper()
	must(t, db.UpdateAccount(t.Context(), key, func(a *verify.Account) error {
		a.DailyCap = amount
		return nil
	}))
}

// chargeAt begins a verification with a price at a time.
func chargeAt(t *testing.T, db *store.DB, b verify.Beginning, onCredit bool, now time.Time) error {
	_, err := start(t.Context(), db, b, onCredit, now)
	return err
}

// by sets another account as the payer.
func by(payer string, b verify.Beginning) verify.Beginning {
	b.Payer = payer
	return b
}

func wantSpent(t *testing.T, db *store.DB, key string, now time.Time, want verify.Money) {
	t.Helper()
	if got, err := db.Spent(t.Context(), key, now); err != nil || got != want {
		t.Errorf("%s spent %s (%v) on the day of %s, want %s", key, got, err, now, want)
	}
}

// testSubAccounts: the parent pays, once, and its balance is the balance of its
// sub-accounts.
func testSubAccounts(t *testing.T, db *store.DB) {
	addAccount(t, db, "parent01", 100)
	addChild(t, db, "child001", "parent01")
	addChild(t, db, "child002", "parent01")
	pay := func(account string, price verify.Money, onCredit bool) error {
		return chargeAt(t, db, by("parent01", priced(account, price)), onCredit, t0)
	}
	must(t, pay("child001", 30, false))
	must(t, pay("child002", 10, false))
	must(t, pay("parent01", 5, false))
	if err := pay("child001", 56, false); !isNoCredit(err) {
		t.Errorf("more than the parent has: %v", err)
	}
	wantBalance(t, db, "parent01", 55, 3)
	must(t, db.Credit(t.Context(), "child002", 45, t0))
	must(t, pay("child001", 100, false))
	wantBalance(t, db, "parent01", 0, 4)
	if err := pay("child001", 1, false); !isNoCredit(err) {
		t.Errorf("without balance: %v", err)
	}
	must(t, pay("child001", 1, true))
	list, err := db.Accounts(t.Context())
	must(t, err)
	for _, a := range list {
		if sum, _, err := db.LedgerSum(t.Context(), a.Key); a.Balance != -1 || a.Payer() != "parent01" || err != nil || (a.Key != "parent01" && sum != 0) {
			t.Errorf("%s: balance %s of %s, ledger %s (%v); want -0.00000001 of parent01", a.Key, a.Balance, a.Payer(), sum, err)
		}
	}
	must(t, db.SetUnlimited(t.Context(), "parent01", true))
	if c, err := db.Credentials(t.Context(), "child001"); err != nil || !c.OnCredit() || c.Unlimited {
		t.Errorf("the parent is unlimited, the child is not on credit: %+v, %v", c.Account, err)
	}
}

// testDailyCap: spending on a day in UTC counts for the account and for its payer.
func testDailyCap(t *testing.T, db *store.DB) {
	addAccount(t, db, "parent01", 1000)
	addChild(t, db, "child001", "parent01")
	addAccount(t, db, "single01", 1000)
	setCap(t, db, "single01", 50)
	setCap(t, db, "child001", 30)
	setCap(t, db, "parent01", 50)
	last := time.Date(2026, 1, 2, 23, 59, 59, 999e6, time.UTC)
	tests := []struct {
		name, account string
		price         verify.Money
		now           time.Time
		refused       bool
	}{
		{"Single", "single01", 40, t0, false},
		{"SingleOneTooMuch", "single01", 11, t0, true},
		{"SingleToTheLast", "single01", 10, last, false},
		{"SingleFull", "single01", 1, last, true},
		{"SingleNextDay", "single01", 50, last.Add(time.Millisecond), false},
		{"SingleFromBehindMidnight", "single01", 1, last, true},
		{"SingleNextDayFull", "single01", 1, at(24 * 3600), true},
		{"SingleFarBack", "single01", 50, t0.Add(-48 * time.Hour), false}, // the other clock was wrong

		{"Child", "child001", 30, t0, false},
		{"ChildFull", "child001", 1, t0, true},
		{"ParentToo", "parent01", 20, t0, false},
		{"ParentFull", "parent01", 1, t0, true},
		{"ParentNextDay", "parent01", 45, at(24 * 3600), false},
		{"ChildFillsParent", "child001", 5, at(24 * 3600), false},
		{"ChildWithinItsOwn", "child001", 1, at(24 * 3600), true},
	}
	for _, tt := range tests {
		b := priced(tt.account, tt.price)
		if tt.account == "child001" {
			b.Payer = "parent01"
		}
		if err := chargeAt(t, db, b, true, tt.now); isNoCredit(err) != tt.refused || !tt.refused && err != nil {
			t.Errorf("%s: %v, want it refused: %v", tt.name, err, tt.refused)
		}
	}
	wantSpent(t, db, "child001", at(24*3600), 5)
	wantSpent(t, db, "parent01", at(24*3600), 50)
	wantSpent(t, db, "parent01", at(3*24*3600), 0)
	if _, err := db.Spent(t.Context(), "nobody00", t0); !errors.Is(err, store.ErrNoAccount) {
		t.Errorf("an unknown account: %v", err)
	}
	wantBalance(t, db, "single01", 850, 4)
	wantBalance(t, db, "parent01", 900, 4)
}

// holdAt begins a verification and charges its price with the success.
func holdAt(t *testing.T, db *store.DB, b verify.Beginning, onCredit bool, now time.Time) error {
	b.OnSuccess = true
	return chargeAt(t, db, b, onCredit, now)
}

// testHold: a price that is charged with the success counts for the daily caps once, when
// the verification begins. A refused start does not count.
func testHold(t *testing.T, db *store.DB) {
	addAccount(t, db, "parent01", 100)
	addChild(t, db, "child001", "parent01")
	setCap(t, db, "child001", 40)
	setCap(t, db, "parent01", 90)
	hold := func(account string, price verify.Money, now time.Time) error {
		return holdAt(t, db, by("parent01", priced(account, price)), false, now)
	}
	refused := func(what, account string, price verify.Money, now time.Time) {
		t.Helper()
		if err := hold(account, price, now); !isNoCredit(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	v, err := start(t.Context(), db, verify.Beginning{Request: request("child001", "447700900009"), Price: 30, Payer: "parent01", OnSuccess: true}, false, t0)
	must(t, err)
	wantBalance(t, db, "parent01", 100, 0)
	for _, account := range []string{"parent01", "child001"} {
		wantSpent(t, db, account, t0, 30)
	}
	refused("more than the child's cap", "child001", 11, t0)
	must(t, hold("parent01", 60, t0))
	refused("more than the parent's cap", "parent01", 1, t0)
	refused("the child's, more than the parent's cap", "child001", 1, t0)
	v = checked(t, db, v, v.PIN, "", at(1))
	if !v.Paid {
		t.Error("the success is not charged")
	}
	wantBalance(t, db, "parent01", 70, 1)
	wantSpent(t, db, "parent01", t0, 90)
	wantSpent(t, db, "child001", t0, 30)
	refused("more than the balance", "child001", 71, at(24*3600))
	must(t, hold("child001", 5, at(24*3600)))
	was := begin(t, db, request("child001", "447700900000"), at(24*3600))
	again := verify.Beginning{Request: was.Request, Price: 5, Payer: "parent01"}
	for _, tt := range []func(*testing.T, *store.DB, verify.Beginning, bool, time.Time) error{chargeAt, holdAt} {
		if err := tt(t, db, again, false, at(24*3600)); !isRefusal(err, verify.KindConcurrent) {
			t.Errorf("one is in progress: %v", err)
		}
	}
	wantSpent(t, db, "child001", at(24*3600), 5)
	wantBalance(t, db, "parent01", 70, 1)
}

// testDailyCapParallel: concurrent charges, immediate or later, do not exceed a cap.
func testDailyCapParallel(t *testing.T, db *store.DB) {
	addAccount(t, db, "parent01", 1000)
	addChild(t, db, "child001", "parent01")
	addChild(t, db, "child002", "parent01")
	setCap(t, db, "parent01", 10)
	setCap(t, db, "child001", 4)
	var (
		wg   sync.WaitGroup
		paid atomic.Int32
	)
	for i := range 60 {
		wg.Go(func() {
			account := []string{"parent01", "child001", "child002"}[i%3]
			pay := chargeAt
			if i%2 == 1 {
				pay = holdAt
			}
			switch err := pay(t, db, by("parent01", priced(account, 1)), false, t0); {
			case err == nil:
				paid.Add(1)
			case !isNoCredit(err):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if paid.Load() != 10 {
		t.Errorf("%d were paid, the cap is 10", paid.Load())
	}
	if sum, charges, err := db.LedgerSum(t.Context(), "parent01"); err != nil || sum != 1000-verify.Money(charges) || charges > 10 {
		t.Errorf("the sum of the ledger is %s after %d charges (%v)", sum, charges, err)
	}
	wantSpent(t, db, "parent01", t0, 10)
	if spent, err := db.Spent(t.Context(), "child001", t0); err != nil || spent > 4 {
		t.Errorf("child001 spent %s (%v), its cap is 0.00000004", spent, err)
	}
}

// TestNodesDailyCap: concurrent charges on two nodes, for a parent and its sub-accounts, do
// not exceed a cap while the settings of the accounts change.
func TestNodesDailyCap(t *testing.T) {
	t.Parallel()
	nodes := twoNodes(t)
	addAccount(t, nodes[0], "parent01", 1000)
	addChild(t, nodes[0], "child001", "parent01")
	addChild(t, nodes[0], "another1", "parent01") // before its parent in the order of keys
	setCap(t, nodes[0], "parent01", 100)
	setCap(t, nodes[0], "child001", 40)
	setCap(t, nodes[0], "another1", 90)
	accounts := []string{"parent01", "child001", "another1"}
	var paid atomic.Int32
	each(nodes, 600, func(db *store.DB, i int) {
		account := accounts[i%len(accounts)]
		if i%50 == 0 {
			if err := db.UpdateAccount(t.Context(), account, func(a *verify.Account) error { a.Settings.MinCodeLength = 4; return nil }); err != nil {
				t.Error(err)
			}
			return
		}
		switch err := chargeAt(t, db, by("parent01", priced(account, 1)), false, t0); {
		case err == nil:
			paid.Add(1)
		case !isNoCredit(err):
			t.Error(err)
		}
	})
	if paid.Load() != 100 {
		t.Errorf("%d were paid, the cap is 100", paid.Load())
	}
	wantBalance(t, nodes[1], "parent01", 900, 100)
	wantSpent(t, nodes[1], "parent01", t0, 100)
	for account, most := range map[string]verify.Money{"child001": 40, "another1": 90} {
		if spent, err := nodes[0].Spent(t.Context(), account, t0); err != nil || spent > most {
			t.Errorf("%s spent %s (%v), its cap is %s", account, spent, err, most)
		}
	}
}
