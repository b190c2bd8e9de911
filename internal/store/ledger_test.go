package store_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	mrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// priced returns the beginning of a verification of a random number.
func priced(account string, price verify.Money) verify.Beginning {
	return verify.Beginning{Request: request(account, fmt.Sprintf("447%d", mrand.Uint64())), Price: price}
}

// charge begins a verification for a price.
func charge(t testing.TB, db *store.DB, b verify.Beginning, onCredit bool) error {
	_, err := start(context.WithoutCancel(t.Context()), db, b, onCredit, t0)
	return err
}

func isNoCredit(err error) bool { return isRefusal(err, verify.KindNoCredit) }

// wantBalance checks an account's balance, also against the ledger.
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
		refused    bool
		want       verify.Money
		wantCharge int
	}{
		{"Covered", 100, 30, false, false, 70, 1},
		{"ToTheLast", 30, 30, false, false, 0, 1},
		{"ErrOneShort", 29, 30, false, true, 29, 0},
		{"ErrNothingLeft", 0, 1, false, true, 0, 0},
		{"OnCredit", 29, 30, true, false, -1, 1},
		{"Free", 0, 0, false, false, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addAccount(t, db, tt.name, tt.balance)
			err := charge(t, db, priced(tt.name, tt.price), tt.onCredit)
			if isNoCredit(err) != tt.refused || !tt.refused && err != nil {
				t.Fatalf("got %v, want it refused: %v", err, tt.refused)
			}
			wantBalance(t, db, tt.name, tt.want, tt.wantCharge)
		})
	}
	t.Run("OtherAccounts", func(t *testing.T) {
		addAccount(t, db, "other001", 100)
		must(t, charge(t, db, priced("other001", 1), false))
		wantBalance(t, db, "Covered", 70, 1)
	})
	t.Run("Unknown", func(t *testing.T) {
		for _, b := range []verify.Beginning{priced("unknown1", 1), {Request: request("Covered", "447700900000"), Price: 1, Payer: "unknown1"}} {
			if err := charge(t, db, b, false); !errors.Is(err, store.ErrNoAccount) {
				t.Errorf("%s for %s: %v, want ErrNoAccount", b.Payer, b.Account, err)
			}
		}
	})
}

// testChargeUnlessRunning: a verification in progress refuses the start without a charge. A
// start ends an expired one.
func testChargeUnlessRunning(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 100)
	addAccount(t, db, "other001", 5)
	was := sent(t, db, request("demo0001", "447700900000"), t0)
	try := func(account, number string, price, balance verify.Money, want verify.Kind) {
		t.Helper()
		b := verify.Beginning{Request: request(account, number), Price: price}
		for _, scope := range []store.Scope{{}, {Number: number, Begins: account, Account: account}} {
			v, err := startIn(t.Context(), db, scope, b, false, t0)
			refusal, _ := errors.AsType[*verify.Error](err)
			if (err == nil) != (want == 0) || err != nil && (refusal == nil || refusal.Kind != want || want == verify.KindConcurrent && refusal.Request != was.ID) {
				t.Errorf("%s in %s for %s: %v, want kind %d", number, account, price, err, want)
			}
			wantBalance(t, db, account, balance, int(100-balance)/30)
			if err == nil {
				was, want = v, verify.KindConcurrent
			}
		}
	}
	try("demo0001", "447700900000", 30, 100, verify.KindConcurrent)
	try("demo0001", "447700900000", 0, 100, verify.KindConcurrent)
	first := was
	try("demo0001", "447700900001", 30, 70, 0)
	try("demo0001", "447700900001", 0, 70, verify.KindConcurrent)
	try("demo0001", "447700900002", 71, 70, verify.KindNoCredit)
	cancelled(t, db, first, at(31))
	try("demo0001", "447700900000", 30, 40, 0)

	overdue := was
	_, err := start(t.Context(), db, verify.Beginning{Request: was.Request, Price: 30}, false, at(1e6))
	must(t, err)
	wantBalance(t, db, "demo0001", 10, 3)
	if got := get(t, db, overdue.ID); got.Status != verify.Expired || got.FinalizedAt.IsZero() {
		t.Errorf("the expired one is %s", got.Status)
	}
	must(t, charge(t, db, verify.Beginning{Request: request("other001", "447700900000"), Price: 5}, false))
	wantBalance(t, db, "other001", 0, 1)
}

