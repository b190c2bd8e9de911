package sip

import (
	"context"
	"crypto/md5" //nolint:gosec // RFC 3261 §22.4 requires it
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// login answers the challenges to one request (RFC 3261 §22, RFC 8760). The zero
// value is ready to use.
type login struct {
	tries map[string]int  // number of answers per realm
	shown map[string]bool // answered nonces
}

const (
	// mostTries bounds the answers per realm: one, and another after a stale or new nonce.
	mostTries = 2
	// mostRealms bounds the realms of a request.
	mostRealms = 5
)

// Reasons not to answer a challenge.
var (
	errNoPassword  = errors.New("the trunk requires credentials: set user and password of the carrier")
	errCredentials = errors.New("the trunk refused user and password")
)

// challenged reports whether the response is a challenge (401 or 407).
func challenged(res *sip.Response) bool {
	return res.StatusCode == sip.StatusUnauthorized || res.StatusCode == sip.StatusProxyAuthRequired
}

// retry returns the request that answers a challenge: a copy of req with credentials
// and the next CSeq. In each realm it answers the strongest supported challenge, the
// first of equal ones. It returns an error if the challenge cannot be answered.
func (l *login) retry(cfg *Config, req *sip.Request, res *sip.Response) (*sip.Request, error) {
	if cfg.Password == "" {
		return nil, errNoPassword
	}
	ask, show := "WWW-Authenticate", "Authorization"
	if h := "Proxy-Authenticate"; res.StatusCode == sip.StatusProxyAuthRequired && res.GetHeader(h) != nil || res.GetHeader(ask) == nil {
		ask, show = h, "Proxy-Authorization"
	}
	var offered []challenge
	for _, h := range res.GetHeaders(ask) {
		offered = append(offered, parseChallenges(h.Value())...)
	}
	chosen := strongest(offered)
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no supported challenge among %s", describe(offered))
	}
	if !l.may(chosen) {
		return nil, errCredentials
	}
	next := nextRequest(req)
	for _, c := range chosen {
		credentials, err := c.answer(cfg.User, cfg.Password, next)
		if err != nil {
			return nil, err
		}
		replaceCredentials(next, show, c.params["realm"], credentials)
	}
	return next, nil
}

// may counts an answer to the challenges and reports whether it is allowed: at least
// one has a new or stale nonce in a realm below mostTries.
func (l *login) may(chosen []challenge) bool {
	if l.tries == nil {
		l.tries, l.shown = map[string]int{}, map[string]bool{}
	}
	fresh := false
	for _, c := range chosen {
		realm, nonce := c.params["realm"], c.params["nonce"]
		l.tries[realm]++
		again := !l.shown[nonce] || strings.EqualFold(c.params["stale"], "true")
		fresh = fresh || again && l.tries[realm] <= mostTries
		l.shown[nonce] = true
	}
	return fresh && len(l.tries) <= mostRealms
}

// nextRequest returns a copy of a request for a new transaction, with the next CSeq and
// without Via, which sipgo adds.
func nextRequest(req *sip.Request) *sip.Request {
	next := req.Clone()
	next.RemoveHeader("Via")
	next.CSeq().SeqNo++
	return next
}

// replaceCredentials replaces the credentials for a realm in a request. Credentials for
// other realms, such as another proxy's, remain.
func replaceCredentials(req *sip.Request, header, realm, credentials string) {
	var others []string
	for _, h := range req.GetHeaders(header) {
		if old := parseChallenges(h.Value()); len(old) > 0 && old[0].params["realm"] != realm {
			others = append(others, h.Value())
		}
	}
	for req.RemoveHeader(header) {
	}
	for _, value := range append(others, credentials) {
		req.AppendHeader(sip.NewHeader(header, value))
	}
}

// challenge is one challenge of a WWW-Authenticate or Proxy-Authenticate header.
type challenge struct {
	scheme string
	params map[string]string // values without quotes; names in lower case
}

// parseChallenges parses a header with one or more challenges, separated by commas (RFC
// 9110 §11.6.1). Text outside the grammar is skipped.
func parseChallenges(text string) []challenge {
	var list []challenge
	for {
		text = strings.TrimLeft(text, ", \t")
		end := strings.IndexAny(text, "=, \t")
		if end < 0 {
			end = len(text)
		}
		word, rest := text[:end], strings.TrimLeft(text[end:], " \t")
		switch {
		case text == "":
			return list
		case !strings.HasPrefix(rest, "="):
			list = append(list, challenge{scheme: word, params: map[string]string{}})
			text = rest
			continue
		}
		value, rest := parseValue(strings.TrimLeft(rest[1:], " \t"))
		if len(list) > 0 {
			list[len(list)-1].params[strings.ToLower(word)] = value
		}
		text = rest
	}
}

// parseValue returns the leading token or unquoted string of text, and the rest.
func parseValue(text string) (value, rest string) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexAny(text, ", \t")
		if end < 0 {
			end = len(text)
		}
		return text[:end], text[end:]
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return b.String(), text[i+1:]
		case '\\':
			i++
		}
		if i < len(text) {
			b.WriteByte(text[i])
		}
	}
	return b.String(), ""
}

// algorithm is a digest algorithm of RFC 8760 §2.1.
type algorithm struct {
	name     string
	strength int
	hash     func() hash.Hash
}

