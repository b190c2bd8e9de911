package apiv1_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/apiv1"
	"countersign/internal/deliver"
	"countersign/internal/engine"
	"countersign/internal/message"
	"countersign/internal/outbound"
	"countersign/internal/server"
	"countersign/internal/servertest"
	"countersign/internal/signature"
	"countersign/internal/store"
	"countersign/internal/template"
	"countersign/internal/vault"
	"countersign/internal/verify"
	"countersign/internal/web"
)

// handler returns the API without a server, on a database with one account that has no
// credit and signs by the given method. No message can be delivered.
func handler(f testing.TB, method signature.Method, change ...func(*apiv1.Config)) http.Handler {
	f.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	db, err := store.Open(f.Context(), store.Config{Database: filepath.Join(f.TempDir(), "fuzz.db"), Key: vault.NewKey(), Log: log})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = db.Close() })
	clock := clockwork.NewFakeClockAt(servertest.Epoch)
	err = db.CreateAccount(f.Context(), store.NewAccount{
		Account: verify.Account{Key: server.DemoAccount, CustomPIN: true}, Secret: server.DemoSecret,
		SignatureMethod: string(method), SignatureSecret: server.DemoSignatureSecret,
	}, clock.Now())
	if err != nil {
		f.Fatal(err)
	}
	messages, err := message.New()
	if err != nil {
		f.Fatal(err)
	}
	router, err := deliver.NewRouter(deliver.RouterConfig{})
	if err != nil {
		f.Fatal(err)
	}
	metrics := prometheus.NewRegistry()
	writer := template.NewWriter(messages, db, log)
	mux := http.NewServeMux()
	cfg := apiv1.Config{
		Engine: engine.New(engine.Config{Store: db, Router: router, Messages: writer, Clock: clock, Log: log, Metrics: metrics}),
		Drain:  web.NewDrain(), Messages: messages, Writer: writer, Clock: clock, Log: log, Metrics: metrics,
		Templates: &template.Desk{Store: db, Messages: messages, Fetch: outbound.New(outbound.Config{})},
		BodyBytes: 4 << 10, PlatformName: "Nexmo", WrongCodeText: textWrongCode, TooManyCodesText: "too many", Currency: "USD",
	}
	for _, c := range change {
		c(&cfg)
	}
	apiv1.Register(mux, cfg)
	return mux
}

