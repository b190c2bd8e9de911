package apiv1_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"countersign/internal/server"
	"countersign/internal/signature"
)

// TestMalformed mixes 10,000 malformed requests with valid ones. Each malformed request
// is refused by the API (status 2, 3 or 4, or a 4xx) without a failure, and every valid
// one gets its response.
func TestMalformed(t *testing.T) {
	t.Parallel()
	const requests, seed = 10_000, 20260102
	h := handler(t, signature.SHA256)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for i := range requests {
		if i%100 == 0 {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, login(server.DemoAccount, server.DemoSecret))
			if got := w.Body.String(); got != `{"status":"101","error_text":"No response found"}` {
				t.Fatalf("good request %d: %d %s", i, w.Code, got)
			}
		}
		r, what := mangled(rnd)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var answer struct {
			Status string
			Text   string `json:"error_text"`
		}
		err := json.Unmarshal(w.Body.Bytes(), &answer)
		refused := w.Code == http.StatusOK && strings.Contains(" 2 3 4 ", " "+answer.Status+" ") || w.Code >= 400 && w.Code < 500
		if err != nil || !refused || answer.Text == "" {
			t.Errorf("request %d of seed %d, %s: %d %s", i, seed, what, w.Code, w.Body)
		}
	}
}

// mangled returns a search request with one defect, and the name of the defect.
func mangled(rnd *rand.Rand) (r *http.Request, what string) {
	form := "api_key=demo0001&api_secret=demosecret0001&request_id=" + unknownID
	object := `{"api_key":"demo0001","api_secret":"demosecret0001","request_id":"` + unknownID + `"`
	name := string(rune('a' + rnd.IntN(26)))
	n := 1 + rnd.IntN(20_000)
	junk := make([]byte, 1+rnd.IntN(40))
	for i := range junk {
		junk[i] = byte(rnd.IntN(256))
	}
	const formType, jsonType = "application/x-www-form-urlencoded", "application/json"
	ways := []func() (what, query, contentType, body string){
		func() (string, string, string, string) {
			return "bad escape", form + "&" + name + "=%" + "gz%"[rnd.IntN(3):], formType, ""
		},
		func() (string, string, string, string) {
			return "bad escape in a form", "", formType, form + "&" + name + "=%zz"
		},
		func() (string, string, string, string) {
			return "bad UTF-8", form + "&" + name + "=%ff%fe", formType, ""
		},
		func() (string, string, string, string) { return "NUL", "", formType, form + "&" + name + "=a%00b" },
		func() (string, string, string, string) {
			return "twice", form + "&" + name + "=1&" + name + "=2", formType, ""
		},
		func() (string, string, string, string) { return "key twice", "api_key=x", formType, form },
		func() (string, string, string, string) {
			return "too large", "", formType, form + "&a=" + strings.Repeat("x", 5000)
		},
		func() (string, string, string, string) { return "many parameters", "", formType, form + many(101) },
		func() (string, string, string, string) {
			return "deep", "", jsonType, object + `,"a":` + strings.Repeat("[", n)
		},
		func() (string, string, string, string) {
			return "deep objects", "", jsonType, object + `,"request_ids":` + strings.Repeat(`{"a":`, (1+n%600)) + "1" + strings.Repeat("}", (1+n%600)) + "}"
		},
		func() (string, string, string, string) {
			return "cut off", "", jsonType, object[:1+rnd.IntN(len(object)-1)]
		},
		func() (string, string, string, string) {
			return "junk in JSON", "", jsonType, object + ",\"a\":" + string(junk)
		},
		func() (string, string, string, string) { return "junk", "", jsonType, string(junk) },
		func() (string, string, string, string) {
			return "junk as a form", "", formType, "request_id=x&\xff" + string(bytes.Map(notNeat, junk))
		},
		func() (string, string, string, string) {
			return "other type", "", "multipart/form-data; boundary=" + name, form
		},
		func() (string, string, string, string) {
			return "no such secret", strings.Replace(form, "secret0001", fmt.Sprint(n), 1), formType, ""
		},
		func() (string, string, string, string) { return "no key", "request_id=" + name, formType, "" },
		func() (string, string, string, string) {
			return "long id", form + strings.Repeat("0", 1+n%100), formType, ""
		},
		func() (string, string, string, string) { return "invisible id", form + "%E2%80%8B", formType, "" },
		func() (string, string, string, string) {
			return "number too large", "", jsonType, object + `,"request_ids":[1e` + fmt.Sprint(n) + `,true]}`
		},
	}
	what, query, contentType, body := ways[rnd.IntN(len(ways))]()
	r = httptest.NewRequest(http.MethodPost, "/verify/search/json", strings.NewReader(body))
	if rnd.IntN(10) == 0 && body == "" {
		r = httptest.NewRequest(http.MethodGet, "/verify/search/json", nil)
	}
	r.URL.RawQuery = query
	r.Header.Set("Content-Type", contentType)
	return r, what
}

// notNeat removes characters that could separate parameters.
func notNeat(r rune) rune {
	if r == '&' || r == '=' || r == '%' || r == ';' {
		return -1
	}
	return r
}

// TestEqualWork checks that an unknown key costs as much as a wrong secret: equal bytes
// in an equal number of allocations, including database access. It does not run in
// parallel, since other tests would be counted.
func TestEqualWork(t *testing.T) { //nolint:paralleltest // see above
	h := handler(t, signature.SHA256)
	cost := func(key, secret string) (allocations, size uint64) {
		const runs = 500
		var before, after runtime.MemStats
		requests := make([]*http.Request, runs)
		for i := range requests {
			requests[i] = login(key, secret)
		}
		recorders := make([]*httptest.ResponseRecorder, runs)
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i, r := range requests {
			recorders[i] = httptest.NewRecorder()
			h.ServeHTTP(recorders[i], r)
		}
		runtime.ReadMemStats(&after)
		return (after.Mallocs - before.Mallocs) / runs, (after.TotalAlloc - before.TotalAlloc) / runs
	}
	cost(server.DemoAccount, server.DemoSecret)
	unknown, wrong := [2]uint64{}, [2]uint64{}
	for range 2 { // the second run has warm caches
		unknown[0], unknown[1] = cost("demo9999", "demosecret0002")
		wrong[0], wrong[1] = cost(server.DemoAccount, "demosecret0002")
	}
	near := func(a, b uint64) bool { return a <= b+b/50+1 && b <= a+a/50+1 }
	if !near(unknown[0], wrong[0]) || !near(unknown[1], wrong[1]) {
		t.Errorf("an unknown key costs %d allocations and %d bytes, a wrong secret %d and %d", unknown[0], unknown[1], wrong[0], wrong[1])
	}
	t.Logf("unknown key: %v, wrong secret: %v", unknown, wrong)
}
