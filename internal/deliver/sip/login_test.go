package sip_test

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/icholy/digest"

	"countersign/internal/deliver"
	"countersign/internal/deliver/sip"
)

func account(c *sip.Config) { c.User, c.Password = "acme", "secret" }

// param returns a parameter of credentials, without quotes.
func param(credentials, name string) string {
	for p := range strings.SplitSeq(strings.TrimPrefix(credentials, "Digest "), ", ") {
		if k, v, _ := strings.Cut(p, "="); k == name {
			return strings.Trim(v, `"`)
		}
	}
	return ""
}

// TestChallenges: the strongest supported challenge of a realm is answered, in any order
// and form.
func TestChallenges(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		challenges []string // headers
		algorithm  string   // algorithm of the credentials; "none" for no credentials
		qop        string
		opaque     string
	}{
		"plain":              {[]string{`Digest realm="r", nonce="n"`}, "", "", ""},
		"unknown algorithm":  {[]string{`Digest realm="r", nonce="a", algorithm=AKAv1-MD5`, `Digest realm="r", nonce="n", algorithm=MD5, qop="auth"`}, "MD5", "auth", ""},
		"unknown scheme":     {[]string{`Bearer authz_server="https://a.example/", scope="x, y"`, `Digest realm="r",nonce="n",qop="auth"`}, "", "auth", ""},
		"weakest first":      {[]string{`Digest realm="r", nonce="a", algorithm=MD5`, `Digest realm="r", nonce="b", algorithm=SHA-256`, `Digest realm="r", nonce="n", algorithm=SHA-512-256, qop="auth"`}, "SHA-512-256", "auth", ""},
		"strongest first":    {[]string{`Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth"`, `Digest realm="r", nonce="b", algorithm=MD5`}, "SHA-256", "auth", ""},
		"in one header":      {[]string{`Negotiate, Basic realm="r", Digest realm="r", nonce="a", algorithm=MD5,Digest realm="r", nonce="n", opaque="a, b=\"c\"", algorithm=SHA-256, qop="auth,auth-int"`}, "SHA-256", "auth", `a, b=\"c\"`},
		"lower case":         {[]string{"DIGEST\tREALM = \"r\" ,\tNonce=\"n\" , Algorithm=\"sha-256\", QOP = \" auth-int , auth \""}, "SHA-256", "auth", ""},
		"auth-int only":      {[]string{`Digest realm="r", nonce="n", algorithm=MD5, qop="auth-int"`}, "MD5", "auth-int", ""},
		"qop without quotes": {[]string{`Digest realm="r", nonce="n", qop=auth, algorithm=MD5`}, "MD5", "auth", ""},
		"session":            {[]string{`Digest realm="r", nonce="n", algorithm=MD5-sess, qop="auth"`}, "MD5-sess", "auth", ""},
		"strong session":     {[]string{`Digest realm="r", nonce="b", algorithm=MD5`, `Digest realm="r", nonce="n", algorithm=sha-256-SESS, qop="auth"`}, "SHA-256-sess", "auth", ""},
		"equals":             {[]string{`Digest realm="r", nonce="n", algorithm=MD5, qop="auth"`, `Digest realm="r", nonce="b", algorithm=MD5`}, "MD5", "auth", ""},
		"unknown qop":        {[]string{`Digest realm="r", nonce="b", algorithm=SHA-256, qop="token"`, `Digest realm="r", nonce="n", algorithm=MD5`}, "MD5", "", ""},
		"none supported":     {[]string{`Bearer`, `Digest realm="r", nonce="a", algorithm=AKAv1-MD5`}, "none", "", ""},
		"no challenge":       {nil, "none", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, proxy := range []bool{false, true} {
				status, ask, show := "401 Unauthorized", "WWW-Authenticate: ", "Authorization"
				if proxy {
					status, ask, show = "407 Proxy Authentication Required", "Proxy-Authenticate: ", "Proxy-Authorization"
				}
				p := listen(t, "udp")
				tr := open(t, p.addr, account)
				headers := make([]string, len(tt.challenges))
				for i, c := range tt.challenges {
					headers[i] = ask + c
				}
				_, err := send(t, tr, func() {
					first := p.want("INVITE")
					p.answer(first, status, "x", headers...)
					p.want("ACK")
					if tt.algorithm == "none" {
						return
					}
					invite := p.want("INVITE", show+": Digest ")
					shown := header(invite, show)
					if param(shown, "algorithm") != tt.algorithm || param(shown, "qop") != tt.qop || param(shown, "nonce") != "n" ||
						!strings.Contains(shown+",", `, opaque="`+tt.opaque+`",`) && tt.opaque != "" {
						t.Errorf("want %s, got credentials %s", tt.algorithm, shown)
					}
					if got, want := param(shown, "response"), response(t, "INVITE", shown, invite); got != want {
						t.Errorf("response %s, want %s of %s", got, want, shown)
					}
					if header(first, "CSeq") == header(invite, "CSeq") || header(first, "Via") == header(invite, "Via") || header(first, "Call-ID") != header(invite, "Call-ID") {
						t.Errorf("want another CSeq and Via, the same Call-ID:\n%s\n%s", first, invite)
					}
					p.answer(invite, "486 Busy Here", "x")
				})
				if refused := errors.Is(err, deliver.ErrRefused); refused != (tt.algorithm == "none") {
					t.Errorf("Send: %v", err)
				}
				if name == "none supported" && !strings.Contains(err.Error(), "Bearer, Digest AKAv1-MD5") {
					t.Errorf("the error does not name the challenges: %v", err)
				}
			}
		})
	}
}

