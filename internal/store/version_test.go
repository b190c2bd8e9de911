package store_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// onBoth runs test on each engine, with one database opened twice.
func onBoth(t *testing.T, test func(t *testing.T, path string, here, there *store.DB)) {
	t.Helper()
	t.Parallel()
	for name, path := range map[string]string{"sqlite": sqlite(t), "postgres": postgres(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, path, openFile(t, path, key), openFile(t, path, key))
		})
	}
}

// recall returns the cached credentials of an account, which must be cached.
func recall(t *testing.T, db *store.DB, key string) store.Credentials {
	t.Helper()
	c, err := db.CachedCredentials(t.Context(), key)
	if errors.Is(err, store.ErrNoAccount) {
		if c, err = db.Credentials(t.Context(), key); err == nil {
			db.CacheCredentials(c)
			c, err = db.CachedCredentials(t.Context(), key)
		}
	}
	must(t, err)
	return c
}

// TestCachedCredentials: cached credentials contain every acknowledged change, of this node
// or another.
func TestCachedCredentials(t *testing.T) {
	onBoth(t, func(t *testing.T, _ string, here, there *store.DB) {
		for changer, db := range map[string]*store.DB{"here0001": here, "there001": there} {
			testCachedCredentials(t, changer, here, db)
		}
	})
}

func testCachedCredentials(t *testing.T, account string, db, changes *store.DB) {
	t.Helper()
	ctx, parent := t.Context(), "p"+account[1:]
	addAccount(t, db, parent, verify.Unit)
	must(t, db.CreateAccount(ctx, store.NewAccount{Account: verify.Account{Key: account, Parent: parent}, Secret: "first"}, t0))
	if c := recall(t, db, account); c.Key != account || !c.HasSecret("first", t0) || c.HasSecret("x", t0) {
		t.Errorf("cached: %+v", c.Account)
	}
	for i, step := range []struct {
		change func() error
		holds  func(store.Credentials) bool
	}{
		{func() error { return changes.SetBarred(ctx, account, true) }, func(c store.Credentials) bool { return c.Barred }},
		{func() error { return changes.SetBarred(ctx, account, false) }, func(c store.Credentials) bool { return !c.Barred }},
		{func() error {
			return changes.UpdateAccount(ctx, account, func(a *verify.Account) error { a.Rate = 3; return nil })
		}, func(c store.Credentials) bool { return c.Rate == 3 }},
		{func() error { return changes.SetUnlimited(ctx, parent, true) }, func(c store.Credentials) bool { return c.PayerUnlimited }},
		{func() error { return changes.SetSignature(ctx, account, "sha256", "s", time.Time{}, t0) }, func(c store.Credentials) bool {
			return c.SignatureSecret == "s"
		}},
		{func() error { return changes.RotateSecret(ctx, account, "second", time.Time{}, t0) }, func(c store.Credentials) bool {
			return c.HasSecret("second", t0) && !c.HasSecret("first", t0)
		}},
		{func() error {
			_, err := changes.AddSecret(ctx, account, "third", time.Time{}, at(1))
			return err
		}, func(c store.Credentials) bool { return c.HasSecret("second", t0) && c.HasSecret("third", t0) }},
		{func() error {
			list, err := changes.Secrets(ctx, account, t0)
			if err != nil {
				return err
			}
			return changes.RevokeSecret(ctx, account, list[0].ID)
		}, func(c store.Credentials) bool { return !c.HasSecret("second", t0) && c.HasSecret("third", t0) }},
	} {
		recall(t, db, account)
		if err := step.change(); err != nil {
			t.Fatalf("change %d of %s: %v", i, account, err)
		}
		if c := recall(t, db, account); !step.holds(c) {
			t.Errorf("after change %d of %s the cache still has %+v", i, account, c.Account)
		}
	}
	must(t, changes.Credit(ctx, parent, 5, t0))
	if c := recall(t, db, account); c.Balance != 0 {
		t.Errorf("the cache has a balance, %s", c.Balance)
	}
}

// change runs a statement without the store's knowledge.
func change(t *testing.T, path, query string) {
	t.Helper()
	if store.IsPostgres(path) {
		pgtest.Exec(t, path, query)
		return
	}
	exec(t, raw(t, path), query)
}

// TestCachedCredentialsUnknown: the credentials of a cache miss never match.
func TestCachedCredentialsUnknown(t *testing.T) {
	t.Parallel()
	db := openFile(t, sqlite(t), key)
	addAccount(t, db, "demo0001", 0)
	addAccount(t, db, "other001", 0)
	recall(t, db, "other001")
	for _, key := range []string{"", "demo0001", "nobody00"} {
		c, err := db.CachedCredentials(t.Context(), key)
		if !errors.Is(err, store.ErrNoAccount) || c.Key != "" {
			t.Errorf("CachedCredentials(%q) = %+v, %v; want ErrNoAccount", key, c.Account, err)
		}
		for _, secret := range []string{"", "secret of demo0001", "secret of other001"} {
			if c.HasSecret(secret, t0) {
				t.Errorf("%q, which is not cached, has the secret %q", key, secret)
			}
		}
	}
}

