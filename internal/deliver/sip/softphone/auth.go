package softphone

import (
	"crypto/rand"
	"sync"
	"sync/atomic"

	"github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
)

// digestAuth authenticates requests by digest authentication (RFC 3261 §22).
type digestAuth struct {
	cfg   *Config
	asked atomic.Int64

	mu    sync.Mutex
	nonce string
	stale bool // report the nonce as stale at its next use
}

const realm = "softphone"

func newNonce() string { return rand.Text() }

// admits reports whether a request has valid credentials or needs none. Otherwise it
// responds with a challenge.
func (a *digestAuth) admits(req *sip.Request, tx sip.ServerTransaction) bool {
	if a.cfg.User == "" {
		return true
	}
	status, phrase, ask, show := 401, "Unauthorized", "WWW-Authenticate", "Authorization"
	if a.cfg.Proxy && req.Method != sip.REGISTER { // a registrar is not a proxy
		status, phrase, ask, show = 407, "Proxy Authentication Required", "Proxy-Authenticate", "Proxy-Authorization"
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	shown := a.shown(req, show)
	if shown && !a.stale {
		return true
	}
	challenge := a.challenge()
	if shown {
		a.nonce, a.stale = newNonce(), false
		challenge = a.challenge()
		challenge.Stale = true
	}
	a.asked.Add(1)
	headers := []sip.Header{sip.NewHeader(ask, challenge.String())}
	if a.cfg.Challenges {
		headers = []sip.Header{
			sip.NewHeader(ask, `Bearer authz_server="https://login.example/", error="invalid_token"`),
			sip.NewHeader(ask, `Digest realm="`+realm+`", nonce="aka", algorithm=AKAv1-MD5, qop="auth-int"`),
			sip.NewHeader(ask, `Digest realm="`+realm+`", nonce="weak", algorithm=MD5, Digest realm="`+realm+`", nonce="better", algorithm=SHA-256, qop="auth"`),
			headers[0],
		}
	}
	respond(tx, req, status, phrase, headers...)
	return false
}

func (a *digestAuth) challenge() *digest.Challenge {
	c := &digest.Challenge{Realm: realm, Nonce: a.nonce, Algorithm: "MD5", QOP: []string{"auth"}}
	if a.cfg.Challenges {
		c.Algorithm, c.Opaque = "SHA-512-256", "opaque, and quoted"
	}
	return c
}

// shown reports whether a header of the request has valid credentials.
func (a *digestAuth) shown(req *sip.Request, header string) bool {
	h := req.GetHeader(header)
	if h == nil {
		return false
	}
	cred, err := digest.ParseCredentials(h.Value())
	if err != nil || cred.Username != a.cfg.User || cred.Nonce != a.nonce {
		return false
	}
	want, err := digest.Digest(a.challenge(), digest.Options{
		Method: req.Method.String(), URI: cred.URI, Username: a.cfg.User, Password: a.cfg.Password,
		Cnonce: cred.Cnonce, Count: cred.Nc,
	})
	return err == nil && want.Response == cred.Response
}
