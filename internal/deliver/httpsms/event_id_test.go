package httpsms_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"countersign/internal/deliver"
	"countersign/internal/deliver/httpsms"
	"countersign/internal/verify"
)

// ownIDs returns settings for a gateway without message ids, with the event id in the
// callback URL.
func ownIDs(at string, told *reports) httpsms.Config {
	return httpsms.Config{
		Name: "gate", Method: http.MethodGet,
		URL: at + "/send?to={{.To}}&text={{.Text}}&dlr-url=" +
			url.QueryEscape("http://countersign.example/carriers/gate/receipts?status=%d&id=") + "{{.EventID}}",
		Receipts: httpsms.ReceiptConfig{
			Secret: secret, Ref: "query.id", Status: "query.status", States: []string{"1=delivered", "2=undeliverable", "8=accepted"},
		},
		Reports: told.deliver(),
	}
}

// TestOwnIDs: a receipt with the event id matches the message, in every form of callback.
func TestOwnIDs(t *testing.T) {
	t.Parallel()
	m := sms()
	id := m.EventID.String()
	for _, tt := range []struct{ name, method, query, contentType, body string }{
		{"Get", "GET", "?id=" + id + "&status=1", "", ""},
		{"UpperCase", "GET", "?id=" + strings.ToUpper(id) + "&status=1", "", ""},
		{"NoDashes", "GET", "?status=1&id=" + m.EventID.Hex(), "", ""},
		{"PostEmpty", "POST", "?id=" + id + "&status=1", form, ""},
		{"PostForm", "POST", "?id=" + id + "&status=1", form, "id=7&status=8"},
		{"PostJSON", "POST", "?id=" + id + "&status=1", "application/json", `{"id":7,"status":8}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			told := newReports()
			g := open(t, ownIDs(serve(t, reply(202, "0: Accepted for delivery")), told))
			sub, err := g.Send(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			if w := callback(g, tt.method, tt.query, tt.contentType, tt.body); w.Code != http.StatusNoContent {
				t.Errorf("HTTP %d: %s", w.Code, w.Body)
			}
			want := []deliver.Receipt{{Carrier: "gate", Ref: id, State: verify.EventDelivered}}
			if got := told.all(); !slices.Equal(sub.Refs, []string{id}) || !sameReceipts(got, want) {
				t.Errorf("sent as %q, receipts %+v", sub.Refs, got)
			}
		})
	}
}

// TestWhichIDs: the settings with which event ids are the message ids.
func TestWhichIDs(t *testing.T) {
	t.Parallel()
	const own, theirs, none = "own", "theirs", "none"
	fake := serve(t, reply(200, `{"id":"t1"}`))
	inBody := func(field string) func(*httpsms.Config) {
		return func(c *httpsms.Config) {
			c.Headers, c.Method = []string{"Content-Type: application/json"}, ""
			c.URL, c.Body = fake, `{"to":"{{.To}}","text":"{{.Text}}",`+field+`}`
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*httpsms.Config)
		want   string
	}{
		{"CallbackURL", func(*httpsms.Config) {}, own},
		{"CallbackURLAndIDsInAnswers", func(c *httpsms.Config) { c.Ref = "id" }, own},
		{"OtherParameter", func(c *httpsms.Config) { c.Ref, c.Receipts.Ref = "id", "query.msgid" }, theirs},
		{"LongerParameter", func(c *httpsms.Config) { c.Ref, c.Receipts.Ref = "id", "query.d" }, theirs},
		{"FieldOfTheBody", inBody(`"reference":"{{.EventID}}"`), own},
		{"FieldOfTheBodyAndIDsInAnswers", func(c *httpsms.Config) { inBody(`"id":"{{.EventID}}"`)(c); c.Ref = "id"; c.Receipts.Ref = "id" }, theirs},
		{"CallbackInJSON", func(c *httpsms.Config) { inBody(`"dlr":"https://c.example/r?id={{.EventID}}"`)(c); c.Ref = "id" }, own},
		{"NoEventID", func(c *httpsms.Config) { c.URL = fake + "/send?to={{.To}}" }, none},
		{"NoReceipts", func(c *httpsms.Config) { c.Receipts = httpsms.ReceiptConfig{} }, none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := ownIDs(fake, newReports())
			tt.change(&c)
			sub, err := open(t, c).Send(t.Context(), sms())
			if err != nil {
				t.Fatal(err)
			}
			want := map[string][]string{own: {sms().EventID.String()}, theirs: {"t1"}, none: nil}[tt.want]
			if !slices.Equal(sub.Refs, want) {
				t.Errorf("ids %q, want %q", sub.Refs, want)
			}
		})
	}
}

// TestForeignIDs: a receipt without a valid event id is refused and logged.
func TestForeignIDs(t *testing.T) {
	t.Parallel()
	for _, query := range []string{"?status=1", "?id=&status=1", "?id=7&status=1", "?id=%25I&status=1"} {
		told := newReports()
		var log bytes.Buffer
		c := ownIDs("http://gateway.example", told)
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
		w := callback(open(t, c), http.MethodGet, query, "", "")
		if w.Code != http.StatusBadRequest || len(told.all()) != 0 || !strings.Contains(log.String(), "query.id") {
			t.Errorf("%s: HTTP %d, %+v, log %q", query, w.Code, told.all(), log.String())
		}
	}
}

// TestReceiptDecidesUnclearAnswer: a receipt during or after the request proves that the
// gateway accepted the message, even if its answer was unclear.
func TestReceiptDecidesUnclearAnswer(t *testing.T) {
	t.Parallel()
	m := sms()
	query := "?status=1&id=" + m.EventID.String()
	receipt := deliver.Receipt{Carrier: "gate", Ref: m.EventID.String(), State: verify.EventDelivered}

	for status, want := range map[int]string{202: accepted, 500: accepted, 403: refused} {
		told := newReports()
		var g *httpsms.Gateway
		g = open(t, ownIDs(serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if w := callback(g, http.MethodGet, query, "", ""); w.Code != http.StatusNoContent {
				t.Errorf("HTTP %d", w.Code)
			}
			w.WriteHeader(status)
		}), told))
		sub, err := g.Send(t.Context(), m)
		if kindOf(err) != want || (err == nil) != slices.Equal(sub.Refs, []string{receipt.Ref}) {
			t.Errorf("answer %d after the receipt: %v with %q, want %s", status, err, sub.Refs, want)
		}
		if got := told.all(); !sameReceipts(got, []deliver.Receipt{receipt}) || len(told.answers) != 0 {
			t.Errorf("reported %+v, and %d answers", got, len(told.answers))
		}
	}

	for status, late := range map[int]bool{202: false, 500: true, 403: false} {
		told := newReports()
		g := open(t, ownIDs(serve(t, reply(status, "")), told))
		_, err := g.Send(t.Context(), m)
		for range 2 {
			var w *httptest.ResponseRecorder
			if w = callback(g, http.MethodGet, query, "", ""); w.Code != http.StatusNoContent {
				t.Errorf("HTTP %d", w.Code)
			}
		}
		if got := told.all(); !sameReceipts(got, []deliver.Receipt{receipt, receipt}) {
			t.Errorf("reported %+v", got)
		}
		if len(told.answers) != map[bool]int{true: 1}[late] {
			t.Fatalf("answer %d (%v), then a receipt: %d late answers", status, err, len(told.answers))
		}
		if late {
			want := deliver.Answer{Event: m.Event(), Part: verify.Part{
				Attempt: 1, Count: 1, Carrier: "gate", Ref: receipt.Ref, State: verify.EventAccepted,
			}}
			if got := <-told.answers; got != want {
				t.Errorf("late answer %+v, want %+v", got, want)
			}
		}
	}
}

// TestReceiptDecidesEarlierAttempt: after the second attempt is refused, a receipt proves
// that the unclear first attempt was accepted.
func TestReceiptDecidesEarlierAttempt(t *testing.T) {
	t.Parallel()
	first := sms()
	second := first
	first.Attempt, second.Attempt = 1, 2
	id := first.EventID.String()
	query := "?status=1&id=" + id
	receipt := deliver.Receipt{Carrier: "gate", Ref: id, State: verify.EventDelivered}
	for _, tt := range []struct {
		name     string
		statuses []int // HTTP statuses by attempt
		during   bool  // the receipt arrives before the last answer
		want     string
		late     []int // attempts reported as accepted
	}{
		{name: "Refused", statuses: []int{500, 403}, want: refused, late: []int{1}},
		{name: "NotSent", statuses: []int{500, 429}, want: notSent, late: []int{1}},
		{name: "Unclear", statuses: []int{500, 500}, want: unclear, late: []int{2}},
		{name: "Accepted", statuses: []int{500, 202}, want: accepted},
		{name: "RefusedTwice", statuses: []int{403, 403}, want: refused},
		{name: "RefusedAfterReceipt", statuses: []int{500, 403}, during: true, want: accepted},
		{name: "UnclearAfterReceipt", statuses: []int{500, 500}, during: true, want: accepted},
		{name: "RefusedTwiceAfterReceipt", statuses: []int{403, 403}, during: true, want: refused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			told := newReports()
			requests := 0
			var g *httpsms.Gateway
			c := ownIDs(serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if requests++; tt.during && requests == 2 {
					callback(g, http.MethodGet, query, "", "")
				}
				w.Header().Set("Retry-After", "0")
				w.WriteHeader(tt.statuses[requests-1])
			}), told)
			c.Temporary = []string{"http 429"}
			g = open(t, c)
			g.Send(t.Context(), first)
			if _, err := g.Send(t.Context(), second); kindOf(err) != tt.want {
				t.Errorf("the second attempt: %v, want %s", err, tt.want)
			}
			if !tt.during {
				callback(g, http.MethodGet, query, "", "")
			}
			if got := told.all(); !reflect.DeepEqual(got, []deliver.Receipt{receipt}) {
				t.Errorf("reported %+v", got)
			}
			close(told.answers)
			var late []int
			for answer := range told.answers {
				if answer.Part.State != verify.EventAccepted || answer.Part.Ref != id {
					t.Errorf("late answer %+v", answer)
				}
				late = append(late, answer.Part.Attempt)
			}
			if !slices.Equal(late, tt.late) {
				t.Errorf("late answers for the attempts %v, want %v", late, tt.late)
			}
		})
	}
}
