package apiv1

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Stages of a request between the socket and the engine, as budgets and benchmarks:
//
//	go test -run '^$' -bench Wire ./internal/apiv1
type stage struct {
	name   string
	budget float64 // allocations; increase only for good reason
	run    func()
}

const (
	startForm = "api_key=demo0001&api_secret=demosecret0001&number=447700900000&brand=Acme"
	startJSON = `{"api_key":"demo0001","api_secret":"demosecret0001","number":"447700900000","brand":"Acme"}`
)

func stages() []stage {
	known := startParams()
	read := func(method, query, contentType, body string) func() {
		return func() {
			r := http.Request{Method: method, URL: &url.URL{RawQuery: query}, Header: http.Header{"Content-Type": {contentType}}}
			r.Body = http.MaxBytesReader(nil, io.NopCloser(strings.NewReader(body)), 4<<10)
			if _, _, err := readParams(&r, known); err != nil {
				panic(err)
			}
		}
	}
	id := strings.Repeat("0", 32)
	started := startResponse{RequestID: id, Status: "0"}
	checked := checkResponse{RequestID: id, Status: "0", EventID: id, Price: "0.05000000", Currency: "EUR", EstimatedPrice: "0.02000000"}
	refused := errorResponse{RequestID: id, Status: "16", ErrorText: "The code inserted does not match the expected value"}
	refused.XMLName.Local = rootResponse
	write := func(f format, answer any) func() {
		client := nowhere{http.Header{}}
		return func() { writeAnswer(client, f, http.StatusOK, answer) }
	}
	return []stage{
		{"read a form", 15, read(http.MethodPost, "", typeForm, startForm)},
		{"read JSON", 82, read(http.MethodPost, "", typeJSON, startJSON)},
		{"read a query", 13, read(http.MethodGet, startForm, "", "")},
		{"write a start as JSON", 4, write(formatJSON, started)},
		{"write a check as JSON", 4, write(formatJSON, checked)},
		{"write a refusal as JSON", 4, write(formatJSON, refused)},
		{"write a start as XML", 12, write(formatXML, started)},
		{"write a check as XML", 12, write(formatXML, checked)},
	}
}

// nowhere is a response writer that discards the response.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}

// TestWireAllocations checks that a request allocates no more than its budget. -v prints
// the measured values.
func TestWireAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	for _, s := range stages() {
		got := testing.AllocsPerRun(100, s.run)
		t.Logf("%-24s %3.0f allocations, limit %.0f", s.name, got, s.budget)
		if got > s.budget {
			t.Errorf("%s: %.0f allocations, want at most %.0f", s.name, got, s.budget)
		}
	}
}

func BenchmarkWire(b *testing.B) {
	for _, s := range stages() {
		b.Run(strings.ReplaceAll(s.name, " ", "_"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.run()
			}
		})
	}
}
