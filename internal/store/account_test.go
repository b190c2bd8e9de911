package store_test

import (
	"errors"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"

	"countersign/internal/store"
	"countersign/internal/verify"
)

func testAccounts(t *testing.T, db *store.DB) {
	full := store.NewAccount{
		Account: verify.Account{
			Key: "full0001", Name: "Ünï & <Co>", Barred: true, Trial: true, CustomPIN: true, Rate: 7, Unlimited: true,
			Balance: 12_345_678_901, DailyCap: 98_765_432_109, OnUndeliverable: verify.UndeliverableNextEvent, Settings: fullSettings(),
		},
		Secret: "secret", SignatureMethod: "sha512", SignatureSecret: "signature secret",
	}
	plain := store.NewAccount{
		Account: verify.Account{Key: "bare0001", OnUndeliverable: verify.UndeliverableWait}, Secret: "other",
	}
	for _, a := range []store.NewAccount{full, plain} {
		must(t, db.CreateAccount(t.Context(), a, t0))
		c, err := db.Credentials(t.Context(), a.Key)
		must(t, err)
		if !reflect.DeepEqual(c.Account, a.Account) {
			t.Errorf("account %+v, want %+v", c.Account, a.Account)
		}
		if c.SignatureMethod != a.SignatureMethod || c.SignatureSecret != a.SignatureSecret {
			t.Errorf("%s: signature %q with %q, want %q with %q", a.Key, c.SignatureMethod, c.SignatureSecret, a.SignatureMethod, a.SignatureSecret)
		}
		for _, other := range []string{"", "Secret", "secret ", "wrong"} {
			if c.HasSecret(other, t0) {
				t.Errorf("%s: %q is accepted as its secret", a.Key, other)
			}
		}
		if !c.HasSecret(a.Secret, t0) {
			t.Errorf("%s: its secret is not recognised", a.Key)
		}
	}
	if c, err := db.Credentials(t.Context(), plain.Key); err != nil || c.HasSecret(full.Secret, t0) {
		t.Errorf("another account's secret is accepted (%v)", err)
	}
	list, err := db.Accounts(t.Context())
	if err != nil || !reflect.DeepEqual(list, []verify.Account{plain.Account, full.Account}) {
		t.Errorf("Accounts = %+v, %v; want both by key", list, err)
	}
}

func testAccountDuplicate(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", verify.Unit)
	err := db.CreateAccount(t.Context(), store.NewAccount{
		Account: verify.Account{Key: "demo0001", Name: "Thief", Balance: 5 * verify.Unit, Unlimited: true},
		Secret:  "stolen", Approved: []string{"447700900001"},
	}, t0)
	if !errors.Is(err, store.ErrAccountExists) {
		t.Errorf("got %v, want ErrAccountExists", err)
	}
	c, err := db.Credentials(t.Context(), "demo0001")
	must(t, err)
	if c.HasSecret("stolen", t0) || c.Name != "Test" || c.Unlimited || c.Balance != verify.Unit {
		t.Errorf("the second account changed the first: %+v", c.Account)
	}
	if ok, _ := db.Approved(t.Context(), "demo0001", "447700900001"); ok {
		t.Error("the second account approved a number of the first")
	}
}

func testAccountChanges(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", verify.Unit)
	addAccount(t, db, "other001", verify.Unit)
	before, err := db.Credentials(t.Context(), "other001")
	must(t, err)
	find := func() store.Credentials {
		t.Helper()
		c, err := db.Credentials(t.Context(), "demo0001")
		must(t, err)
		return c
	}

	must(t, db.RotateSecret(t.Context(), "demo0001", "new", time.Time{}, t0))
	if c := find(); !c.HasSecret("new", t0) || c.HasSecret("secret of demo0001", t0) {
		t.Error("after the rotation the old secret is valid, or the new one is not")
	}
	for _, barred := range []bool{true, true, false} {
		must(t, db.SetBarred(t.Context(), "demo0001", barred))
		if c := find(); c.Barred != barred {
			t.Errorf("barred is %v, want %v", c.Barred, barred)
		}
	}
	for _, unlimited := range []bool{true, false} {
		must(t, db.SetUnlimited(t.Context(), "demo0001", unlimited))
		if c := find(); c.Unlimited != unlimited {
			t.Errorf("unlimited is %v, want %v", c.Unlimited, unlimited)
		}
	}
	must(t, db.Credit(t.Context(), "demo0001", 25, t0))
	must(t, db.Credit(t.Context(), "demo0001", -5, t0))
	if c := find(); c.Balance != verify.Unit+20 {
		t.Errorf("balance %s, want 1.00000020", c.Balance)
	}
	after, err := db.Credentials(t.Context(), "other001")
	if err != nil || !reflect.DeepEqual(after.Account, before.Account) || !after.HasSecret("secret of other001", t0) {
		t.Errorf("another account was changed: %+v, %v", after.Account, err)
	}
}

