package web_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/web"
)

// testExchange responds with the body of the request, or with the error.
type testExchange struct {
	w      http.ResponseWriter
	r      *http.Request
	name   string
	handle func(context.Context) error // optional
	body   []byte
}

func (x *testExchange) Admit(context.Context) (err error) {
	x.body, err = io.ReadAll(x.r.Body)
	return err
}

func (x *testExchange) Handle(ctx context.Context) (any, error) {
	if x.handle == nil {
		return x.name + ":" + string(x.body), nil
	}
	return x.name, x.handle(ctx)
}

func (x *testExchange) Answer(answer any) { fmt.Fprint(x.w, answer) }

func (x *testExchange) Refuse(err error) {
	x.w.WriteHeader(http.StatusTeapot)
	fmt.Fprint(x.w, err)
}

// row returns an endpoint with an Open that fails for the path /open/fails.
func row(methods, path string, handle func(context.Context) error) web.Endpoint {
	return web.Endpoint{
		Methods: strings.Split(methods, " "), Path: path, BodyBytes: 4,
		Open: func(w http.ResponseWriter, r *http.Request) (web.Exchange, error) {
			x := &testExchange{w: w, r: r, name: methods, handle: handle}
			if r.PathValue("name") == "fails" {
				return x, errors.New("open fails")
			}
			return x, nil
		},
	}
}

// TestMount checks that the method selects the endpoint of a path, and that a request is
// checked in the order Open, method, draining, size of the body.
func TestMount(t *testing.T) {
	t.Parallel()
	const wrong, draining = "method not allowed", "server is draining"
	for _, tt := range []struct {
		method, path, body string
		drain              bool
		answer, allow      string
	}{
		{"GET", "/one", "", false, "GET:", ""},
		{"HEAD", "/one", "", false, "GET:", ""},
		{"PUT", "/one", "x", false, "PUT:x", ""},
		{"POST", "/one", "", false, wrong, "GET, PUT"},
		{"get", "/one", "", false, wrong, "GET, PUT"},
		{"GET", "/both", "", false, "GET POST:", ""},
		{"POST", "/both", "1234", false, "GET POST:1234", ""},
		{"HEAD", "/both", "", false, wrong, "GET, POST"},
		{"POST", "/both", "12345", false, "http: request body too large", ""},
		{"POST", "/both", "12345", true, draining, ""},
		{"PUT", "/both", "12345", true, wrong, "GET, POST"},
		{"PUT", "/open/fails", "12345", true, "open fails", ""},
		{"GET", "/open/works", "", false, "GET:", ""},
	} {
		mux, drain := http.NewServeMux(), web.NewDrain()
		web.Mount(mux, drain, []web.Endpoint{
			row("GET", "/one", nil), row("PUT", "/one", nil), row("GET POST", "/both", nil), row("GET", "/open/{name}", nil),
		})
		if tt.drain {
			drain.Begin()
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, strings.NewReader(tt.body)))
		if got := w.Body.String(); got != tt.answer || w.Header().Get("Allow") != tt.allow {
			t.Errorf("%s %s %q, draining %v: %q, Allow %q; want %q, %q", tt.method, tt.path, tt.body, tt.drain, got, w.Header().Get("Allow"), tt.answer, tt.allow)
		}
	}
}

// TestEndpointEnds checks that a handler ends with its client or its timeout, and a
// detached one not with its client.
func TestEndpointEnds(t *testing.T) {
	t.Parallel()
	wait := func(ctx context.Context) error {
		select {
		case <-ctx.Done():
		case <-time.After(time.Hour):
		}
		return ctx.Err()
	}
	for name, tt := range map[string]struct {
		detached bool
		timeout  time.Duration
		answer   string
		took     time.Duration
	}{
		"with its client": {false, 0, "context canceled", time.Second},
		"detached":        {true, 0, "GET", time.Hour},
		"timeout":         {true, time.Minute, "context deadline exceeded", time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := row("GET", "/", wait)
				e.Detached, e.Timeout = tt.detached, tt.timeout
				mux := http.NewServeMux()
				web.Mount(mux, nil, []web.Endpoint{e})
				client, disconnect := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, disconnect)
				w, began := httptest.NewRecorder(), time.Now()
				mux.ServeHTTP(w, httptest.NewRequestWithContext(client, "GET", "/", nil))
				if took := time.Since(began); w.Body.String() != tt.answer || took != tt.took {
					t.Errorf("%q after %s, want %q after %s", w.Body, took, tt.answer, tt.took)
				}
			})
		})
	}
}

// TestResetIsNotAnswered checks that a stream reset before or during its credential check
// has no response, and its connection is not authenticated.
func TestResetIsNotAnswered(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		during bool
		want   string
	}{{"before", false, ""}, {"during", true, ""}, {"HTTP/1.1", true, "bad credentials"}} {
		ctx, cancel := context.WithCancel(t.Context())
		mux, r := http.NewServeMux(), httptest.NewRequestWithContext(ctx, "GET", "/", nil)
		if tt.name != "HTTP/1.1" {
			r.ProtoMajor, r.ProtoMinor = 2, 0
		}
		web.Mount(mux, nil, []web.Endpoint{row("GET", "/", func(ctx context.Context) error {
			return web.Authenticate(ctx, r, func(context.Context) error {
				if !tt.during {
					t.Errorf("%s: credentials checked", tt.name)
				}
				cancel()
				return errors.New("bad credentials")
			})
		})})
		if !tt.during {
			cancel()
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if got := w.Body.String(); got != tt.want {
			t.Errorf("reset %s: response %q, want %q", tt.name, got, tt.want)
		}
		cancel()
	}
}

func TestProblem(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		problem    web.Problem
		body, text string
	}{
		{web.Problem{Status: 404, Detail: "no <x>"}, `{"title":"Not Found","status":404,"detail":"no \u003cx\u003e"}`, "no <x>"},
		{web.Problem{Status: 400, Parameter: "key", Detail: "is bad"}, `{"title":"Bad Request","status":400,"detail":"is bad","parameter":"key"}`, "key: is bad"},
		{
			web.Problem{Type: "urn:x", Title: "X", Status: 422, Detail: "d", Instance: "i", Parameters: []web.InvalidParameter{{Name: "n", Reason: "r"}}},
			`{"type":"urn:x","title":"X","status":422,"detail":"d","instance":"i","invalid_parameters":[{"name":"n","reason":"r"}]}`, "d",
		},
	} {
		w := httptest.NewRecorder()
		tt.problem.Write(w)
		if got := w.Body.String(); got != tt.body+"\n" || w.Code != tt.problem.Status || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%d %v %s, want %s", w.Code, w.Header(), got, tt.body)
		}
		if got := tt.problem.Error(); got != tt.text {
			t.Errorf("error %q, want %q", got, tt.text)
		}
	}
}
