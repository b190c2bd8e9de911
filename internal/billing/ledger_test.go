package billing_test

import (
	"bytes"
	"crypto/rand"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/await"
	"countersign/internal/billing"
	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

var t0 = day(2026, 2, 1)

func open(t *testing.T) *store.DB {
	t.Helper()
	db, _ := openAt(t)
	return db
}

// openAt also returns the path or URL of the database.
func openAt(t *testing.T) (db *store.DB, path string) {
	t.Helper()
	path = pgtest.Chosen(t, filepath.Join(t.TempDir(), "countersign.db"), "migrated", store.Migrate)
	db, err := store.Open(t.Context(), store.Config{Database: path, Key: vault.NewKey(), Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db, path
}

// newWatch makes a watch; low is the default threshold of accounts.
func newWatch(db *store.DB, log io.Writer, low verify.Money) (*billing.Watch, *prometheus.Registry) {
	reg := prometheus.NewRegistry()
	return billing.NewWatch(billing.WatchConfig{
		Store: db, Clock: clockwork.NewFakeClockAt(t0), Log: slog.New(slog.NewTextHandler(log, nil)), Metrics: reg, LowBalance: low,
	}), reg
}

func lowBalances(t *testing.T, reg *prometheus.Registry) float64 {
	t.Helper()
	families, err := reg.Gather()
	must(t, err)
	return families[0].GetMetric()[0].GetGauge().GetValue()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func addAccount(t *testing.T, db *store.DB, a verify.Account) {
	t.Helper()
	must(t, db.CreateAccount(t.Context(), store.NewAccount{Account: a, Secret: "s"}, t0))
}

// charge begins verification n of an account with a price of 1.
func charge(t *testing.T, tx *store.Tx, account string, n int, now time.Time) error {
	t.Helper()
	funds, err := tx.Funds(account, account, false)
	must(t, err)
	c, _, err := verify.Begin(verify.Beginning{Request: verify.Request{
		Account: account, To: verify.PhoneAddress(fmt.Sprintf("4477009%05d", n), ""), CodeLength: 4,
		Workflow: verify.Workflow{Steps: []verify.Step{{Channel: verify.SMS}}, PINLife: time.Minute},
	}, Price: 1, Payer: account, History: verify.Uncapped{}, Funds: funds, Node: "node"}, now, rand.Reader)
	must(t, err)
	return tx.Save(c)
}

// TestWriteLedger: every entry occurs once, in its account's order, also beyond one page;
// and no text is a formula for a spreadsheet.
func TestWriteLedger(t *testing.T) {
	t.Parallel()
	db := open(t)
	const many = 2300
	addAccount(t, db, verify.Account{Key: "many0001", Name: `=HYPERLINK("http://x")`, Balance: many})
	addAccount(t, db, verify.Account{Key: "few00001", Name: "Few, \"and\" dear", Balance: 5})
	must(t, db.Write(t.Context(), store.Scope{}, func(tx *store.Tx) error {
		for i := range many {
			if err := charge(t, tx, "many0001", i, t0.Add(time.Duration(1+i/1500)*time.Second)); err != nil {
				return err
			}
		}
		return nil
	}))
	if _, err := db.SettleLedger(t.Context(), t0.Add(time.Second), 700); err != nil {
		t.Fatal(err)
	}
	export := func(account string, from, until time.Time) [][]string {
		t.Helper()
		var text bytes.Buffer
		n, err := billing.WriteLedger(t.Context(), db, account, from, until, &text)
		must(t, err)
		records, err := csv.NewReader(&text).ReadAll()
		must(t, err)
		if len(records) != n+1 || strings.Join(records[0], ",") != "time,account,account_name,sub_account,kind,amount,key" {
			t.Errorf("%d entries are reported; the file has %d lines and begins with %q", n, len(records), records[0])
		}
		return records[1:]
	}
	all := export("", time.Time{}, time.Time{})
	seen := map[string]bool{}
	var sum verify.Money
	for i, r := range all {
		if seen[r[6]] {
			t.Fatalf("duplicate entry %s", r[6])
		}
		if i > 0 && all[i-1][1] == r[1] && all[i-1][0] > r[0] {
			t.Errorf("%q comes before %q", all[i-1], r)
		}
		seen[r[6]] = true
		amount, err := verify.ParseMoney(r[5])
		must(t, err)
		sum += amount
	}
	if len(all) != many+2 || sum != 5 {
		t.Errorf("%d entries of %s in all, want %d of 0.00000005", len(all), sum, many+2)
	}
	if r := all[0]; r[2] != `Few, "and" dear` || r[4] != "top-up" || r[5] != "0.00000005" {
		t.Errorf("the first entry is %q", r)
	}
	if r := all[2]; r[0] != "2026-02-01T00:00:01.000Z" || r[2] != `'=HYPERLINK("http://x")` || r[5] != "-0.00000001" {
		t.Errorf("a charge is %q", r)
	}
	if got := len(export("many0001", t0.Add(time.Second), t0.Add(2*time.Second))); got != 1500 {
		t.Errorf("%d entries of a second, want 1500", got)
	}
	if _, err := billing.WriteLedger(t.Context(), db, "nobody01", time.Time{}, time.Time{}, &bytes.Buffer{}); !errors.Is(err, store.ErrNoAccount) {
		t.Errorf("of an unknown account: %v", err)
	}
	books, wrong, err := billing.Books(t.Context(), db, "")
	if err != nil || wrong != 0 || len(books) != 2 {
		t.Errorf("the books are %+v, %d wrong (%v)", books, wrong, err)
	}
}

// TestWatch: each time a balance falls below the threshold, one node logs it once.
func TestWatch(t *testing.T) {
	t.Parallel()
	db := open(t)
	addAccount(t, db, verify.Account{Key: "plain001", Balance: 100})
	addAccount(t, db, verify.Account{Key: "own00001", Balance: 100, Settings: verify.Settings{LowBalance: "0.00000200"}})
	addAccount(t, db, verify.Account{Key: "never001", Balance: 1, Settings: verify.Settings{LowBalance: "0"}})
	addAccount(t, db, verify.Account{Key: "child001", Parent: "plain001"})
	addAccount(t, db, verify.Account{Key: "credit01", Unlimited: true})
	var log bytes.Buffer
	a, reg := newWatch(db, &log, 50)
	b, _ := newWatch(db, &log, 50)
	want := func(low float64, warnings ...string) {
		t.Helper()
		for range 2 { // the second check has no effect
			must(t, a.Once(t.Context()))
			must(t, b.Once(t.Context()))
		}
		if got := lowBalances(t, reg); got != low {
			t.Errorf("%v balances are low, want %v", got, low)
		}
		if got := strings.Count(log.String(), "\n"); got != len(warnings) {
			t.Errorf("%d warnings:\n%s", got, log.String())
		}
		for _, w := range warnings {
			if !strings.Contains(log.String(), "account="+w+" ") {
				t.Errorf("no warning of %s in:\n%s", w, log.String())
			}
		}
		log.Reset()
	}
	want(1, "own00001")
	must(t, db.Credit(t.Context(), "plain001", -51, t0))
	want(2, "plain001")
	must(t, db.Credit(t.Context(), "plain001", 1, t0))
	want(1)
	must(t, db.Credit(t.Context(), "plain001", -1, t0))
	want(2, "plain001")
}

// TestBooks: a balance that differs from the sum of its entries is counted; an unknown
// account is an error.
func TestBooks(t *testing.T) {
	t.Parallel()
	db, path := openAt(t)
	addAccount(t, db, verify.Account{Key: "right001", Balance: 5})
	addAccount(t, db, verify.Account{Key: "wrong001", Balance: 5})
	raw, err := pgtest.Open(path)
	must(t, err)
	defer raw.Close()
	_, err = raw.ExecContext(t.Context(), `UPDATE accounts SET balance = balance + 1 WHERE key = 'wrong001'`)
	must(t, err)
	for _, tt := range []struct {
		account      string
		books, wrong int
	}{{"", 2, 1}, {"right001", 1, 0}, {"wrong001", 1, 1}} {
		books, wrong, err := billing.Books(t.Context(), db, tt.account)
		if err != nil || len(books) != tt.books || wrong != tt.wrong {
			t.Errorf("%q: %+v, %d wrong, %v", tt.account, books, wrong, err)
		}
	}
	if _, _, err := billing.Books(t.Context(), db, "nobody01"); !errors.Is(err, store.ErrNoAccount) || !strings.Contains(err.Error(), "nobody01") {
		t.Errorf("of an unknown account: %v", err)
	}
}

// TestLow: the balance is low below the account's threshold; without one, below the
// threshold of the installation.
func TestLow(t *testing.T) {
	t.Parallel()
	own := func(threshold string) verify.Settings { return verify.Settings{LowBalance: threshold} }
	for _, tt := range []struct {
		name         string
		account      verify.Account
		installation verify.Money
		want         bool
	}{
		{"below", verify.Account{Balance: 49}, 50, true},
		{"at the threshold", verify.Account{Balance: 50}, 50, false},
		{"debt", verify.Account{Balance: -1}, 1, true},
		{"no threshold", verify.Account{Balance: -1}, 0, false},
		{"below its own", verify.Account{Balance: 99, Settings: own("0.000001")}, 50, true},
		{"at its own", verify.Account{Balance: 100, Settings: own("0.000001")}, 50, false},
		{"never warned", verify.Account{Balance: -1, Settings: own("0")}, 50, false},
		{"unreadable threshold", verify.Account{Balance: 49, Settings: own("much")}, 50, true},
		{"sub-account", verify.Account{Balance: 1, Parent: "parent01"}, 50, false},
		{"unlimited", verify.Account{Balance: 1, Unlimited: true}, 50, false},
		{"payer is unlimited", verify.Account{Balance: 1, PayerUnlimited: true}, 50, false},
	} {
		if got := billing.Low(tt.account, tt.installation); got != tt.want {
			t.Errorf("%s: low is %v", tt.name, got)
		}
	}
}

// TestWatchLooksAgain: a watch checks the balances when it starts, and every 30 s.
func TestWatchLooksAgain(t *testing.T) {
	t.Parallel()
	db := open(t)
	addAccount(t, db, verify.Account{Key: "acme0001", Balance: 10})
	addAccount(t, db, verify.Account{Key: "acme0002", Balance: 100})
	clock := clockwork.NewFakeClockAt(t0)
	reg := prometheus.NewRegistry()
	w := billing.NewWatch(billing.WatchConfig{Store: db, Clock: clock, Log: slog.New(slog.DiscardHandler), Metrics: reg, LowBalance: 50})
	w.Start()
	defer w.Stop()
	await.Until(t, "the first check", func() bool { return lowBalances(t, reg) == 1 })
	must(t, db.Credit(t.Context(), "acme0002", -60, t0))
	await.Until(t, "another check", func() bool {
		clock.Advance(time.Second)
		return lowBalances(t, reg) == 2
	})
	if passed := clock.Now().Sub(t0); passed < 30*time.Second {
		t.Errorf("it checks again after %v", passed)
	}
}