func testAccountUnknown(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	for _, key := range []string{"", "nobody00", "DEMO0001", "demo0001 "} {
		c, err := db.Credentials(t.Context(), key)
		if !errors.Is(err, store.ErrNoAccount) {
			t.Errorf("Credentials(%q): %v, want ErrNoAccount", key, err)
		}
		// It is compared with a secret as any other account is, and no secret matches.
		for _, secret := range []string{"", "secret of demo0001", "\x00"} {
			if c.HasSecret(secret, t0) {
				t.Errorf("the unknown account %q has the secret %q", key, secret)
			}
		}
	}
	for name, err := range map[string]error{
		"RotateSecret": db.RotateSecret(t.Context(), "nobody00", "new", time.Time{}, t0),
		"SetBarred":    db.SetBarred(t.Context(), "nobody00", true),
		"SetUnlimited": db.SetUnlimited(t.Context(), "nobody00", true),
		"Credit":       db.Credit(t.Context(), "nobody00", 1, t0),
	} {
		if !errors.Is(err, store.ErrNoAccount) {
			t.Errorf("%s of an unknown account: %v, want ErrNoAccount", name, err)
		}
	}
}

func testAccountApproved(t *testing.T, db *store.DB) {
	for key, approved := range map[string][]string{"trial001": {"447700900001", "447700900002"}, "trial002": nil} {
		must(t, db.CreateAccount(t.Context(), store.NewAccount{
			Account: verify.Account{Key: key, Trial: true}, Secret: "secret", Approved: approved,
		}, t0))
	}
	tests := []struct {
		account, number string
		want            bool
	}{
		{"trial001", "447700900001", true},
		{"trial001", "447700900002", true},
		{"trial001", "447700900003", false},
		{"trial001", "44770090000", false},
		{"trial002", "447700900001", false},
	}
	for _, tt := range tests {
		if got, err := db.Approved(t.Context(), tt.account, tt.number); got != tt.want || err != nil {
			t.Errorf("Approved(%s, %s) = %v, %v; want %v", tt.account, tt.number, got, err, tt.want)
		}
	}
}

func TestNewAPIKey(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		key, secret := store.NewAPIKey(), store.NewAPISecret()
		if !regexp.MustCompile(`^[a-z0-9]{8}$`).MatchString(key) || !regexp.MustCompile(`^[a-z0-9]{32}$`).MatchString(secret) {
			t.Fatalf("key %q, secret %q; want 8 and 32 letters and digits", key, secret)
		}
		if seen[key] || seen[secret] {
			t.Fatalf("%q or %q was generated twice", key, secret)
		}
		seen[key], seen[secret] = true, true
	}
}

func TestZeroCredentialsHaveNoSecret(t *testing.T) {
	t.Parallel()
	if (store.Credentials{}).HasSecret("", t0) {
		t.Error("zero credentials have the empty secret")
	}
}

// testUnapprove: numbers are listed in order, each once, and removed for one account.
func testUnapprove(t *testing.T, db *store.DB) {
	for _, account := range []string{"trial001", "trial002"} {
		addAccount(t, db, account, 0)
		for _, number := range []string{"447700900002", "447700900001", "447700900002"} {
			must(t, db.Approve(t.Context(), account, number, t0))
		}
	}
	want := func(account string, want ...string) {
		t.Helper()
		if got, err := db.ApprovedNumbers(t.Context(), account); !slices.Equal(got, want) || err != nil {
			t.Errorf("ApprovedNumbers(%s) = %v, %v; want %v", account, got, err, want)
		}
	}
	want("trial001", "447700900001", "447700900002")
	want("unknown1")
	must(t, db.Unapprove(t.Context(), "trial001", "447700900001"))
	want("trial001", "447700900002")
	want("trial002", "447700900001", "447700900002")
	if ok, err := db.Approved(t.Context(), "trial001", "447700900001"); ok || err != nil {
		t.Errorf("the number is still approved: %v, %v", ok, err)
	}
	for _, tt := range []struct {
		account string
		want    error
	}{{"trial001", store.ErrNotApproved}, {"unknown1", store.ErrNoAccount}} {
		if err := db.Unapprove(t.Context(), tt.account, "447700900001"); !errors.Is(err, tt.want) {
			t.Errorf("Unapprove(%s) again: %v, want %v", tt.account, err, tt.want)
		}
	}
	if err := db.Approve(t.Context(), "unknown1", "447700900001", t0); !errors.Is(err, store.ErrNoAccount) {
		t.Errorf("Approve of an unknown account: %v, want ErrNoAccount", err)
	}
}
