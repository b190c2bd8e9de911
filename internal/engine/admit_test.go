package engine_test

import (
	"maps"
	"strconv"
	"testing"
	"time"

	"countersign/internal/engine"
	"countersign/internal/signature"
	"countersign/internal/store"
	"countersign/internal/verify"
)

func TestAdmitSecret(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	must(t, b.db.CreateAccount(t.Context(), store.NewAccount{Account: verify.Account{Key: "barred01", Barred: true}, Secret: "other"}, t0))
	tests := []struct {
		name  string
		proof engine.Proof
		want  bool
	}{
		{"OK", engine.Proof{Key: "demo0001", Secret: "secret"}, true},
		{"BarredIsAdmitted", engine.Proof{Key: "barred01", Secret: "other"}, true}, // MaySend refuses it later
		{"ErrWrongSecret", engine.Proof{Key: "demo0001", Secret: "Secret"}, false},
		{"ErrNoSecret", engine.Proof{Key: "demo0001"}, false},
		{"ErrSecretOfAnother", engine.Proof{Key: "demo0001", Secret: "other"}, false},
		{"ErrSignatureSecret", engine.Proof{Key: "demo0001", Secret: "signature secret"}, false},
		{"ErrUnknownKey", engine.Proof{Key: "nobody00", Secret: "secret"}, false},
		{"ErrNoKey", engine.Proof{Secret: "secret"}, false},
		{"ErrNothing", engine.Proof{}, false},
		{"ErrSignatureBesideSecret", engine.Proof{Key: "demo0001", Secret: "secret", Signature: "00"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			account, err := b.Admit(t.Context(), tt.proof)
			if tt.want && (err != nil || account.Key != tt.proof.Key || account.Barred != (tt.proof.Key == "barred01")) {
				t.Errorf("got %+v, %v; want %s", account, err, tt.proof.Key)
			}
			if !tt.want && (kind(err) != verify.KindBadCredentials || account.Key != "") {
				t.Errorf("got %+v, %v; want KindBadCredentials and no account", account, err)
			}
		})
	}
}

func TestAdmitSigned(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	methods := []signature.Method{signature.MD5Hash, signature.MD5, signature.SHA1, signature.SHA256, signature.SHA512}
	for _, m := range methods {
		must(t, b.db.CreateAccount(t.Context(), store.NewAccount{
			Account: verify.Account{Key: string(m)}, Secret: "secret", SignatureMethod: string(m), SignatureSecret: "signature of " + string(m),
		}, t0))
	}
	must(t, b.db.CreateAccount(t.Context(), store.NewAccount{Account: verify.Account{Key: "unsigned"}, Secret: "secret"}, t0))
	// signed is a request of an account, signed age seconds ago.
	signed := func(m signature.Method, secret, key string, age int) engine.Proof {
		params := map[string]string{"api_key": key, "number": "447700900000", "brand": "A&B=C", "timestamp": strconv.FormatInt(t0.Unix()-int64(age), 10)}
		return engine.Proof{Key: key, Params: params, Signature: signature.Sign(m, secret, params)}
	}
	changed := func(p engine.Proof, name, value string) engine.Proof {
		p.Params = maps.Clone(p.Params)
		p.Params[name] = value
		return p
	}
	resigned := func(timestamp string) engine.Proof {
		p := changed(signed("sha256", "", "sha256", 0), "timestamp", timestamp)
		if timestamp == "" {
			delete(p.Params, "timestamp")
		}
		p.Signature = signature.Sign("sha256", "signature of sha256", p.Params)
		return p
	}
	type test struct {
		name  string
		proof engine.Proof
		want  bool
	}
	var tests []test
	for _, m := range methods {
		own := "signature of " + string(m)
		tests = append(tests,
			test{string(m), signed(m, own, string(m), 0), true},
			test{string(m) + "/tampered", changed(signed(m, own, string(m), 0), "number", "447700900001"), false},
			test{string(m) + "/added", changed(signed(m, own, string(m), 0), "brand2", "x"), false},
			test{string(m) + "/other secret", signed(m, "secret", string(m), 0), false},
		)
		for _, other := range methods {
			if other != m {
				tests = append(tests, test{string(m) + " signed with " + string(other), signed(other, own, string(m), 0), false})
			}
		}
	}
	own := "signature of sha256"
	tests = append(tests,
		test{"five minutes old", signed("sha256", own, "sha256", 300), true},
		test{"five minutes ahead", signed("sha256", own, "sha256", -300), true},
		test{"older", signed("sha256", own, "sha256", 301), false},
		test{"further ahead", signed("sha256", own, "sha256", -301), false},
		test{"no timestamp", resigned(""), false},
		test{"no number", resigned("now"), false},
		test{"milliseconds", resigned(strconv.FormatInt(t0.UnixMilli(), 10)), false},
		test{"largest", resigned("9223372036854775807"), false},
		test{"smallest", resigned("-9223372036854775808"), false},
		test{"unknown key", signed("sha256", own, "nobody00", 0), false},
		test{"account without a signature secret", signed("sha256", "", "unsigned", 0), false},
		test{"not hexadecimal", engine.Proof{Key: "sha256", Signature: "xyz", Params: signed("sha256", own, "sha256", 0).Params}, false},
		test{"no parameters", engine.Proof{Key: "sha256", Signature: "00"}, false},
	)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			account, err := b.Admit(t.Context(), tt.proof)
			if tt.want && (err != nil || account.Key != tt.proof.Key) {
				t.Errorf("got %+v, %v; want it to be admitted", account, err)
			}
			if !tt.want && kind(err) != verify.KindBadCredentials {
				t.Errorf("got %+v, %v; want KindBadCredentials", account, err)
			}
		})
	}
}

