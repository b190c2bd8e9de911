package server

import (
	"encoding/json"
	"encoding/xml"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/adminapi"
	"countersign/internal/apiv1"
	"countersign/internal/console"
	"countersign/internal/deliver"
	"countersign/internal/verify"
	"countersign/internal/web"
)

// TestFaultOfEachListener checks that a panic of a handler is logged and answered with
// 500 in the format of its listener.
func TestFaultOfEachListener(t *testing.T) {
	t.Parallel()
	const fault = "out of order"
	v1 := func() http.Handler {
		mux := http.NewServeMux()
		mux.HandleFunc("/", apiv1.NotFound)
		mux.HandleFunc("/carriers/gateway/receipts", func(http.ResponseWriter, *http.Request) { panic(fault) })
		apiv1.Register(mux, apiv1.Config{
			Clock: clockwork.NewFakeClock(), Drain: web.NewDrain(), Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
			Refused: func(string, string, string, string, *verify.Error) { panic(fault) }, BodyBytes: 1 << 10,
		})
		return mux
	}
	tokenFile := filepath.Join(t.TempDir(), "token")
	admin := authenticated(t, tokenFile, adminapi.New(adminapi.Config{
		Clock: clockwork.NewFakeClock(), Log: slog.New(slog.DiscardHandler), Carriers: func() []deliver.CarrierStatus { panic(fault) },
	}))
	token, err := adminapi.ReadToken(tokenFile)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path  string
		route       string
		part        part
		handler     http.Handler
		contentType string
		body        func(string) (text string, err error)
	}{
		{"v1 JSON", "/verify/json", "/verify/{format}", apiListener(), v1(), "application/json", jsonFault},
		{"v1 payment", "/verify/psd2/json", "/verify/psd2/{format}", apiListener(), v1(), "application/json", jsonFault},
		{"v1 XML", "/verify/xml", "/verify/{format}", apiListener(), v1(), "text/xml", xmlFault},
		{"receipts of a carrier", "/carriers/gateway/receipts", "/carriers/gateway/receipts", apiListener(), v1(), "application/json", jsonFault},
		{
			"pages", "/phone", "/phone", pagesListener(), console.Handler(console.Config{Log: slog.New(slog.DiscardHandler)}), // no inbox
			"text/plain; charset=utf-8", plainFault,
		},
		{
			"operations", "/carriers", "/carriers", opsListener(), web.Ops(prometheus.NewRegistry(), nil, func() any { panic(fault) }, nil),
			"text/plain; charset=utf-8", plainFault,
		},
		{"admin", "/admin/v1/carriers", "/admin/v1/carriers", adminListener(), admin, "application/problem+json", problemFault},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var log strings.Builder
			s := &Server{log: slog.New(slog.NewTextHandler(&log, nil)), refusals: web.NewRefusals(prometheus.NewRegistry())}
			s.opts.Config, s.opts.Clock = DemoConfig(), clockwork.NewFakeClock()
			h, err := s.gate(tt.handler, tt.part)
			if err != nil {
				t.Fatal(err)
			}
			rec := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, tt.path, nil)
			r.Host = "localhost"
			r.Header.Set("Authorization", "Bearer "+token)
			h.ServeHTTP(rec, r)
			if got := rec.Header().Get("Content-Type"); rec.Code != http.StatusInternalServerError || got != tt.contentType {
				t.Errorf("%d, %s: %s; want 500, %s", rec.Code, got, rec.Body, tt.contentType)
			}
			if text, err := tt.body(rec.Body.String()); err != nil || text != "Internal Error" {
				t.Errorf("response %q: %q, %v", rec.Body, text, err)
			}
			if got := log.String(); strings.Count(got, "handler panicked") != 1 || !strings.Contains(got, " route="+tt.route+" ") || !strings.Contains(got, "goroutine") {
				t.Errorf("logged %q", got)
			}
		})
	}
}

func authenticated(t *testing.T, tokenFile string, h *adminapi.Handler) http.Handler {
	t.Helper()
	authenticator, err := adminapi.NewAuthenticator(h, adminapi.AuthConfig{
		TokenFile: tokenFile, Clock: clockwork.NewFakeClock(), Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return authenticator
}

func plainFault(body string) (string, error) { return strings.TrimSuffix(body, "\n"), nil }

func jsonFault(body string) (string, error) {
	answer := map[string]string{}
	err := json.Unmarshal([]byte(body), &answer)
	if answer["status"] != "5" || len(answer) != 2 {
		return body, err
	}
	return answer["error_text"], err
}

func xmlFault(body string) (string, error) {
	var answer struct {
		XMLName xml.Name `xml:"response"`
		Status  string   `xml:"status"`
		Text    string   `xml:"error_text"`
	}
	err := xml.Unmarshal([]byte(body), &answer)
	if answer.Status != "5" {
		return body, err
	}
	return answer.Text, err
}

func problemFault(body string) (string, error) {
	var answer struct {
		Status        int
		Title, Detail string
	}
	err := json.Unmarshal([]byte(body), &answer)
	if answer.Status != http.StatusInternalServerError || answer.Title != "Internal Server Error" {
		return body, err
	}
	return answer.Detail, err
}
