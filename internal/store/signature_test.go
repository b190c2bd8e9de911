package store_test

import (
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// testSignatures: a signature can be used once by its account, until it is forgotten.
func testSignatures(t *testing.T, db *store.DB) {
	use := func(account, signature string, expires time.Time) bool {
		t.Helper()
		err := db.UseSignature(t.Context(), account, []byte(signature), expires)
		if err != nil && !errors.Is(err, store.ErrSignatureUsed) {
			t.Fatal(err)
		}
		used, uerr := db.SignatureUsed(t.Context(), account, []byte(signature))
		if uerr != nil || !used {
			t.Errorf("after its use SignatureUsed = %t, %v", used, uerr)
		}
		return err == nil
	}
	for i, step := range []struct {
		account, signature string
		want               bool
	}{
		{"a", "one", true}, {"a", "one", false}, {"a", "two", true}, {"b", "one", true}, {"b", "one", false}, {"a", "", true}, {"a", "", false},
	} {
		if got := use(step.account, step.signature, at(float64(i))); got != step.want {
			t.Errorf("step %d: %t, want %t", i, got, step.want)
		}
	}
	if used, err := db.SignatureUsed(t.Context(), "c", []byte("one")); used || err != nil {
		t.Errorf("an unused signature: %t, %v", used, err)
	}
	for _, want := range []int{2, 1, 0} { // signatures of seconds 0, 2 and 3; a signature is still valid at its expiry
		if n, err := db.ForgetSignatures(t.Context(), at(5), 2); n != want || err != nil {
			t.Errorf("forgot %d, %v; want %d", n, err, want)
		}
	}
	if !use("a", "one", at(9)) || use("a", "", at(9)) {
		t.Error("the wrong signatures were deleted")
	}
}

// testSignatureRace: of concurrent uses of a signature, one succeeds.
func testSignatureRace(t *testing.T, db *store.DB) {
	var won atomic.Int32
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			err := db.UseSignature(t.Context(), "a", []byte(strconv.Itoa(i%10)), t0)
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, store.ErrSignatureUsed):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 10 {
		t.Errorf("%d of 10 uses succeeded, want 1", won.Load())
	}
}

// testCredentialsUnknown: credentials of an unknown key never match.
func testCredentialsUnknown(t *testing.T, db *store.DB) {
	unknown := func(key string) {
		t.Helper()
		c, err := db.Credentials(t.Context(), key)
		if !errors.Is(err, store.ErrNoAccount) || c.Key != "" || c.Balance != 0 || c.SignatureSecret != "" || c.Unlimited {
			t.Errorf("%q: %+v, %v", key, c.Account, err)
		}
		for _, secret := range []string{"", "secret", "other"} {
			if c.HasSecret(secret, t0) {
				t.Errorf("%q with secret %q is accepted", key, secret)
			}
		}
	}
	unknown("first001")
	unknown("")
	for key, secret := range map[string]string{"first001": "secret", "second01": "other"} {
		must(t, db.CreateAccount(t.Context(), store.NewAccount{
			Account: verify.Account{Key: key, Balance: 7, Unlimited: true}, Secret: secret, SignatureMethod: "sha256", SignatureSecret: "s",
		}, t0))
	}
	for _, key := range []string{"", "nobody00", "FIRST001", "first001 ", "first00", "zzzzzzzz"} {
		unknown(key)
	}
	for key, secret := range map[string]string{"first001": "secret", "second01": "other"} {
		if c, err := db.Credentials(t.Context(), key); err != nil || c.Key != key || !c.HasSecret(secret, t0) || c.HasSecret("x", t0) {
			t.Errorf("%s: %+v, %v", key, c.Account, err)
		}
	}
}