// FuzzParams passes any query and body to the API. The response is always a well-formed
// one of the API, in the requested format.
func FuzzParams(f *testing.F) {
	const login = "api_key=demo0001&api_secret=demosecret0001"
	for i, seed := range []struct{ query, contentType, body string }{
		{login + "&number=447700900000&brand=Acme", "", ""},
		{login, "application/json", `{"number":447700900000,"brand":"확인","pin_code":"1234"}`},
		{"", "application/x-www-form-urlencoded", login + "&number=07700900000&country=GB&brand=%C3%89&require_type=Mobile"},
		{login + "&payee=A&amount=1.5&number=447700900000&lg=fr-fr", "", ""},
		{login + "&request_id=" + unknownID + "&code=1234&ip=::1", "", ""},
		{login + "&request_ids=a&request_ids=b", "application/json", `{"request_ids":["c",1]}`},
		{login + "&request_id=%3C%26%3E&cmd=cancel", "", ""},
		{login + "&request_id=1&cmd=trigger_next_event", "", "x"},
		{"api_key=demo0001&sig=00&timestamp=1767323045", "", "brand=%zz"},
		{"a;b", "text/plain", "\xff"},
		{"", "application/json", `{"a":{"b":[1,true,null]},"a":1}`},
		{"number=%00", "application/json; charset=x", "{} {}"},
		{login + "&number=447700900000&brand=Booking.com\u200b", "application/json; utf-8", "\ufeff" + `{"test":true,"meta":{"a":[1]},"workflow_id":6.0}`},
		{login + "&request_id=" + unknownID, "application/x-www-form-urlencoded; UTF-8", "code=%D9%A1%D9%A2+-%EF%BC%93%E2%80%8B4\r\n"},
		{login + "&payee=A&number=447700900000", "application/json;", `{"amount":0.30000000000000004,"lg":"de_DE","pin_expiry":6e1}`},
		{login, "application/json", `{"action_type":"sms","lg":"ru-ru","template":"Код ${pin}","type":"unicode"}`},
	} {
		f.Add(uint8(i), seed.query, seed.contentType, seed.body)
	}
	h := handler(f, signature.SHA256)
	paths := []string{
		"/verify/json", "/verify/xml", "/verify/psd2/json", "/verify/check/json", "/verify/check/xml", "/verify/search/json",
		"/verify/search/xml", "/verify/control/json", "/verify/control/xml", "/verify/psd2/xml",
	}
	f.Fuzz(func(t *testing.T, path uint8, query, contentType, body string) {
		r := httptest.NewRequest(http.MethodPost, paths[int(path)%len(paths)], strings.NewReader(body))
		r.URL.RawQuery = query
		if contentType != "" {
			r.Header.Set("Content-Type", contentType)
		}
		if path >= 128 {
			r.Method = http.MethodGet
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		wellFormed(t, r.URL.Path, w)
	})
}

// wellFormed checks a response, which may be any but a failure.
func wellFormed(t *testing.T, path string, w *httptest.ResponseRecorder) {
	t.Helper()
	var answer struct {
		XMLName   xml.Name `json:"-"`
		Status    string   `json:"status" xml:"status"`
		ErrorText string   `json:"error_text" xml:"error_text"`
	}
	var err error
	if strings.HasSuffix(path, "xml") {
		err = xml.Unmarshal(w.Body.Bytes(), &answer)
	} else {
		dec := json.NewDecoder(bytes.NewReader(w.Body.Bytes()))
		dec.DisallowUnknownFields()
		var fields map[string]string
		if err = dec.Decode(&fields); err == nil {
			answer.Status, answer.ErrorText = fields["status"], fields["error_text"]
		}
	}
	switch {
	case err != nil || !utf8.Valid(w.Body.Bytes()):
		t.Errorf("%d %q: %v", w.Code, w.Body, err)
	case w.Code != 200 && w.Code != 404 && w.Code != 413, answer.Status == "5", answer.Status == "", answer.ErrorText == "":
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// FuzzSignature signs any parameters as a client does. A signature is accepted in every
// transport, and never after a change of a parameter.
func FuzzSignature(f *testing.F) {
	f.Add("Acme", "A&B=C", "lg", true)
	f.Add("확인 <&>", "", "x=1&y", false)
	f.Add(" ", "\t", "sig2", true)
	f.Add("+", "%", "", false)
	handlers := map[signature.Method]http.Handler{}
	for _, m := range []signature.Method{signature.MD5Hash, signature.SHA512} {
		handlers[m] = handler(f, m)
	}
	var tries atomic.Int64
	f.Fuzz(func(t *testing.T, brand, value, name string, inQuery bool) {
		params := form("brand", brand)
		switch name {
		case "api_key", "api_secret", "nonce", "timestamp", "sig", "brand":
			return
		}
		params.Set(name, value)
		params.Set("nonce", strconv.FormatInt(tries.Add(1), 10)) // make each signature unique
		for _, text := range []string{brand, value, name} {
			if strings.ContainsRune(text, 0) || !utf8.ValidString(text) || len(text) > 200 {
				return // refused before the signature check
			}
		}
		for method, h := range handlers {
			sign(params, server.DemoAccount, method, servertest.Epoch)
			if got := statusFrom(t, h, params, inQuery); got == "4" {
				t.Errorf("%s refuses %v", method, params)
			}
			changed := url.Values{}
			for k, v := range params {
				changed[k] = v
			}
			changed.Set("timestamp", strconv.FormatInt(servertest.Epoch.Unix()+1, 10))
			if got := statusFrom(t, h, changed, inQuery); got != "4" {
				t.Errorf("%s accepts %v: %s", method, changed, got)
			}
			params.Del("sig")
		}
	})
}

func statusFrom(t *testing.T, h http.Handler, params url.Values, inQuery bool) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/verify/json", strings.NewReader(params.Encode()))
	if inQuery {
		r = httptest.NewRequest(http.MethodGet, "/verify/json?"+params.Encode(), nil)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var fields map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &fields); err != nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return fields["status"]
}
