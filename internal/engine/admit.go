package engine

import (
	"context"
	"errors"
	"strconv"
	"time"

	"countersign/internal/signature"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// Proof is what a request offers to show that it comes from an account.
type Proof struct {
	Key    string
	Secret string
	Source string // the address that it comes from

	// Signature replaces the secret in a signed request; Params are the
	// parameters that it signs.
	Signature string
	Params    map[string]string
}

// maxClockSkew is how old, or how far ahead, a signed request may be.
const maxClockSkew = 5 * time.Minute

// Admit finds the account that a request comes from and counts the request
// against its rate. A request that cannot prove where it comes from is refused
// with KindBadCredentials and costs the account nothing; one too many is refused
// with KindThrottled.
func (e *Engine) Admit(ctx context.Context, p Proof) (verify.Account, error) {
	c, err := e.cfg.Store.Credentials(ctx, p.Key)
	if err != nil && !errors.Is(err, store.ErrNoAccount) {
		return verify.Account{}, err
	}
	// Also for an unknown key, so that it takes as long as a wrong secret.
	proven := e.proves(c, p)
	// The same words for a place where the key is not to be used: whoever found it
	// learns nothing there.
	if !proven || err != nil || !c.Settings.AllowsSource(p.Source) {
		if e.alarms.fail(c.Key) {
			e.metrics.alarms.Inc()
			e.cfg.Log.Warn("wrong credentials for an account", "account", c.Key, "failures", alarmAfter, "within", alarmEvery)
		}
		return verify.Account{}, &verify.Error{Kind: verify.KindBadCredentials}
	}
	if rate := e.rate(c.Account); rate > 0 && !e.throttle.allow(c.Key, rate) {
		return verify.Account{}, &verify.Error{Kind: verify.KindThrottled}
	}
	return c.Account, nil
}

// rate is how many requests an account may make in any second; 0 for any number.
func (e *Engine) rate(a verify.Account) int {
	switch {
	case a.Unlimited:
		return 0
	case a.Rate > 0:
		return a.Rate
	}
	return e.cfg.RequestsPerSecond
}

func (e *Engine) proves(c store.Credentials, p Proof) bool {
	now := e.cfg.Clock.Now()
	if p.Signature == "" {
		return c.HasSecret(p.Secret, now)
	}
	method, secret := signature.Method(c.SignatureMethod), c.SignatureSecret
	if secret == "" {
		method, secret = signature.SHA256, "none" // for the work, not for the result
	}
	signed := signature.Verify(method, secret, p.Params, p.Signature) && c.SignatureSecret != ""
	if c.OldSignatureSecret != "" && now.Before(c.OldSignatureUntil) {
		signed = signature.Verify(signature.Method(c.OldSignatureMethod), c.OldSignatureSecret, p.Params, p.Signature) || signed
	}
	sent, err := strconv.ParseInt(p.Params["timestamp"], 10, 64)
	if err != nil {
		return false
	}
	return signed && now.Sub(time.Unix(sent, 0)).Abs() <= maxClockSkew
}