// algorithm returns the digest algorithm of a challenge and whether its name ends in
// "-sess". ok is false if it is not supported.
func (c challenge) algorithm() (a algorithm, session, ok bool) {
	name := c.params["algorithm"]
	if n := len(name) - len("-sess"); n > 0 && strings.EqualFold(name[n:], "-sess") {
		name, session = name[:n], true
	}
	if name == "" {
		name = "MD5" // RFC 3261 §22.4
	}
	for _, a := range []algorithm{
		{"SHA-512-256", 3, sha512.New512_256},
		{"SHA-256", 2, sha256.New},
		{"MD5", 1, md5.New},
	} {
		if strings.EqualFold(a.name, name) {
			return a, session, true
		}
	}
	return algorithm{}, false, false
}

// qop returns the quality of protection to use: "auth", "auth-int", or "" for a
// challenge without qop (RFC 2069). ok is false if no offered value is supported.
func (c challenge) qop() (qop string, ok bool) {
	offered, given := c.params["qop"]
	if !given {
		return "", true
	}
	fields := strings.FieldsFunc(strings.ToLower(offered), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
	for _, q := range []string{"auth", "auth-int"} {
		if slices.Contains(fields, q) {
			return q, true
		}
	}
	return "", len(fields) == 0
}

func (c challenge) supported() bool {
	_, _, known := c.algorithm()
	_, possible := c.qop()
	return strings.EqualFold(c.scheme, "Digest") && known && possible && c.params["nonce"] != ""
}

// strongest returns the strongest supported challenge of each realm, strongest first.
func strongest(offered []challenge) []challenge {
	strength := func(c challenge) int {
		a, _, _ := c.algorithm()
		return a.strength
	}
	var supported, chosen []challenge
	for _, c := range offered {
		if c.supported() {
			supported = append(supported, c)
		}
	}
	slices.SortStableFunc(supported, func(a, b challenge) int { return strength(b) - strength(a) })
	realms := map[string]bool{}
	for _, c := range supported {
		if realm := c.params["realm"]; !realms[realm] {
			realms[realm] = true
			chosen = append(chosen, c)
		}
	}
	return chosen
}

// describe names schemes and algorithms for an error.
func describe(offered []challenge) string {
	var names []string
	for _, c := range offered {
		name := printable(c.scheme, 20)
		if a := c.params["algorithm"]; a != "" {
			name += " " + printable(a, 20)
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names[:min(len(names), 5)], ", ")
}

// answer returns the credentials for a challenge (RFC 7616 §3.4).
func (c challenge) answer(user, password string, req *sip.Request) (string, error) {
	a, session, ok := c.algorithm()
	qop, possible := c.qop()
	if !ok || !possible {
		return "", errors.New("challenge is not supported")
	}
	digest := func(parts ...string) string {
		h := a.hash()
		_, _ = h.Write([]byte(strings.Join(parts, ":"))) // never fails
		return hex.EncodeToString(h.Sum(nil))
	}
	realm, nonce, cnonce, uri := c.params["realm"], c.params["nonce"], rand.Text()[:16], req.Recipient.String()
	secret := digest(user, realm, password)
	if session {
		secret = digest(secret, nonce, cnonce)
	}
	request := digest(string(req.Method), uri)
	if qop == "auth-int" {
		request = digest(string(req.Method), uri, digest(string(req.Body())))
	}
	const count = "00000001" // each nonce is used once
	response := digest(secret, nonce, request)
	if qop != "" {
		response = digest(secret, nonce, count, cnonce, qop, request)
	}
	if strings.EqualFold(c.params["userhash"], "true") {
		user = digest(user, realm)
	}
	fields := []string{"username=" + quoted(user), "realm=" + quoted(realm), "nonce=" + quoted(nonce), "uri=" + quoted(uri)}
	if given := c.params["algorithm"]; given != "" {
		fields = append(fields, "algorithm="+a.name+map[bool]string{true: "-sess"}[session])
	}
	if opaque, given := c.params["opaque"]; given {
		fields = append(fields, "opaque="+quoted(opaque))
	}
	if qop != "" {
		fields = append(fields, "qop="+qop, "nc="+count)
	}
	if qop != "" || session {
		fields = append(fields, "cnonce="+quoted(cnonce))
	}
	if strings.EqualFold(c.params["userhash"], "true") {
		fields = append(fields, "userhash=true")
	}
	return "Digest " + strings.Join(append(fields, "response="+quoted(response)), ", "), nil
}

// quoted returns s as a quoted string (RFC 3261 §25.1), without line breaks.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r", "", "\n", "").Replace(s) + `"`
}

// do sends a request, answers challenges, and returns the final response with the
// request that it answers.
func (t *trunk) do(ctx context.Context, req *sip.Request) (*sip.Response, *sip.Request, error) {
	var l login
	for {
		res, err := t.client.Do(ctx, req)
		err = unsent(req, err)
		if res == nil && err == nil { // the trunk was closed
			err = errNoConnection
		}
		if err != nil || !challenged(res) {
			return res, req, err
		}
		next, err := l.retry(t.cfg, req, res)
		if err != nil {
			return nil, req, fmt.Errorf("%w: %w", newStatusError(res), err)
		}
		req = next
	}
}
