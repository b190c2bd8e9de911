package httpsms_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"countersign/internal/deliver"
	"countersign/internal/deliver/httpsms"
	"countersign/internal/verify"
)

// TestBatch: every receipt of a callback is stored, with the state and the error of the
// same element, for lists at any depth.
func TestBatch(t *testing.T) {
	t.Parallel()
	of := func(ref string, state verify.EventState, code string) deliver.Receipt {
		return deliver.Receipt{Carrier: "gate", Ref: ref, State: state, Error: code}
	}
	three := []deliver.Receipt{
		of("A", verify.EventDelivered, ""), of("B", verify.EventUndeliverable, "7"), of("C", verify.EventExpired, ""),
	}
	tests := []struct {
		name               string
		ref, status, error string
		body               string
		answer             int
		want               []deliver.Receipt
		logged             string // part of the log; "" for no log line
	}{
		{
			name: "List", ref: "results.*.messageId", status: "results.*.status", error: "results.*.error",
			body:   `{"results":[{"messageId":"A","status":"delivered"},{"messageId":"B","status":"failed","error":7},{"messageId":"C","status":"expired"}]}`,
			answer: 204, want: three,
		},
		{
			name: "OneElement", ref: "results.*.messageId", status: "results.*.status",
			body: `{"results":[{"messageId":"A","status":"delivered"}]}`, answer: 204, want: three[:1],
		},
		{
			name: "DeepInElements", ref: "data.reports.*.message.id", status: "data.reports.*.status.name", error: "data.reports.*.status.code",
			body: `{"data":{"reports":[{"message":{"id":"A"},"status":{"name":"DELIVRD"}},{"message":{"id":"B"},"status":{"name":"UNDELIV","code":"7"}},` +
				`{"message":{"id":"C"},"status":{"name":"EXPIRED"}}]}}`,
			answer: 204, want: three,
		},
		{
			name: "ListOfLists", ref: "batches.*.results.*.id", status: "batches.*.results.*.status", error: "batches.*.code",
			body: `{"batches":[{"results":[{"id":"A","status":"delivered"}]},{"code":7,"results":[{"id":"B","status":"failed"}]},` +
				`{"results":[{"id":"C","status":"expired"}]},{"results":[]}]}`,
			answer: 204, want: three,
		},
		{
			name: "ListsOfScalars", ref: "ids.*", status: "status", error: "error",
			body: `{"ids":["A","B"],"status":"failed","error":"7"}`, answer: 204,
			want: []deliver.Receipt{of("A", verify.EventUndeliverable, "7"), three[1]},
		},
		{
			name: "AtTheTop", ref: "*.id", status: "*.status", error: "*.error",
			body:   `[{"id":"A","status":"delivered"},{"id":"B","status":"failed","error":"7"},{"id":"C","status":"expired"}]`,
			answer: 204, want: three,
		},
		{
			name: "InEachOfTheTop", ref: "results.*.id", status: "results.*.status", error: "results.*.error",
			body: `[{"results":[{"id":"A","status":"delivered"},{"id":"B","status":"failed","error":"7"}]},` +
				`{"results":[{"id":"C","status":"expired"}]}]`,
			answer: 204, want: three,
		},
		{
			name: "SomeUnreadable", ref: "results.*.id", status: "results.*.status",
			body:   `{"results":[{"status":"delivered"},{"id":"A","status":"delivered"},{"id":"B"},7,null]}`,
			answer: 204, want: three[:1], logged: "left_out=4 of=5",
		},
		{
			name: "NoneReadable", ref: "results.*.id", status: "results.*.status",
			body: `{"results":[{"messageId":"A","status":"delivered"},{"messageId":"B"}]}`, answer: 400,
			logged: `no message id in \"results.*.id\"`,
		},
		{
			name: "NoList", ref: "results.*.id", status: "results.*.status", body: `{"result":[{"id":"A","status":"delivered"}]}`,
			answer: 400, logged: "answered=400",
		},
		{
			name: "ObjectForList", ref: "results.*.id", status: "results.*.status", body: `{"results":{"id":"A","status":"delivered"}}`,
			answer: 400, logged: "answered=400",
		},
		{name: "PlainField", ref: "id", status: "status", body: `{"results":[{"id":"A","status":"delivered"}]}`, answer: 400, logged: `\"id\"`},
		{name: "NotJSON", ref: "results.*.id", status: "results.*.status", body: `{"results":[`, answer: 400, logged: "body is not JSON"},
		{name: "Empty", ref: "results.*.id", status: "results.*.status", body: `{"results":[]}`, answer: 204},
		{
			name: "TooMany", ref: "r.*.*", status: "s", body: `{"s":"sent","r":[[` + strings.Repeat("1,", 700) + "1],[" + strings.Repeat("1,", 700) + "1]]}",
			answer: 413, logged: "more than 1000 receipts",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			told := newReports()
			var log bytes.Buffer
			c := receiptConfig(told)
			c.Receipts = httpsms.ReceiptConfig{Secret: secret, Ref: tt.ref, Status: tt.status, Error: tt.error}
			c.Log = slog.New(slog.NewTextHandler(&log, nil))
			w := callback(open(t, c), http.MethodPost, "", "application/json", tt.body)
			if w.Code != tt.answer {
				t.Errorf("HTTP %d (%s), want %d", w.Code, w.Body, tt.answer)
			}
			if got := told.all(); !sameReceipts(got, tt.want) {
				t.Errorf("receipts %+v, want %+v", got, tt.want)
			}
			if (log.Len() > 0) != (tt.logged != "") || !strings.Contains(log.String(), tt.logged) || strings.Contains(log.String(), "delivered") {
				t.Errorf("logged %q, want %q without contents of the callback", log.String(), tt.logged)
			}
			if n := strings.Count(log.String(), "carrier="); log.Len() > 0 && n != 1 {
				t.Errorf("the log has the carrier %d times", n)
			}
		})
	}
}

// TestLargestBatch: a list of 1000 receipts with 1000 bytes each is within the limit of
// the body.
func TestLargestBatch(t *testing.T) {
	t.Parallel()
	told := newReports()
	c := receiptConfig(told)
	c.Receipts = httpsms.ReceiptConfig{Secret: secret, Ref: "results.*.id", Status: "results.*.status"}
	var list []string
	for i := range 1000 {
		start := fmt.Sprintf(`{"id":"m%d","status":"delivered","text":"`, i)
		list = append(list, start+strings.Repeat("x", 1000-len(start)-len(`"}`))+`"}`)
	}
	body := `{"results":[` + strings.Join(list, ",") + `]}`
	w := callback(open(t, c), http.MethodPost, "", "application/json", body)
	if got := len(told.all()); w.Code != http.StatusNoContent || got != 1000 {
		t.Errorf("%d bytes: HTTP %d (%s) with %d receipts", len(body), w.Code, w.Body, got)
	}
}

// TestBadCallbacksAreLoggedSparingly: log lines about unreadable callbacks are limited.
func TestBadCallbacksAreLoggedSparingly(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	c := receiptConfig(newReports())
	c.Log = slog.New(slog.NewTextHandler(&log, nil))
	g := open(t, c)
	for i := range 50 {
		if w := callback(g, http.MethodPost, "", form, fmt.Sprint("x=", i)); w.Code != http.StatusBadRequest {
			t.Errorf("HTTP %d", w.Code)
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines:\n%s", n, log.String())
	}
}
