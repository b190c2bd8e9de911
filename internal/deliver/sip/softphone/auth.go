package softphone

import (
	"crypto/rand"
	"sync"
	"sync/atomic"

	"github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
)

// guard asks who is there, by digest authentication (RFC 3261 §22).
type guard struct {
	cfg   *Config
	asked atomic.Int64

	mu    sync.Mutex
	nonce string
	stale bool // the nonce is, when it is used next
}

const realm = "softphone"

func newNonce() string { return rand.Text() }

// admits reports whether a request shows the password. If not, it has been answered
// with a challenge.
func (g *guard) admits(req *sip.Request, tx sip.ServerTransaction) bool {
	if g.cfg.User == "" {
		return true
	}
	status, phrase, ask, show := 401, "Unauthorized", "WWW-Authenticate", "Authorization"
	if g.cfg.Proxy && req.Method != sip.REGISTER { // a registrar asks for itself
		status, phrase, ask, show = 407, "Proxy Authentication Required", "Proxy-Authenticate", "Proxy-Authorization"
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	shown := g.shown(req, show)
	if shown && !g.stale {
		return true
	}
	challenge := g.challenge()
	if shown {
		g.nonce, g.stale = newNonce(), false
		challenge = g.challenge()
		challenge.Stale = true
	}
	g.asked.Add(1)
	headers := []sip.Header{sip.NewHeader(ask, challenge.String())}
	if g.cfg.Challenges {
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

func (g *guard) challenge() *digest.Challenge {
	c := &digest.Challenge{Realm: realm, Nonce: g.nonce, Algorithm: "MD5", QOP: []string{"auth"}}
	if g.cfg.Challenges {
		c.Algorithm, c.Opaque = "SHA-512-256", "opaque, and quoted"
	}
	return c
}

// shown reports whether the header of a request has the right response.
func (g *guard) shown(req *sip.Request, header string) bool {
	h := req.GetHeader(header)
	if h == nil {
		return false
	}
	cred, err := digest.ParseCredentials(h.Value())
	if err != nil || cred.Username != g.cfg.User || cred.Nonce != g.nonce {
		return false
	}
	want, err := digest.Digest(g.challenge(), digest.Options{
		Method: req.Method.String(), URI: cred.URI, Username: g.cfg.User, Password: g.cfg.Password,
		Cnonce: cred.Cnonce, Count: cred.Nc,
	})
	return err == nil && want.Response == cred.Response
}
