package store_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// wantSecrets checks which secrets are valid at a time.
func wantSecrets(t *testing.T, db *store.DB, key string, now time.Time, want map[string]bool) {
	t.Helper()
	c, err := db.Credentials(t.Context(), key)
	must(t, err)
	good := 0
	for secret, want := range want {
		if got := c.HasSecret(secret, now); got != want {
			t.Errorf("%s: secret %q is valid at %s: %v, want %v", key, secret, now, got, want)
		}
		if want {
			good++
		}
	}
	list, err := db.Secrets(t.Context(), key, now)
	if err != nil || len(list) != good {
		t.Errorf("%s: %d secrets are listed at %s (%v), want %d", key, len(list), now, err, good)
	}
}

func testSecrets(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	addAccount(t, db, "other001", 0)
	const first = "secret of demo0001"
	second, err := db.AddSecret(t.Context(), "demo0001", "second", time.Time{}, at(1))
	must(t, err)
	third, err := db.AddSecret(t.Context(), "demo0001", "third", at(100), at(2))
	must(t, err)
	if _, err := db.AddSecret(t.Context(), "demo0001", "second", at(100), at(3)); !errors.Is(err, store.ErrSecretExists) {
		t.Errorf("the same secret again: %v, want ErrSecretExists", err)
	}
	wantSecrets(t, db, "demo0001", at(99.999), map[string]bool{first: true, "second": true, "third": true, "secret of other001": false})
	wantSecrets(t, db, "demo0001", at(100), map[string]bool{first: true, "second": true, "third": false})
	list, err := db.Secrets(t.Context(), "demo0001", at(3))
	if err != nil || len(list) != 3 || list[1] != second || list[2] != third || !list[0].CreatedAt.Equal(t0) || !third.ExpiresAt.Equal(at(100)) {
		t.Errorf("listed %+v (%v), want the first, %+v and %+v", list, err, second, third)
	}
	must(t, db.RevokeSecret(t.Context(), "demo0001", second.ID))
	for _, id := range []string{second.ID, "", "00000000"} {
		if err := db.RevokeSecret(t.Context(), "demo0001", id); !errors.Is(err, store.ErrNoSecret) {
			t.Errorf("revoke %q: %v, want ErrNoSecret", id, err)
		}
	}
	if err := db.RevokeSecret(t.Context(), "other001", third.ID); !errors.Is(err, store.ErrNoSecret) {
		t.Errorf("revoke another account's: %v, want ErrNoSecret", err)
	}
	wantSecrets(t, db, "demo0001", at(4), map[string]bool{first: true, "second": false, "third": true})

	must(t, db.ForgetSecrets(t.Context(), at(99)))
	wantSecrets(t, db, "demo0001", at(4), map[string]bool{first: true, "third": true})
	must(t, db.ForgetSecrets(t.Context(), at(100)))
	wantSecrets(t, db, "demo0001", at(4), map[string]bool{first: true, "third": false})
	must(t, db.RevokeSecret(t.Context(), "demo0001", list[0].ID))
	wantSecrets(t, db, "demo0001", at(4), map[string]bool{first: false, "": false}) // the account has no secret with this id
	wantSecrets(t, db, "other001", at(4), map[string]bool{"secret of other001": true})
	if _, err := db.Secrets(t.Context(), "nobody00", t0); !errors.Is(err, store.ErrNoAccount) {
		t.Errorf("an unknown account: %v, want ErrNoAccount", err)
	}
}

func testSecretRotation(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	const first = "secret of demo0001"
	_, err := db.AddSecret(t.Context(), "demo0001", "short", at(50), t0)
	must(t, err)
	must(t, db.RotateSecret(t.Context(), "demo0001", "second", at(100), t0))
	wantSecrets(t, db, "demo0001", at(49), map[string]bool{first: true, "short": true, "second": true})
	wantSecrets(t, db, "demo0001", at(99), map[string]bool{first: true, "short": false, "second": true})
	wantSecrets(t, db, "demo0001", at(100), map[string]bool{first: false, "short": false, "second": true})
	must(t, db.RotateSecret(t.Context(), "demo0001", "third", time.Time{}, at(1)))
	wantSecrets(t, db, "demo0001", at(1), map[string]bool{first: false, "short": false, "second": false, "third": true})
	for i := range store.MaxSecrets - 1 {
		must(t, db.RotateSecret(t.Context(), "demo0001", fmt.Sprint("kept ", i), at(100), at(2)))
	}
	if err := db.RotateSecret(t.Context(), "demo0001", "too many", at(100), at(2)); !errors.Is(err, store.ErrSecrets) {
		t.Errorf("above the limit: %v, want ErrSecrets", err)
	}
	last := fmt.Sprint("kept ", store.MaxSecrets-2)
	wantSecrets(t, db, "demo0001", at(1e6), map[string]bool{last: true, "too many": false, "third": false}) // the refused secrets were not stored
	must(t, db.RotateSecret(t.Context(), "demo0001", "later", at(200), at(100)))                            // all earlier secrets have expired
}