// TestAdmitRotated: replaced secrets are valid until exactly the end of their grace period.
func TestAdmitRotated(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	must(t, b.db.CreateAccount(t.Context(), store.NewAccount{
		Account: verify.Account{Key: "rotated1"}, Secret: "old", SignatureMethod: "sha1", SignatureSecret: "old signature",
	}, t0))
	until := t0.Add(time.Hour)
	must(t, b.db.RotateSecret(t.Context(), "rotated1", "new", until, t0))
	must(t, b.db.SetSignature(t.Context(), "rotated1", "sha256", "new signature", until, t0))
	try := func(name string, p engine.Proof, want bool) {
		t.Helper()
		if _, err := b.Admit(t.Context(), p); (err == nil) != want || err != nil && kind(err) != verify.KindBadCredentials {
			t.Errorf("%s at %s: %v, want it to be admitted: %v", name, b.clock.Now(), err, want)
		}
	}
	signed := func(m signature.Method, secret string) engine.Proof {
		params := map[string]string{"api_key": "rotated1", "timestamp": strconv.FormatInt(b.clock.Now().Unix(), 10)}
		return engine.Proof{Key: "rotated1", Params: params, Signature: signature.Sign(m, secret, params)}
	}
	all := func(old bool) {
		try("new secret", engine.Proof{Key: "rotated1", Secret: "new"}, true)
		try("old secret", engine.Proof{Key: "rotated1", Secret: "old"}, old)
		try("new signature", signed(signature.SHA256, "new signature"), true)
		try("old signature", signed(signature.SHA1, "old signature"), old)
		try("old secret by the new method", signed(signature.SHA256, "old signature"), false)
	}
	all(true)
	b.clock.Advance(time.Hour - time.Millisecond)
	all(true)
	b.clock.Advance(time.Millisecond)
	all(false)
}

func TestAdmitThrottles(t *testing.T) {
	t.Parallel()
	newBench := func(t *testing.T, rate int) *bench {
		return setUp(t, func(_ *bench, cfg *engine.Config) { cfg.Policy.RequestsPerSecond = rate })
	}
	// pass counts how many of n requests are admitted.
	pass := func(b *bench, key, secret string, n int) (passed int) {
		for range n {
			if _, err := b.Admit(b.t.Context(), engine.Proof{Key: key, Secret: secret}); err == nil {
				passed++
			}
		}
		return passed
	}
	t.Run("SixtyAtOnce", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, 30)
		results := make(chan error, 60)
		for range 60 {
			go func() {
				_, err := b.Admit(t.Context(), engine.Proof{Key: "demo0001", Secret: "secret"})
				results <- err
			}()
		}
		passed := 0
		for range 60 {
			switch err := <-results; {
			case err == nil:
				passed++
			case kind(err) != verify.KindThrottled:
				t.Error(err)
			}
		}
		if passed != 30 {
			t.Errorf("%d of 60 concurrent requests passed, want 30", passed)
		}
	})
	t.Run("NoBurstBetweenWindows", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, 30)
		b.clock.Advance(999 * time.Millisecond)
		if n := pass(b, "demo0001", "secret", 60); n != 30 {
			t.Errorf("%d passed just before the second ended", n)
		}
		b.clock.Advance(2 * time.Millisecond)
		if n := pass(b, "demo0001", "secret", 60); n != 0 {
			t.Errorf("%d more passed just after it ended", n)
		}
		b.clock.Advance(998 * time.Millisecond)
		if n := pass(b, "demo0001", "secret", 60); n != 30 {
			t.Errorf("%d passed a second later, want 30: refused requests must not count", n)
		}
	})
	t.Run("AccountsApart", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, 3)
		for key, a := range map[string]verify.Account{"other001": {}, "fast0001": {Rate: 5}, "slow0001": {Rate: 1}, "unlim001": {Rate: 1, Unlimited: true}} {
			a.Key = key
			must(t, b.db.CreateAccount(t.Context(), store.NewAccount{Account: a, Secret: "secret"}, t0))
		}
		for _, tt := range []struct {
			key, secret string
			want        int
		}{
			{"demo0001", "wrong", 0}, // does not count against the account
			{"demo0001", "secret", 3},
			{"other001", "secret", 3},
			{"fast0001", "secret", 5},
			{"slow0001", "secret", 1},
			{"unlim001", "secret", 100},
		} {
			if n := pass(b, tt.key, tt.secret, 100); n != tt.want {
				t.Errorf("%s: %d of 100 passed, want %d", tt.key, n, tt.want)
			}
		}
	})
	t.Run("NoBound", func(t *testing.T) {
		t.Parallel()
		if n := pass(newBench(t, 0), "demo0001", "secret", 100); n != 100 {
			t.Errorf("%d of 100 passed", n)
		}
	})
}
