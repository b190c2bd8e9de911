package adminapi

import (
	"cmp"
	"context"
	"time"
	"unicode/utf8"

	"countersign/internal/signature"
	"countersign/internal/store"
)

// Secret is an API secret without its value.
type Secret struct {
	ID        string `json:"id"`
	CreatedAt string `json:"created_at"`
	ExpiresAt string `json:"expires_at"` // "" if unlimited
}

func toSecret(s store.Secret) Secret {
	return Secret{s.ID, stamp(s.CreatedAt), stamp(s.ExpiresAt)}
}

// Secrets is the response with the valid secrets of an account.
type Secrets struct {
	Secrets []Secret `json:"secrets"`
}

func (c *exchange) secrets(ctx context.Context, key string) ([]Secret, error) {
	found, err := c.cfg.Store.Secrets(ctx, key, c.now())
	return each(found, toSecret), err
}

func (c *exchange) listSecrets() (any, error) {
	list, err := c.secrets(c.r.Context(), c.r.PathValue("key"))
	if err != nil {
		return nil, err
	}
	return Secrets{list}, nil
}

// AddSecret is a request to add a secret.
type AddSecret struct {
	Secret    string `json:"secret"`                       // generated if empty
	ExpiresIn *int   `json:"expires_in_seconds,omitempty"` // unlimited if absent
}

// AddedSecret is a new secret, shown only once.
type AddedSecret struct {
	Secret
	Value string `json:"secret"`
}

func (c *exchange) addSecret() (any, error) {
	var add AddSecret
	if err := c.read(&add); err != nil {
		return nil, err
	}
	key, value := c.r.PathValue("key"), cmp.Or(add.Secret, store.NewAPISecret())
	if err := givenSecret(value); err != nil {
		return nil, err
	}
	var expires time.Time
	if add.ExpiresIn != nil {
		if *add.ExpiresIn == 0 { // an expiry of 0 would mean unlimited
			return nil, invalid("expires_in_seconds", "must not be 0; omit it for a secret that never expires")
		}
		var err error
		if expires, err = c.in("expires_in_seconds", *add.ExpiresIn); err != nil {
			return nil, err
		}
	}
	ctx := c.change(key, map[string]any{"expires_at": stamp(expires)})
	added, err := c.cfg.Store.AddSecret(ctx, key, value, expires, c.now())
	if err != nil {
		return nil, err
	}
	return AddedSecret{toSecret(added), value}, nil
}

// Length of a secret. The minimum is Vonage's, so applications can keep their secrets;
// docs/explanation/security.md explains why it suffices.
const (
	minSecret = 8   // characters
	maxSecret = 200 // bytes
)

// givenSecret validates a secret chosen by the operator.
func givenSecret(secret string) error {
	if utf8.RuneCountInString(secret) < minSecret {
		return invalid("secret", "must have at least %d characters", minSecret)
	}
	return line("secret", secret, maxSecret)
}

func (c *exchange) revokeSecret() (any, error) {
	key, id := c.r.PathValue("key"), c.r.PathValue("id")
	ctx := c.change(key, map[string]string{"id": printable(id)})
	return nil, c.cfg.Store.RevokeSecret(ctx, key, id)
}

// Rotation sets the grace period of replaced secrets.
type Rotation struct {
	Keep int `json:"keep_seconds"` // 0 ends them immediately
}

// NewSecret is a new secret, shown only once.
type NewSecret struct {
	Secret string `json:"secret"`
}

func (c *exchange) rotateSecret() (any, error) {
	var rotation Rotation
	if c.r.Header.Get("Content-Type") != "" || c.r.ContentLength != 0 {
		if err := c.read(&rotation); err != nil {
			return nil, err
		}
	}
	until, err := c.in("keep_seconds", rotation.Keep)
	if err != nil {
		return nil, err
	}
	key := c.r.PathValue("key")
	ctx := c.change(key, map[string]string{"old_until": stamp(until)})
	s := NewSecret{Secret: store.NewAPISecret()}
	if err := c.cfg.Store.RotateSecret(ctx, key, s.Secret, until, c.now()); err != nil {
		return nil, err
	}
	return s, nil
}

// SignatureRotation is a request for a new signature secret.
type SignatureRotation struct {
	Method string `json:"method"` // "" keeps the method
	Rotation
}

// NewSignature is a new signature secret, shown only once.
type NewSignature struct {
	Method string `json:"signature_method"`
	Secret string `json:"signature_secret"`
}

func (c *exchange) rotateSignature() (any, error) {
	var rotation SignatureRotation
	if err := c.read(&rotation); err != nil {
		return nil, err
	}
	until, err := c.in("keep_seconds", rotation.Keep)
	if err != nil {
		return nil, err
	}
	key := c.r.PathValue("key")
	found, err := c.cfg.Store.Credentials(c.r.Context(), key)
	if err != nil {
		return nil, err
	}
	method := cmp.Or(rotation.Method, found.SignatureMethod)
	if !signature.Method(method).Valid() {
		return nil, invalid("method", "must be md5hash, md5, sha1, sha256 or sha512")
	}
	ctx := c.change(key, map[string]string{"method": method, "old_until": stamp(until)})
	s := NewSignature{Method: method, Secret: store.NewAPISecret()}
	if err := c.cfg.Store.SetSignature(ctx, key, s.Method, s.Secret, until, c.now()); err != nil {
		return nil, err
	}
	return s, nil
}

// longest is the maximum time until an expiry.
const longest = 10 * 365 * 24 * time.Hour

// in returns the time after the given number of seconds; the zero time for 0.
func (c *exchange) in(parameter string, seconds int) (time.Time, error) {
	if seconds < 0 || seconds > int(longest/time.Second) {
		return time.Time{}, invalid(parameter, "must be 0 to %d seconds", int(longest/time.Second))
	}
	if seconds == 0 {
		return time.Time{}, nil
	}
	return c.now().Truncate(time.Millisecond).Add(time.Duration(seconds) * time.Second), nil
}