// testSecretParallel: concurrent additions do not exceed the limit.
func testSecretParallel(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	var (
		wg    sync.WaitGroup
		added atomic.Int32
	)
	for i := range 4 * store.MaxSecrets {
		wg.Go(func() {
			switch _, err := db.AddSecret(t.Context(), "demo0001", fmt.Sprint(i), time.Time{}, t0); {
			case err == nil:
				added.Add(1)
			case !errors.Is(err, store.ErrSecrets):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if list, err := db.Secrets(t.Context(), "demo0001", t0); err != nil || len(list) != store.MaxSecrets || added.Load() != store.MaxSecrets-1 {
		t.Errorf("%d secrets, %d of them added (%v), want %d", len(list), added.Load(), err, store.MaxSecrets)
	}
}

func testSignatureRotation(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	want := func(method, secret, oldMethod, oldSecret string, until time.Time) {
		t.Helper()
		c, err := db.Credentials(t.Context(), "demo0001")
		must(t, err)
		if c.SignatureMethod != method || c.SignatureSecret != secret || c.OldSignatureMethod != oldMethod ||
			c.OldSignatureSecret != oldSecret || !c.OldSignatureUntil.Equal(until) {
			t.Errorf("signed by %q with %q, and by %q with %q until %s; want %q, %q, %q, %q, %s", c.SignatureMethod, c.SignatureSecret,
				c.OldSignatureMethod, c.OldSignatureSecret, c.OldSignatureUntil, method, secret, oldMethod, oldSecret, until)
		}
	}
	set := func(method, secret string, until time.Time) {
		t.Helper()
		must(t, db.SetSignature(t.Context(), "demo0001", method, secret, until, t0))
	}
	set("sha1", "first", at(100))
	want("sha1", "first", "", "", time.Time{}) // no earlier secret
	set("sha256", "second", at(100))
	want("sha256", "second", "sha1", "first", at(100))
	must(t, db.ForgetSecrets(t.Context(), at(99)))
	want("sha256", "second", "sha1", "first", at(100))
	must(t, db.ForgetSecrets(t.Context(), at(100)))
	want("sha256", "second", "", "", time.Time{})
	set("sha256", "third", at(100))
	set("sha256", "fourth", time.Time{})
	want("sha256", "fourth", "", "", time.Time{})
	set("", "", time.Time{})
	want("", "", "", "", time.Time{})
}

// testParents: there is only one level, and no balance becomes unreachable.
func testParents(t *testing.T, db *store.DB) {
	addAccount(t, db, "parent01", 100)
	addAccount(t, db, "parent02", 200)
	addAccount(t, db, "single01", 0)
	addAccount(t, db, "rich0001", 1)
	addChild(t, db, "child001", "parent01")
	for name, tt := range map[string]struct {
		key, parent string
		want        error
	}{
		"Unknown":   {"single01", "nobody00", store.ErrNoParent},
		"Itself":    {"single01", "single01", store.ErrParent},
		"OfAChild":  {"single01", "child001", store.ErrParent},
		"OfAParent": {"parent01", "parent02", store.ErrParent},
		"Balance":   {"rich0001", "parent01", store.ErrOwnBalance},
	} {
		err := db.UpdateAccount(t.Context(), tt.key, func(a *verify.Account) error {
			a.Parent = tt.parent
			return nil
		})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	for parent, want := range map[string]error{"nobody00": store.ErrNoParent, "child001": store.ErrParent, "newchild": store.ErrParent} {
		err := db.CreateAccount(t.Context(), store.NewAccount{Account: verify.Account{Key: "newchild", Parent: parent}, Secret: "s"}, t0)
		if !errors.Is(err, want) {
			t.Errorf("create below %s: %v, want %v", parent, err, want)
		}
	}
	must(t, db.CreateAccount(t.Context(), store.NewAccount{
		Account: verify.Account{Key: "child002", Parent: "parent01", Balance: 11}, Secret: "s",
	}, t0))
	wantBalance(t, db, "parent01", 111, 0)
	for _, tt := range []struct {
		parent string
		want   verify.Money
	}{{"parent01", 111}, {"parent02", 200}, {"", 0}} {
		must(t, db.UpdateAccount(t.Context(), "single01", func(a *verify.Account) error {
			a.Parent = tt.parent
			return nil
		}))
		if c, err := db.Credentials(t.Context(), "single01"); err != nil || c.Parent != tt.parent || c.Balance != tt.want {
			t.Errorf("below %q: parent %q, balance %s (%v), want %s", tt.parent, c.Parent, c.Balance, err, tt.want)
		}
	}
}
