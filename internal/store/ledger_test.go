package store_test

import (
	"crypto/rand"
	"errors"
	"math"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"countersign/internal/store"
	"countersign/internal/verify"
)

var errNoCredit = errors.New("no credit")

// charge takes price from an account, as a start does: what is not covered is
// given up.
func charge(t testing.TB, db *store.DB, v verify.Verification, onCredit bool) error {
	return db.WriteFor(t.Context(), v.Account, func(tx *store.Tx) error {
		ok, err := tx.Charge(v, store.Payer{OnCredit: onCredit}, t0)
		if err == nil && !ok {
			err = errNoCredit
		}
		return err
	})
}

func priced(account string, price verify.Money) verify.Verification {
	return verify.Verification{
		ID: verify.NewID(rand.Reader), Request: verify.Request{Account: account}, Price: price,
	}
}

// wantBalance also holds the balance against the ledger.
func wantBalance(t *testing.T, db *store.DB, account string, balance verify.Money, charges int) {
	t.Helper()
	c, err := db.Credentials(t.Context(), account)
	must(t, err)
	sum, n, err := db.LedgerSum(t.Context(), account)
	must(t, err)
	if c.Balance != balance || sum != balance || n != charges {
		t.Errorf("%s: balance %s, ledger %s after %d charges; want %s after %d", account, c.Balance, sum, n, balance, charges)
	}
}

func testCharge(t *testing.T, db *store.DB) {
	tests := []struct {
		name       string
		balance    verify.Money
		price      verify.Money
		onCredit   bool
		wantErr    error
		want       verify.Money
		wantCharge int
	}{
		{"Covered", 100, 30, false, nil, 70, 1},
		{"ToTheLast", 30, 30, false, nil, 0, 1},
		{"ErrOneShort", 29, 30, false, errNoCredit, 29, 0},
		{"ErrNothingLeft", 0, 1, false, errNoCredit, 0, 0},
		{"OnCredit", 29, 30, true, nil, -1, 1},
		{"Free", 0, 0, false, nil, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addAccount(t, db, tt.name, tt.balance)
			v := priced(tt.name, tt.price)
			for range 3 { // the second time changes nothing
				if err := charge(t, db, v, tt.onCredit); !errors.Is(err, tt.wantErr) {
					t.Fatalf("got %v, want %v", err, tt.wantErr)
				}
				wantBalance(t, db, tt.name, tt.want, tt.wantCharge)
			}
		})
	}
	t.Run("TwiceInOneTransaction", func(t *testing.T) {
		addAccount(t, db, "twice001", 100)
		v := priced("twice001", 30)
		write(t, db, func(tx *store.Tx) error {
			for range 2 {
				if ok, err := tx.Charge(v, store.Payer{}, t0); !ok || err != nil {
					t.Errorf("got %v, %v; want it to be paid", ok, err)
				}
			}
			return nil
		})
		wantBalance(t, db, "twice001", 70, 1)
	})
	t.Run("OtherAccounts", func(t *testing.T) {
		addAccount(t, db, "other001", 100)
		must(t, charge(t, db, priced("other001", 1), false))
		wantBalance(t, db, "Covered", 70, 1)
	})
}

// testChargeUnlessRunning: where one is in progress nothing is taken.
func testChargeUnlessRunning(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 100)
	addAccount(t, db, "other001", 5)
	was, _ := insert(t, db, request("demo0001", "447700900000"), t0)
	try := func(account, number string, price, balance verify.Money, wantOK, wantRunning bool) {
		t.Helper()
		v := priced(account, price)
		v.Number = number
		for range 2 { // the second time changes nothing
			err := db.Write(t.Context(), func(tx *store.Tx) error {
				running, ok, err := unlessRunning(tx, tx.Charge, v, store.Payer{}, t0)
				if ok != wantOK || (running != nil) != wantRunning || wantRunning && !reflect.DeepEqual(running, was) {
					t.Errorf("%s in %s for %s: paid %v, running %+v", number, account, price, ok, running)
				}
				if err == nil && !ok {
					err = errNoCredit
				}
				return err
			})
			if wantOK != (err == nil) || err != nil && !errors.Is(err, errNoCredit) {
				t.Error(err)
			}
		}
		if c, err := db.Credentials(t.Context(), account); err != nil || c.Balance != balance {
			t.Errorf("%s has %s (%v), want %s", account, c.Balance, err, balance)
		}
	}
	try("demo0001", "447700900000", 30, 100, false, true)
	try("demo0001", "447700900000", 0, 100, false, true)
	try("demo0001", "447700900001", 30, 70, true, false)
	try("demo0001", "447700900001", 0, 70, true, false)
	try("demo0001", "447700900001", 71, 70, false, false)
	try("other001", "447700900000", 5, 0, true, false)
	done, err := was.Cancel(at(31))
	must(t, err)
	was.Verification = done
	write(t, db, func(tx *store.Tx) error { return tx.Save(was) })
	try("demo0001", "447700900000", 30, 40, true, false)
}

