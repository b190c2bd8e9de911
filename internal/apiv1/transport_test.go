package apiv1_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"countersign/internal/server"
	"countersign/internal/servertest"
	"countersign/internal/signature"
	"countersign/internal/verify"
)

// carriages returns the ways to send parameters.
func carriages() map[string]func(r *request, params url.Values) {
	return map[string]func(*request, url.Values){
		"query": func(r *request, params url.Values) {
			r.method, r.params = http.MethodGet, params
		},
		"form": func(r *request, params url.Values) { r.params = params },
		"form with charset": func(r *request, params url.Values) {
			r.contentType, r.body = "application/x-www-form-urlencoded; charset=UTF-8", params.Encode()
		},
		"form without type": func(r *request, params url.Values) { r.body = params.Encode() },
		"json":              func(r *request, params url.Values) { r.contentType, r.body = "application/json", asJSON(params) },
		"json with charset": func(r *request, params url.Values) {
			r.contentType, r.body = "Application/JSON; charset=utf-8", asJSON(params)
		},
		"query of a post": func(r *request, params url.Values) { r.query, r.contentType = params.Encode(), "text/plain" },
		"query and form":  func(r *request, params url.Values) { r.query, r.params = halves(params) },
		"query and json": func(r *request, params url.Values) {
			query, rest := halves(params)
			r.query, r.contentType, r.body = query, "application/json", asJSON(rest)
		},
		"same in query and form": func(r *request, params url.Values) { r.query, r.params = params.Encode(), params },
	}
}

// halves splits every second parameter into a query.
func halves(params url.Values) (query string, rest url.Values) {
	rest = maps.Clone(params)
	first := url.Values{}
	for i, name := range slices.Sorted(maps.Keys(params)) {
		if i%2 == 0 {
			first[name] = params[name]
			delete(rest, name)
		}
	}
	return first.Encode(), rest
}

