package engine_test

import (
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"countersign/internal/engine"
	"countersign/internal/signature"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

// signedBy returns a signed request of the bench's account with the given timestamp; n
// distinguishes requests of one second.
func signedBy(b *bench, at time.Time, n int) engine.Proof {
	params := map[string]string{"api_key": b.account.Key, "n": strconv.Itoa(n), "timestamp": strconv.FormatInt(at.Unix(), 10)}
	return engine.Proof{Key: b.account.Key, Params: params, Signature: signature.Sign("sha256", "signature secret", params)}
}

// TestReplay: a signed request is admitted once, also in other spellings, until its
// timestamp is too old.
func TestReplay(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	admit := func(p engine.Proof, want bool) {
		t.Helper()
		if _, err := b.Admit(t.Context(), p); (err == nil) != want || err != nil && kind(err) != verify.KindBadCredentials {
			t.Errorf("at %s: %v, want it to be admitted: %t", b.clock.Now(), err, want)
		}
	}
	first := signedBy(b, t0.Add(270*time.Second), 1) // the clock of its client is ahead
	admit(first, true)
	admit(first, false)
	capitals := first
	capitals.Signature = strings.ToUpper(first.Signature)
	admit(capitals, false)
	blank := first
	blank.Params = map[string]string{"lg": ""}
	for name, value := range first.Params {
		blank.Params[name] = value
	}
	admit(blank, false)
	admit(signedBy(b, t0, 1), true)
	admit(signedBy(b, t0, 2), true)
	for range 20 {
		b.clock.Advance(time.Minute)
		admit(first, false)
		_, err := b.db.ForgetSignatures(t.Context(), b.clock.Now(), 100)
		must(t, err)
	}
}

// TestReplayInOneSecond: two equal requests of an SDK in one second have one signature and
// are both admitted; a later copy is not.
func TestReplayInOneSecond(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	p := signedBy(b, t0, 1)
	for _, at := range []time.Duration{0, 0, 999 * time.Millisecond, 1999 * time.Millisecond} {
		b.clock.Advance(at - b.clock.Now().Sub(t0))
		if _, err := b.Admit(t.Context(), p); err != nil {
			t.Errorf("after %s: %v", at, err)
		}
	}
	b.clock.Advance(time.Millisecond)
	if _, err := b.Admit(t.Context(), p); kind(err) != verify.KindBadCredentials {
		t.Errorf("after 2 s: %v", err)
	}
}

// TestReplayAtOnce: of concurrent copies one is admitted, and the others do not count
// against the account's rate.
func TestReplayAtOnce(t *testing.T) {
	t.Parallel()
	const rate = 50 // more than concurrent copies
	b := setUp(t, func(_ *bench, c *engine.Config) { c.Policy.RequestsPerSecond = rate })
	p := signedBy(b, t0.Add(-2*time.Second), 1)
	var admitted atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for range 10 {
				switch _, err := b.Admit(t.Context(), p); {
				case err == nil:
					admitted.Add(1)
				case kind(err) != verify.KindBadCredentials:
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if admitted.Load() != 1 {
		t.Errorf("%d of 200 copies were admitted", admitted.Load())
	}
	for range rate - 1 {
		_, err := b.Admit(t.Context(), engine.Proof{Key: b.account.Key, Secret: "secret"})
		must(t, err)
	}
	if _, err := b.Admit(t.Context(), engine.Proof{Key: b.account.Key, Secret: "secret"}); kind(err) != verify.KindThrottled {
		t.Errorf("a request over the rate: %v", err)
	}
}

// TestReplayThrottled: a throttled request does not use up its signature and may be repeated.
func TestReplayThrottled(t *testing.T) {
	t.Parallel()
	b := setUp(t, func(_ *bench, c *engine.Config) { c.Policy.RequestsPerSecond = 1 })
	_, err := b.Admit(t.Context(), signedBy(b, t0, 1))
	must(t, err)
	p := signedBy(b, t0, 2)
	if _, err := b.Admit(t.Context(), p); kind(err) != verify.KindThrottled {
		t.Fatalf("got %v", err)
	}
	b.clock.Advance(time.Second)
	_, err = b.Admit(t.Context(), p)
	must(t, err)
}

// TestReplayElsewhere: a copy is refused by another node, and by the next process after a
// kill.
func TestReplayElsewhere(t *testing.T) {
	t.Parallel()
	t.Run("node", func(t *testing.T) {
		t.Parallel()
		one, two := twoNodes(t)
		refused(t, one, two)
	})
	t.Run("after a kill", func(t *testing.T) {
		t.Parallel()
		path, key, clock := filepath.Join(t.TempDir(), "countersign.db"), vault.NewKey(), clockwork.NewFakeClockAt(t0)
		one := setUpNode(t, path, key, clock)
		p := signedBy(one, t0.Add(-2*time.Second), 1)
		_, err := one.Admit(t.Context(), p)
		must(t, err)
		must(t, one.db.Close()) // only the database survives the process
		two := setUpNode(t, path, key, clock)
		if _, err := two.Admit(t.Context(), p); kind(err) != verify.KindBadCredentials {
			t.Errorf("a copy: %v", err)
		}
	})
}

func refused(t *testing.T, one, two *bench) {
	t.Helper()
	p := signedBy(one, t0.Add(-2*time.Second), 1)
	_, err := one.Admit(t.Context(), p)
	must(t, err)
	if _, err := two.Admit(t.Context(), p); kind(err) != verify.KindBadCredentials {
		t.Errorf("a copy at another node: %v", err)
	}
}