// response returns the expected response of credentials.
func response(t *testing.T, method, shown, message string) string {
	t.Helper()
	name, session := strings.CutSuffix(param(shown, "algorithm"), "-sess")
	_, body, _ := strings.Cut(message, "\r\n\r\n")
	options := digest.Options{
		Method: method, URI: param(shown, "uri"), Username: "acme", Password: "secret", Cnonce: param(shown, "cnonce"), Count: 1,
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil },
	}
	if session {
		hash := func(s string) string {
			if name == "MD5" {
				sum := md5.Sum([]byte(s))
				return hex.EncodeToString(sum[:])
			}
			sum := sha256.Sum256([]byte(s))
			return hex.EncodeToString(sum[:])
		}
		options.A1 = hash(hash("acme:"+param(shown, "realm")+":secret") + ":" + param(shown, "nonce") + ":" + options.Cnonce)
	}
	challenge := &digest.Challenge{Realm: param(shown, "realm"), Nonce: param(shown, "nonce"), Algorithm: name}
	if qop := param(shown, "qop"); qop != "" {
		challenge.QOP = []string{qop}
	}
	want, err := digest.Digest(challenge, options)
	if err != nil {
		t.Fatal(err)
	}
	return want.Response
}

// TestChallengesInTurn: a proxy and the phone behind it, each with its realm, both get
// credentials. A stale nonce is answered again; a refusal is final.
func TestChallengesInTurn(t *testing.T) {
	t.Parallel()
	p := listen(t, "udp")
	tr := open(t, p.addr, account)
	_, err := send(t, tr, func() {
		p.answer(p.want("INVITE"), "407 Proxy Authentication Required", "x", `Proxy-Authenticate: Digest realm="one", nonce="1"`)
		p.answer(p.want("INVITE", `Digest username="acme", realm="one"`), "407 Proxy Authentication Required", "x", `Proxy-Authenticate: Digest realm="two", nonce="2"`)
		p.answer(p.want("INVITE", `realm="one"`, `realm="two"`), "401 Unauthorized", "x", `WWW-Authenticate: Digest realm="three", nonce="3"`)
		p.answer(p.want("INVITE", `realm="one"`, `realm="two"`, `Authorization: Digest username="acme", realm="three", nonce="3"`),
			"401 Unauthorized", "x", `WWW-Authenticate: Digest realm="three", nonce="4", stale=TRUE`)
		p.answer(p.want("INVITE", `realm="two"`, `nonce="4"`), "401 Unauthorized", "x", `WWW-Authenticate: Digest realm="three", nonce="5"`)
	})
	if !errors.Is(err, deliver.ErrRefused) || !strings.Contains(err.Error(), "refused user and password") {
		t.Errorf("Send: %v", err)
	}
}

// TestChallengedBye: a challenge to the BYE is answered with the strongest algorithm.
func TestChallengedBye(t *testing.T) {
	t.Parallel()
	p := listen(t, "udp")
	tr := open(t, p.addr, account)
	if _, err := send(t, tr, func() { p.answer(p.want("INVITE"), "200 OK", "one", p.sound()) }); err != nil {
		t.Fatal(err)
	}
	bye := p.want("BYE")
	p.answer(bye, "401 Unauthorized", "", `WWW-Authenticate: Digest realm="r", nonce="a", algorithm=AKAv2-SHA-256`, `WWW-Authenticate: Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth"`)
	again := p.want("BYE", "Authorization: ", ";tag=one")
	if shown := header(again, "Authorization"); param(shown, "response") != response(t, "BYE", shown, again) || header(again, "CSeq") == header(bye, "CSeq") {
		t.Errorf("BYE:\n%s", again)
	}
	p.answer(again, "200 OK", "")
	if r := tr.end(); r.State != "delivered" {
		t.Errorf("receipt: %+v", r)
	}
}

// TestSessionInterval: after a 422 the INVITE is sent once more with the required Min-SE.
func TestSessionInterval(t *testing.T) {
	t.Parallel()
	p := listen(t, "udp")
	tr := open(t, p.addr, account)
	if _, err := send(t, tr, func() {
		p.answer(p.want("INVITE"), "422 Session Interval Too Small", "x", "Min-SE: 1800")
		invite := p.want("INVITE", "Session-Expires: 1800\r\n", "Min-SE: 1800\r\n")
		p.answer(invite, "401 Unauthorized", "x", `WWW-Authenticate: Digest realm="r", nonce="n"`)
		p.answer(p.want("INVITE", "Min-SE: 1800\r\n", "Authorization"), "486 Busy Here", "x")
	}); err != nil {
		t.Error(err)
	}
	for _, again := range []string{"Min-SE: 3600", "Min-SE: soon", ""} {
		p := listen(t, "udp") // without retransmissions of the last call
		tr := open(t, p.addr, account)
		if _, err := send(t, tr, func() {
			invite := p.want("INVITE")
			if again == "Min-SE: 3600" {
				p.answer(invite, "422 Session Interval Too Small", "x", "Min-SE : 90;x=y")
				invite = p.want("INVITE", "Min-SE: 90\r\n")
			}
			p.answer(invite, "422 Session Interval Too Small", "x", strings.TrimSuffix("X: y\r\n"+again, "\r\n"))
		}); !errors.Is(err, deliver.ErrRefused) {
			t.Errorf("%q: Send: %v", again, err)
		}
		p.none("INVITE", "Min-SE: 3600")
	}
}