// testParallelCharges: a balance that covers one is spent once.
func testParallelCharges(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", verify.Unit)
	var paid, refused atomic.Int32
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			switch err := charge(t, db, priced("demo0001", verify.Unit), false); {
			case err == nil:
				paid.Add(1)
			case errors.Is(err, errNoCredit):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if paid.Load() != 1 || refused.Load() != 199 {
		t.Errorf("%d charges were paid and %d refused, want 1 and 199", paid.Load(), refused.Load())
	}
	wantBalance(t, db, "demo0001", 0, 1)
}

// testLedgerSum: whatever happens to an account, its balance is the sum of its
// entries, and what one would reckon.
func testLedgerSum(t *testing.T, db *store.DB) {
	rapid.Check(t, func(rt *rapid.T) {
		account := store.NewAPIKey()
		addAccount(t, db, account, 0)
		var balance verify.Money
		var charges int
		var charged []verify.Verification
		for range rapid.IntRange(1, 12).Draw(rt, "operations") {
			switch rapid.SampledFrom([]string{"top up", "charge", "charge again"}).Draw(rt, "operation") {
			case "top up":
				amount := verify.Money(rapid.Int64Range(-1e10, 1e12).Draw(rt, "amount"))
				must(t, db.Credit(t.Context(), account, amount, t0))
				balance += amount
			case "charge":
				v := priced(account, verify.Money(rapid.Int64Range(1, 1e12).Draw(rt, "price")))
				onCredit := rapid.Bool().Draw(rt, "on credit")
				err := charge(t, db, v, onCredit)
				if ok := onCredit || balance >= v.Price; ok != (err == nil) {
					rt.Fatalf("charge of %s on a balance of %s: %v", v.Price, balance, err)
				}
				if err == nil {
					balance -= v.Price
					charges++
					charged = append(charged, v)
				}
			case "charge again":
				if len(charged) > 0 {
					must(t, charge(t, db, rapid.SampledFrom(charged).Draw(rt, "which"), false))
				}
			}
		}
		wantBalance(t, db, account, balance, charges)
	})
}

// testLedgerRange: a balance that 64 bits could not hold is refused, and leaves
// account and ledger as they were.
func testLedgerRange(t *testing.T, db *store.DB) {
	must(t, db.CreateAccount(t.Context(), store.NewAccount{Account: verify.Account{Key: "rich0001"}, Secret: "s"}, t0))
	const most = verify.Money(1) << 61
	must(t, db.Credit(t.Context(), "rich0001", most, t0))
	for _, amount := range []verify.Money{1, most, most + 1, -2*most - 1, math.MaxInt64, math.MinInt64} {
		if err := db.Credit(t.Context(), "rich0001", amount, t0); !errors.Is(err, store.ErrBalanceRange) {
			t.Errorf("credit of %d: %v, want ErrBalanceRange", amount, err)
		}
	}
	accounts, err := db.Accounts(t.Context())
	must(t, err)
	sum, _, err := db.LedgerSum(t.Context(), "rich0001")
	must(t, err)
	if len(accounts) != 1 || accounts[0].Balance != most || sum != most {
		t.Errorf("accounts %+v, ledger %d; want a balance of %d", accounts, sum, most)
	}
}