// TestChangeHoldsAtOnce: every read that begins after a change was acknowledged returns the
// change, under concurrent reads.
func TestChangeHoldsAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, _ string, here, there *store.DB) {
		const rounds = 4
		for i := range rounds {
			addAccount(t, here, fmt.Sprintf("demo000%d", i), 0)
		}
		ask := func(i int64) (blocked, barred bool, err error) {
			if blocked, err = here.Blocked(t.Context(), fmt.Sprintf("44770090000%d", i)); err != nil {
				return blocked, barred, err
			}
			key := fmt.Sprintf("demo000%d", i)
			c, err := here.CachedCredentials(t.Context(), key)
			if errors.Is(err, store.ErrNoAccount) {
				if c, err = here.Credentials(t.Context(), key); err == nil {
					here.CacheCredentials(c)
				}
			}
			return blocked, c.Barred, err
		}
		var told atomic.Int64 // number of acknowledged blocks and bars
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for n := told.Load(); n < rounds && !t.Failed(); n = told.Load() {
					for i := range int64(rounds) {
						blocked, barred, err := ask(i)
						if err != nil || i < n && (!blocked || !barred) {
							t.Errorf("%d: blocked %v, barred %v (%v), after %d were acknowledged", i, blocked, barred, err, n)
						}
					}
				}
			})
		}
		for i := range rounds {
			must(t, there.BlockNumber(t.Context(), store.BlockedNumber{Number: fmt.Sprintf("44770090000%d", i), CreatedAt: t0}))
			must(t, there.SetBarred(t.Context(), fmt.Sprintf("demo000%d", i), true))
			told.Add(1)
		}
		all.Wait()
	})
}

// TestLongBlockList: a block list that exceeds the cache is enforced.
func TestLongBlockList(t *testing.T) {
	onBoth(t, func(t *testing.T, path string, here, there *store.DB) {
		must(t, here.BlockNumber(t.Context(), store.BlockedNumber{Number: "447700900001", CreatedAt: t0}))
		change(t, path, `WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 20001)
			INSERT INTO blocked_numbers (number, reason, created_at) SELECT '441' || n, '', 1 FROM c`)
		must(t, there.BlockNumber(t.Context(), store.BlockedNumber{Number: "447700900002", CreatedAt: t0}))
		for number, want := range map[string]bool{"447700900001": true, "447700900002": true, "447700900003": false, "44120001": true} {
			if is, err := here.Blocked(t.Context(), number); is != want || err != nil {
				t.Errorf("%s is blocked: %v (%v), want %v", number, is, err, want)
			}
		}
	})
}

// TestLongBlockListForms: a block list of more rows than the cache is enforced if both forms of a
// number are on it, which are one number for the cache.
func TestLongBlockListForms(t *testing.T) {
	onBoth(t, func(t *testing.T, path string, here, there *store.DB) {
		change(t, path, `INSERT INTO blocked_numbers (number, reason, created_at) VALUES ('5491123456789', '', 1), ('541123456789', '', 1)`)
		change(t, path, `WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 20001)
			INSERT INTO blocked_numbers (number, reason, created_at) SELECT '611' || n, '', 1 FROM c`)
		must(t, there.BlockNumber(t.Context(), store.BlockedNumber{Number: "447700900002", CreatedAt: t0}))
		for number, want := range map[string]bool{"541123456789": true, "61120001": true, "61119999": true, "447700900002": true, "447700900003": false} {
			if is, err := here.Blocked(t.Context(), number); is != want || err != nil {
				t.Errorf("%s is blocked: %v (%v), want %v", number, is, err, want)
			}
		}
	})
}

// TestPricesNotRead: while prices cannot be read, the previous list is used.
func TestPricesNotRead(t *testing.T) {
	onBoth(t, func(t *testing.T, path string, here, there *store.DB) {
		must(t, here.ReplacePrices(t.Context(), "", []verify.Price{{Amount: 5}}))
		change(t, path, `DROP TABLE price_list`)
		change(t, path, `UPDATE settings SET value = '\x00' WHERE name = 'prices_version'`)
		must(t, there.BlockNumber(t.Context(), store.BlockedNumber{Number: "447700900002", CreatedAt: t0})) // takes as long as a change may
		wantPrice(t, here, "GB", "0.00000005")
		wantPrice(t, here, "GB", "0.00000005")
		if list, err := there.PriceList(t.Context()); err == nil {
			t.Errorf("without an earlier read the prices are %v", list)
		}
	})
}