// testPostOnce: an entry is posted once for each key, in one transaction or several, with
// its effect on the balance and the daily caps.
func testPostOnce(t *testing.T, db *store.DB) {
	addAccount(t, db, "parent01", 100)
	addChild(t, db, "child001", "parent01")
	v, err := start(t.Context(), db, verify.Beginning{Request: request("child001", "447700900000"), Price: 30, Payer: "parent01"}, false, at(1))
	must(t, err)
	charge := verify.Entry{Key: "charge/" + v.ID.Hex(), Kind: verify.ChargeEntry, Amount: -30, At: at(1), Spent: 30, SpentAt: t0}
	cost := verify.Entry{Key: "cost/" + v.Events[0].ID.Hex() + "/1", Kind: verify.CostEntry, Amount: -7, At: at(2)}
	refund := verify.Entry{Key: "refund/" + v.ID.Hex(), Kind: verify.RefundEntry, Amount: 30, At: at(3), Spent: -30, SpentAt: t0}
	again := func(entries ...verify.Entry) {
		t.Helper()
		c := verify.Change{Verification: v, Entries: entries}
		for _, scope := range []store.Scope{{}, {Account: "parent01", Charges: true}} {
			must(t, db.Write(t.Context(), scope, func(tx *store.Tx) error { return errors.Join(tx.Save(c), tx.Save(c)) }))
		}
		save(t, db, c)
	}
	wantBalance(t, db, "parent01", 70, 1)
	again(charge)
	wantBalance(t, db, "parent01", 70, 1)
	again(cost)
	wantBalance(t, db, "parent01", 70, 1)
	for _, account := range []string{"parent01", "child001"} {
		wantSpent(t, db, account, t0, 30)
	}
	again(charge, refund)
	wantBalance(t, db, "parent01", 100, 1)
	for _, account := range []string{"parent01", "child001"} {
		wantSpent(t, db, account, t0, 0)
	}
	entries, err := db.Entries(t.Context(), store.EntryFilter{Account: "parent01", Limit: 10})
	wantEntries(t, entries, err, "top-up 100 ", "charge -30 child001", "carrier-cost -7 child001", "refund 30 child001")
}

// testParallelCharges: a balance that covers one charge is spent once.
func testParallelCharges(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", verify.Unit)
	var paid, refused atomic.Int32
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			var scope store.Scope
			b := priced("demo0001", verify.Unit)
			if i%2 == 0 {
				scope = store.Scope{Number: b.To.Given, Begins: b.Account, Account: b.Account}
			}
			switch _, err := startIn(t.Context(), db, scope, b, false, t0); {
			case err == nil:
				paid.Add(1)
			case isNoCredit(err):
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

// testLedgerSum: after any operations an account's balance equals the sum of its entries,
// and a model.
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
				b := priced(account, verify.Money(rapid.Int64Range(1, 1e12).Draw(rt, "price")))
				onCredit := rapid.Bool().Draw(rt, "on credit")
				v, err := start(t.Context(), db, b, onCredit, t0)
				if ok := onCredit || balance >= b.Price; ok != (err == nil) {
					rt.Fatalf("charge of %s on a balance of %s: %v", b.Price, balance, err)
				}
				if err == nil {
					balance -= b.Price
					charges++
					charged = append(charged, v)
				}
			case "charge again":
				if len(charged) > 0 {
					v := rapid.SampledFrom(charged).Draw(rt, "which")
					save(t, db, verify.Change{Verification: v, Entries: []verify.Entry{{
						Key: "charge/" + v.ID.Hex(), Kind: verify.ChargeEntry, Amount: -v.Price, At: t0, Spent: v.Price, SpentAt: t0,
					}}})
				}
			}
		}
		wantBalance(t, db, account, balance, charges)
	})
}

// testLedgerRange: a top-up beyond 64 bits is refused, and changes neither account nor
// ledger.
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