// asJSON returns parameters as JSON, with numeric text as numbers, as SDKs do.
func asJSON(params url.Values) string {
	object := map[string]any{}
	for name, values := range params {
		object[name] = values[0]
		if _, err := strconv.Atoi(values[0]); err == nil && values[0][0] != '0' {
			object[name] = json.Number(values[0])
		}
	}
	b, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// logins returns the ways to authenticate a request.
func logins() map[string]func(r *request, params url.Values, s *servertest.Server, t *testing.T) {
	type login = func(*request, url.Values, *servertest.Server, *testing.T)
	all := map[string]login{
		"parameters": func(_ *request, params url.Values, _ *servertest.Server, _ *testing.T) {
			as(server.DemoAccount, params)
		},
		"basic": func(r *request, _ url.Values, _ *servertest.Server, _ *testing.T) {
			r.user, r.pass = server.DemoAccount, server.DemoSecret
		},
		"key and basic": func(r *request, params url.Values, _ *servertest.Server, _ *testing.T) {
			params.Set("api_key", server.DemoAccount)
			r.user, r.pass = server.DemoAccount, server.DemoSecret
		},
	}
	for _, method := range []signature.Method{signature.MD5Hash, signature.MD5, signature.SHA1, signature.SHA256, signature.SHA512} {
		all["signed with "+string(method)] = func(_ *request, params url.Values, s *servertest.Server, t *testing.T) {
			key := newAccount(t, s, verify.Account{Balance: verify.Unit}, string(method))
			sign(params, key, method, s.Clock.Now())
		}
		all["signed with "+string(method)+" in capitals"] = func(_ *request, params url.Values, s *servertest.Server, t *testing.T) {
			key := newAccount(t, s, verify.Account{Balance: verify.Unit}, string(method))
			sign(params, key, method, s.Clock.Now())
			params.Set("sig", strings.ToUpper(params.Get("sig")))
		}
	}
	return all
}

func sign(params url.Values, key string, method signature.Method, at time.Time) {
	params.Set("api_key", key)
	params.Set("timestamp", strconv.FormatInt(at.Unix(), 10))
	flat := map[string]string{}
	for name, values := range params {
		flat[name] = strings.Join(values, ",")
	}
	params.Set("sig", signature.Sign(method, server.DemoSignatureSecret, flat))
}

// TestTransport sends the same start in every way, with every authentication.
func TestTransport(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	number := 447700900100
	for carriage, pack := range carriages() {
		for login, identify := range logins() {
			number++
			params := form("number", strconv.Itoa(number), "brand", "A&B=Ü 확", "code_length", "6", "workflow_id", "6", "sender_id", "a+b c")
			r := request{path: "/verify/json", anonymous: true}
			identify(&r, params, s, t)
			pack(&r, params)
			a := send(t, s.URL(), r)
			if got := a.fields(t); got["status"] != "0" {
				t.Errorf("%s, %s: %v", carriage, login, got)
				continue
			}
			m := s.WaitMessages(strconv.Itoa(number), 1)[0]
			if !strings.HasPrefix(m.Text, "A&B=Ü 확 code: ") || len(m.PIN()) != 6 || m.From != "a+b c" {
				t.Errorf("%s, %s: got %+v", carriage, login, m)
			}
		}
	}
}

// TestTransportOfAllCalls sends every request in every way.
func TestTransportOfAllCalls(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	number := 447700900100
	for carriage, pack := range carriages() {
		ask := func(path string, pairs ...string) map[string]string {
			r := request{path: path, anonymous: true}
			pack(&r, as(server.DemoAccount, form(pairs...)))
			return send(t, s.URL(), r).fields(t)
		}
		number++
		started := ask("/verify/psd2/json", "number", strconv.Itoa(number), "payee", "Acme", "amount", "48")
		id := started["request_id"]
		m := messagesOf(t, s, id, 1)[0]
		if !strings.Contains(m.Text, "€48.00 to Acme") {
			t.Errorf("%s: got %q", carriage, m.Text)
		}
		for _, step := range []struct {
			path   string
			params []string
			status string
		}{
			{"/verify/search/json", []string{"request_id", id}, "IN PROGRESS"},
			{"/verify/search/json", []string{"request_ids", id}, ""},
			{"/verify/control/json", []string{"request_id", id, "cmd", "cancel"}, "19"},
			{"/verify/control/json", []string{"request_id", id, "cmd", "trigger_next_event"}, "0"},
			{"/verify/check/json", []string{"request_id", id, "code", m.PIN(), "ip", "192.0.2.7"}, "0"},
		} {
			if got := ask(step.path, step.params...); got["status"] != step.status {
				t.Errorf("%s: %s returned %v, want %s", carriage, step.path, got, step.status)
			}
		}
	}
}

// TestSeveralIDs checks that request_ids can be repeated in query and form, and be a list
// in JSON.
func TestSeveralIDs(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	a, b := startOn(t, s, "447700900100"), startOn(t, s, "447700900101")
	for name, tt := range map[string]struct {
		request
		want []string
	}{
		"query":          {request{method: http.MethodGet, params: form("request_ids", a, "request_ids", b)}, []string{a, b}},
		"form":           {request{params: form("request_ids", b, "request_ids", a)}, []string{b, a}},
		"json":           {request{contentType: "application/json", body: `{"request_ids":["` + a + `","` + b + `"]}`}, []string{a, b}},
		"query and body": {request{query: "request_ids=" + a, params: form("request_ids", b)}, []string{a, b}},
		"both names":     {request{params: form("request_ids", a, "request_id", b)}, []string{a, b}},
		"unknown ones":   {request{params: form("request_ids", unknownID, "request_ids", b, "request_ids", "x")}, []string{b}},
		"empty ones":     {request{params: form("request_ids", "", "request_ids", b)}, []string{b}},
		"one":            {request{params: form("request_ids", a)}, []string{a}},
	} {
		tt.path = "/verify/search/json"
		answer := send(t, s.URL(), tt.request)
		root := answer.json(t)
		if root.names() != "verification_requests" {
			t.Errorf("%s: got %s", name, answer.body)
			continue
		}
		var got []string
		for _, item := range root.kids[0].kids {
			got = append(got, item.kids[0].text)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}

// TestCredentials checks the refusal of missing and wrong credentials.
func TestCredentials(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	tries := 0
	signed := func(change func(url.Values)) request {
		tries++ // make each signature unique
		params := form("request_id", unknownID, "nonce", strconv.Itoa(tries))
		sign(params, server.DemoAccount, server.DemoSignatureMethod, s.Clock.Now())
		change(params)
		return request{params: params}
	}
	at := func(age time.Duration) request {
		params := form("request_id", unknownID)
		sign(params, server.DemoAccount, server.DemoSignatureMethod, s.Clock.Now().Add(-age))
		return request{params: params}
	}
	replayed := at(2 * time.Second)
	replayed.path = "/verify/search/json"
	if got := send(t, s.URL(), replayed).fields(t); got["status"] != "101" {
		t.Errorf("signed: %v", got)
	}
	unsigned := newAccount(t, s, verify.Account{}, "")
	database(t, s, `UPDATE accounts SET signature_secret = NULL WHERE key = $1`, unsigned)
	noSecret := form("request_id", unknownID)
	sign(noSecret, unsigned, signature.MD5Hash, s.Clock.Now())

	for name, tt := range map[string]struct {
		request
		want string // status and text
	}{
		"nothing":              {request{}, "2 Missing api_key"},
		"key alone":            {request{params: form("api_key", server.DemoAccount)}, "2 Missing api_secret"},
		"secret alone":         {request{params: form("api_secret", server.DemoSecret)}, "2 Missing api_key"},
		"empty key":            {request{params: form("api_key", "", "api_secret", "x")}, "2 Missing api_key"},
		"empty secret":         {request{params: form("api_key", server.DemoAccount, "api_secret", "")}, "2 Missing api_secret"},
		"wrong secret":         {request{params: form("api_key", server.DemoAccount, "api_secret", "x")}, "4 Bad credentials"},
		"other case":           {request{params: form("api_key", server.DemoAccount, "api_secret", "DEMOSECRET0001")}, "4 Bad credentials"},
		"unknown key":          {request{params: as("demo0002", form())}, "4 Bad credentials"},
		"wrong basic":          {request{user: server.DemoAccount, pass: "x"}, "4 Bad credentials"},
		"basic without secret": {request{user: server.DemoAccount}, "2 Missing api_secret"},
		"basic of another":     {request{user: server.DemoAccount, pass: server.DemoSecret, params: form("api_key", server.TrialAccount)}, "2 Missing api_secret"},
		"parameters go first":  {request{user: server.DemoAccount, pass: server.DemoSecret, params: form("api_key", server.DemoAccount, "api_secret", "x")}, "4 Bad credentials"},

		"signed":               {signed(func(url.Values) {}), "101 No response found"},
		"signature broken":     {signed(func(p url.Values) { p.Set("sig", "xyz") }), "4 Bad credentials"},
		"signature wrong":      {signed(func(p url.Values) { p.Set("sig", strings.Repeat("0", 64)) }), "4 Bad credentials"},
		"signature and secret": {signed(func(p url.Values) { p.Set("sig", "0"); p.Set("api_secret", server.DemoSecret) }), "4 Bad credentials"},
		"parameter added":      {signed(func(p url.Values) { p.Set("lg", "en-us") }), "4 Bad credentials"},
		"parameter changed":    {signed(func(p url.Values) { p.Set("request_id", "x") }), "4 Bad credentials"},
		"empty one added":      {signed(func(p url.Values) { p.Set("lg", "") }), "101 No response found"},
		"no timestamp":         {signed(func(p url.Values) { p.Del("timestamp") }), "4 Bad credentials"},
		"timestamp changed":    {signed(func(p url.Values) { p.Set("timestamp", "1") }), "4 Bad credentials"},
		"sig with basic":       {request{user: server.DemoAccount, pass: server.DemoSecret, params: form("sig", "00")}, "2 Missing api_key"},
		"sig without key":      {signed(func(p url.Values) { p.Del("api_key") }), "2 Missing api_key"},
		"signed again":         {replayed, "4 Bad credentials"},
		"other account":        {signed(func(p url.Values) { p.Set("api_key", server.TrialAccount) }), "4 Bad credentials"},
		"five minutes old":     {at(5 * time.Minute), "101 No response found"},
		"older":                {at(5*time.Minute + time.Second), "4 Bad credentials"},
		"five minutes ahead":   {at(-5 * time.Minute), "101 No response found"},
		"further ahead":        {at(-5*time.Minute - time.Second), "4 Bad credentials"},
		"no signature secret":  {request{params: noSecret}, "4 Bad credentials"},
	} {
		tt.path, tt.anonymous = "/verify/search/json", true
		if tt.params == nil {
			tt.params = url.Values{}
		}
		if !tt.params.Has("request_id") {
			tt.params.Set("request_id", unknownID)
		}
		got := send(t, s.URL(), tt.request).fields(t)
		if text := got["status"] + " " + got["error_text"]; text != tt.want {
			t.Errorf("%s: got %s, want %s", name, text, tt.want)
		}
	}
}
