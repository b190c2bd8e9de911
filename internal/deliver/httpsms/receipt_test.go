package httpsms_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"countersign/internal/deliver"
	"countersign/internal/deliver/httpsms"
	"countersign/internal/verify"
)

const form = "application/x-www-form-urlencoded"

func receiptConfig(told *reports) httpsms.Config {
	c := jsonConfig("https://gateway.example/")
	c.Reports = told.deliver()
	c.Receipts = httpsms.ReceiptConfig{Secret: secret, Ref: "id", Status: "status", Error: "err-code", States: []string{"Done = delivered"}}
	return c
}

// callback calls the handler of g with the secret.
func callback(g *httpsms.Gateway, method, query, contentType, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/carriers/gate/receipts"+query, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Authorization", "Bearer "+secret)
	w := httptest.NewRecorder()
	g.ReceiptHandler().ServeHTTP(w, r)
	return w
}

func TestReceipt(t *testing.T) {
	t.Parallel()
	one := func(state verify.EventState, code string) []deliver.Receipt {
		return []deliver.Receipt{{Carrier: "gate", Ref: "a1", State: state, Error: code}}
	}
	const jsonType = "application/json"
	tests := []struct {
		name, method, query, contentType, body string
		status                                 int
		want                                   []deliver.Receipt
	}{
		{name: "GET", method: "GET", query: "?id=a1&status=delivered", status: 204, want: one(verify.EventDelivered, "")},
		{name: "Form", body: "id=a1&status=failed&err-code=6", status: 204, want: one(verify.EventUndeliverable, "6")},
		{name: "FormAndQuery", query: "?id=a1&status=x", body: "status=failed", status: 204, want: one(verify.EventUndeliverable, "")},
		{name: "JSON", contentType: jsonType, body: `{"id":"a1","status":"expired","err-code":1}`, status: 204, want: one(verify.EventExpired, "1")},
		{name: "JSONCalledText", contentType: "text/plain", body: ` {"id":"a1","status":"rejected"}`, status: 204, want: one(verify.EventRejected, "")},
		{name: "JSONMalformedType", contentType: "application/json; utf-8", body: `"x"`, status: 400},
		{name: "JSONTypeTwice", contentType: "Application/JSON; charset=a; charset=b", body: `{"id":"a1","status":"sent"}`, status: 204,
			want: one(verify.EventAccepted, "")},
		{name: "JSONByteOrderMark", contentType: "application/json; charset=", body: "\ufeff" + `{"id":"a1","status":"sent"}`, status: 204,
			want: one(verify.EventAccepted, "")},
		{name: "FormMalformedType", contentType: "application/x-www-form-urlencoded; UTF-8", body: "id=a1&status=sent\r\n", status: 204,
			want: one(verify.EventAccepted, "")},
		{name: "JSONNumber", contentType: jsonType, body: `{"id":12345678901234567890,"status":"SENT"}`, status: 204,
			want: []deliver.Receipt{{Carrier: "gate", Ref: "12345678901234567890", State: verify.EventAccepted}}},
		{name: "List", contentType: jsonType, body: `[{"id":"a1","status":"sent"},{"id":"a2","status":"DELIVRD"}]`, status: 204,
			want: append(one(verify.EventAccepted, ""), deliver.Receipt{Carrier: "gate", Ref: "a2", State: verify.EventDelivered})},
		{name: "EmptyList", contentType: jsonType, body: `[]`, status: 204},
		{name: "ConfiguredWord", body: "id=a1&status=DONE", status: 204, want: one(verify.EventDelivered, "")},
		{name: "CodeOfSuccess", body: "id=a1&status=delivered&err-code=0", status: 204, want: one(verify.EventDelivered, "")},
		{name: "CodeWithLineBreak", body: "id=a1&status=failed&err-code=1%0A2", status: 204, want: one(verify.EventUndeliverable, "")},
		{name: "LongCode", body: "id=a1&status=failed&err-code=" + strings.Repeat("%C3%A9", 40), status: 204,
			want: one(verify.EventUndeliverable, strings.Repeat("é", 32))},
		{name: "UnknownWord", body: "id=a1&status=teleported", status: 204},
		{name: "WordThatSaysNothing", body: "id=a1&status=unknown", status: 204},

		{name: "NoRef", body: "status=delivered", status: 400},
		{name: "EmptyRef", body: "id=&status=delivered", status: 400},
		{name: "LongRef", body: "status=delivered&id=" + strings.Repeat("x", 257), status: 400},
		{name: "RefWithLineBreak", body: "status=delivered&id=a%0D", status: 400},
		{name: "NoStatus", body: "id=a1", status: 400},
		{name: "NoBody", status: 400},
		{name: "NullRef", contentType: jsonType, body: `{"id":null,"status":"sent"}`, status: 400},
		{name: "ObjectRef", contentType: jsonType, body: `{"id":{},"status":"sent"}`, status: 400},
		{name: "Scalar", contentType: jsonType, body: `"a1"`, status: 400},
		{name: "BrokenJSON", contentType: jsonType, body: `{"id":`, status: 400},
		{name: "BrokenForm", body: `id=%zz`, status: 400},
		{name: "ListWithABadOne", contentType: jsonType, body: `[{"status":"sent"},{"id":"a1","status":"sent"}]`, status: 204, want: one(verify.EventAccepted, "")},
		{name: "ListOfBadOnes", contentType: jsonType, body: `[{"status":"sent"},{"id":"a1"}]`, status: 400},
		{name: "LongList", contentType: jsonType, body: "[" + strings.Repeat(`{"id":"a1"},`, 1000) + `{"id":"a1","status":"sent"}]`, status: 413},
		{name: "TooLong", body: "id=a1&status=sent&x=" + strings.Repeat("x", 1<<20), status: 413},
		{name: "OtherMethod", method: "DELETE", query: "?id=a1&status=sent", status: 405},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			told := newReports()
			g := open(t, receiptConfig(told))
			if tt.method == "" {
				tt.method = http.MethodPost
			}
			if tt.contentType == "" {
				tt.contentType = form
			}
			w := callback(g, tt.method, tt.query, tt.contentType, tt.body)
			if w.Code != tt.status {
				t.Errorf("HTTP %d (%s), want %d", w.Code, w.Body, tt.status)
			}
			if got := told.all(); !sameReceipts(got, tt.want) {
				t.Errorf("receipts %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestReceiptWithoutField(t *testing.T) {
	t.Parallel()
	g := open(t, receiptConfig(newReports()))
	if w := callback(g, http.MethodGet, "?status=sent", form, ""); !strings.Contains(w.Body.String(), `"id"`) {
		t.Errorf("%q does not contain the field", w.Body)
	}
	if w := callback(g, http.MethodGet, "?id=1", form, ""); !strings.Contains(w.Body.String(), `"status"`) {
		t.Errorf("%q does not contain the field", w.Body)
	}
}

func TestReceiptSecret(t *testing.T) {
	t.Parallel()
	const good = "?id=a1&status=delivered"
	tests := []struct {
		name   string
		query  string
		header string
		want   int
	}{
		{"Bearer", good, "Bearer " + secret, 204},
		{"Query", good + "&secret=" + secret, "", 204},
		{"Basic", good, "Basic YW55OmNhbGxiYWNrLXNlY3JldC0wMTIz", 204}, // any:callback-secret-0123
		{"None", good, "", 401},
		{"Empty", good + "&secret=", "", 401},
		{"WrongBearer", good, "Bearer " + secret + "x", 401},
		{"WrongQuery", good + "&secret=" + secret[1:], "", 401},
		{"WrongBasic", good, "Basic YW55OndvcmQ=", 401},
		{"WrongHeaderBesideQuery", good + "&secret=" + secret, "Bearer x", 401},
		{"Malformed", "?secret=%zz", "", 401},
		{"WrongBeforeAnythingElse", "", "", 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			told := newReports()
			g := open(t, receiptConfig(told))
			r := httptest.NewRequest(http.MethodGet, "/"+tt.query, nil)
			if tt.header != "" {
				r.Header.Set("Authorization", tt.header)
			}
			w := httptest.NewRecorder()
			g.ReceiptHandler().ServeHTTP(w, r)
			if w.Code != tt.want || w.Body.Len() != 0 {
				t.Errorf("HTTP %d %q, want %d without a body", w.Code, w.Body, tt.want)
			}
			if n := len(told.all()); n != 0 != (tt.want == 204) {
				t.Errorf("%d receipts", n)
			}
		})
	}
}

func TestReceiptsNotConfigured(t *testing.T) {
	t.Parallel()
	c := receiptConfig(newReports())
	c.Receipts.Secret = ""
	if w := callback(open(t, c), http.MethodGet, "?id=a1&status=sent&secret=", form, ""); w.Code != http.StatusNotFound {
		t.Errorf("HTTP %d", w.Code)
	}
}

func TestReceiptNotStored(t *testing.T) {
	t.Parallel()
	told := newReports()
	told.err = errors.New("disk is full")
	w := callback(open(t, receiptConfig(told)), http.MethodPost, "", form, "id=a1&status=sent")
	if w.Code != http.StatusServiceUnavailable || w.Body.Len() != 0 {
		t.Errorf("HTTP %d %q", w.Code, w.Body)
	}
}

// TestUnknownWordsAreLoggedOnce: a word is logged once, and at most 32 words, so that a
// caller with the secret cannot fill the disk.
func TestUnknownWordsAreLoggedOnce(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	c := receiptConfig(newReports())
	c.Log = slog.New(slog.NewTextHandler(&log, nil))
	g := open(t, c)
	for i := range 100 {
		for range 2 {
			callback(g, http.MethodPost, "", form, fmt.Sprintf("id=a1&status=word%d", i))
		}
	}
	if n := strings.Count(log.String(), "status=word0"); n != 1 {
		t.Errorf("logged the first word %d times", n)
	}
	if n := strings.Count(log.String(), "\n"); n != 32 {
		t.Errorf("%d lines", n)
	}
}
