package engine

import (
	"context"
	"encoding/hex"
	"errors"
	"strconv"
	"time"

	"countersign/internal/account"
	"countersign/internal/signature"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// Proof holds the credentials of a request.
type Proof struct {
	Key    string
	Secret string
	Source string // IP address of the client

	// Signature replaces Secret in a signed request; Params are the signed parameters.
	Signature string
	Params    map[string]string
}

// maxClockSkew bounds the distance of a signed request's timestamp from the present.
//
// Its timestamp is compared with Config.Reference, because clients have the true time.
// The wall clock is not used, because a temporary step would refuse every signed request or
// admit copies of old ones. Clock is not used either: after a wrong clock was corrected by
// up to an hour, Clock takes hours to follow.
const maxClockSkew = 5 * time.Minute

// Admit returns the account of a request and counts the request against the account's
// rate. It refuses wrong credentials with KindBadCredentials, which does not count, and
// a request over the rate with KindThrottled. It admits a signed request once, and also
// repetitions within sameSecond. With a refusal after the credentials were proven it also
// returns the account; before, the account is zero.
func (e *Engine) Admit(ctx context.Context, p Proof) (verify.Account, error) {
	c, proven, err := e.credentials(ctx, p)
	if err != nil && !errors.Is(err, store.ErrNoAccount) {
		return verify.Account{}, err
	}
	// A forbidden source gets the same refusal, which does not reveal that the key is valid.
	if !proven || err != nil || !account.AllowsSource(c.Settings, p.Source) {
		if e.alarms.fail(c.Key) {
			e.metrics.alarms.Inc()
			e.cfg.Log.Warn("wrong credentials for an account", "account", c.Key, "failures", alarmAfter, "within", alarmEvery)
		}
		return verify.Account{}, unproven(c.Key, proven, err)
	}
	if p.Signature != "" {
		err = e.admitSigned(ctx, c.Account, p)
	} else {
		err = e.admitAtRate(c.Account)
	}
	return c.Account, err
}

// unproven returns the refusal of a request with wrong credentials. Its cause names the
// account if it exists, for the operator only.
func unproven(key string, proven bool, err error) error {
	by := verify.Cause{Rule: verify.RuleCredentials, Detail: key}
	switch {
	case err != nil: // no such account
		by.Detail = ""
	case proven:
		by.Rule = verify.RuleSources
	}
	return &verify.Error{Kind: verify.KindBadCredentials, By: by}
}

// credentials returns the account of a key, and whether the proof is valid for it. If the
// cached credentials do not match, it reads the database. All failures then take equal
// time, whether the key or the secret is wrong, and a newly added secret is accepted.
func (e *Engine) credentials(ctx context.Context, p Proof) (c store.Credentials, proven bool, err error) {
	c, err = e.cfg.Store.CachedCredentials(ctx, p.Key)
	if err != nil && !errors.Is(err, store.ErrNoAccount) {
		return c, false, err
	}
	if proven = e.proves(c, p); proven && err == nil {
		return c, true, nil
	}
	c, err = e.cfg.Store.Credentials(ctx, p.Key)
	if err != nil && !errors.Is(err, store.ErrNoAccount) {
		return c, false, err
	}
	if proven = e.proves(c, p); proven && err == nil {
		e.cfg.Store.CacheCredentials(c)
	}
	return c, proven, err
}

// admitAtRate counts a request against the account's rate.
func (e *Engine) admitAtRate(a verify.Account) error {
	if rate := e.rate(a); rate > 0 && !e.throttle.allow(a.Key, rate) {
		return throttled(rate)
	}
	return nil
}

// sameSecond is the distance from its timestamp within which a signed request may be repeated.
// SDKs use timestamps in seconds and no nonce, so two equal calls in one second have one
// signature: two searches, or the same wrong code twice.
const sameSecond = 2 * time.Second

// admitSigned admits one request per signature across all nodes, and repetitions within
// sameSecond. Replays are refused before the request is counted, so they do not use up the
// account's rate. The signature is stored after the count, so the rate bounds stored
// signatures.
func (e *Engine) admitSigned(ctx context.Context, a verify.Account, p Proof) error {
	sig, sent, ok := p.signed()
	if !ok {
		return &verify.Error{Kind: verify.KindBadCredentials}
	}
	fresh := e.cfg.Reference().Sub(sent).Abs() < sameSecond
	used, err := e.cfg.Store.SignatureUsed(ctx, a.Key, sig)
	if err != nil {
		return err
	}
	if used && !fresh {
		return signatureUsed(a.Key)
	}
	if err := e.admitAtRate(a); err != nil || used {
		return err
	}
	err = e.cfg.Store.UseSignature(ctx, a.Key, sig, e.signatureEnd(sent))
	if errors.Is(err, store.ErrSignatureUsed) && fresh {
		return nil
	}
	if errors.Is(err, store.ErrSignatureUsed) { // a concurrent replay was admitted
		if e.rate(a) > 0 {
			e.throttle.takeBack(a.Key)
		}
		return signatureUsed(a.Key)
	}
	return classified(err)
}

// signatureEnd returns the time, by Clock, after which Reference refuses a request sent at
// sent, so that its signature can be deleted. If the clocks differ it returns the later
// time. Clock never passes Reference while it follows a forward step, and runs slower than
// Reference while it follows a backward step.
func (e *Engine) signatureEnd(sent time.Time) time.Time {
	end := sent.Add(maxClockSkew)
	if byClock := e.cfg.Clock.Now().Add(end.Sub(e.cfg.Reference())); byClock.After(end) {
		return byClock
	}
	return end
}

func signatureUsed(key string) error {
	return &verify.Error{Kind: verify.KindBadCredentials, By: verify.Cause{Rule: verify.RuleSignature, Detail: key}}
}

// signed decodes the signature and timestamp of a signed request.
func (p Proof) signed() (sig []byte, sent time.Time, ok bool) {
	sig, err := hex.DecodeString(p.Signature)
	seconds, terr := strconv.ParseInt(p.Params["timestamp"], 10, 64)
	return sig, time.Unix(seconds, 0), err == nil && terr == nil
}

// rate returns the account's limit in requests per second; 0 means unlimited.
func (e *Engine) rate(a verify.Account) int { return e.cfg.Policy.Rate(a) }

func (e *Engine) proves(c store.Credentials, p Proof) bool {
	now := e.cfg.Clock.Now()
	if p.Signature == "" {
		return c.HasSecret(p.Secret, now)
	}
	method, secret := signature.Method(c.SignatureMethod), c.SignatureSecret
	if secret == "" {
		method, secret = signature.SHA256, "none" // dummy comparison, for constant time
	}
	signed := signature.Verify(method, secret, p.Params, p.Signature) && c.SignatureSecret != ""
	if c.OldSignatureSecret != "" && now.Before(c.OldSignatureUntil) {
		signed = signature.Verify(signature.Method(c.OldSignatureMethod), c.OldSignatureSecret, p.Params, p.Signature) || signed
	}
	_, sent, ok := p.signed()
	return signed && ok && e.cfg.Reference().Sub(sent).Abs() <= maxClockSkew
}
