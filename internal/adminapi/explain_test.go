package adminapi_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/adminapi"
	"countersign/internal/await"
	"countersign/internal/config"
	"countersign/internal/server"
	"countersign/internal/store"
	"countersign/internal/verify"
	"countersign/internal/web"
)

// capped sets a cap of one message per number.
func capped(o *server.Options) {
	o.Unlimited = false
	o.Config.Limits.RequestsPerSecond = 1000
	o.Config.Fraud.Caps.Sends = []config.Cap{{Count: 1, Within: time.Hour}}
	o.Config.Fraud.Caps.AccountSends = nil
}

// v1 makes a request of the v1 API and returns its status and request_id.
func (o *office) v1(path string, params url.Values) (status, id string) {
	o.t.Helper()
	for name, value := range map[string]string{"api_key": server.DemoAccount, "api_secret": server.DemoSecret, "brand": "Acme"} {
		if !params.Has(name) {
			params.Set(name, value)
		}
	}
	resp, err := http.PostForm(o.Server.URL()+path, params)
	must(o.t, err)
	defer resp.Body.Close()
	var answer struct {
		Status    string `json:"status"`
		RequestID string `json:"request_id"`
	}
	must(o.t, json.NewDecoder(resp.Body).Decode(&answer))
	return answer.Status, answer.RequestID
}

func (o *office) explain(path string) (x adminapi.NumberExplanation) {
	o.t.Helper()
	o.ok("GET", path, nil, &x)
	return x
}

// TestExplainRefusals checks that each refused start is explained with the client's
// status, and that a start now has the same result.
func TestExplainRefusals(t *testing.T) {
	t.Parallel()
	o := start(t, capped)
	must(t, o.Store().BlockNumber(t.Context(), store.BlockedNumber{Number: server.BlockedNumber, Reason: "abuse"}))
	_, running := o.v1("/verify/json", url.Values{"number": {"447700900001"}})
	_, ended := o.v1("/verify/json", url.Values{"number": {"447700900002"}})
	o.Clock.Advance(31 * time.Second)
	if status, _ := o.v1("/verify/control/json", url.Values{"request_id": {ended}, "cmd": {"cancel"}}); status != "0" {
		t.Fatalf("cancel: %s", status)
	}
	for name, tt := range map[string]struct {
		params       url.Values
		status       string
		rule, detail string
		count, limit string
		now          string // status of a start now, if different
	}{
		"cap":           {params: url.Values{"number": {"+44 7700 900002"}}, status: "7", rule: "cap", detail: "sends_1h", count: "1", limit: "1"},
		"block list":    {params: url.Values{"number": {server.BlockedNumber}}, status: "7", rule: "blocked_number"},
		"no route":      {params: url.Values{"number": {server.UnroutableNumber}}, status: "6", rule: "no_route", detail: "sms"},
		"network":       {params: url.Values{"number": {server.UnsupportedNumber}}, status: "15", rule: "unsupported_network", detail: server.UnsupportedNumber},
		"in progress":   {params: url.Values{"number": {"447700900001"}}, status: "10", rule: "concurrent", detail: running},
		"no credit":     {params: url.Values{"number": {"447700900003"}, "api_key": {server.BrokeAccount}}, status: "9", rule: "balance", count: "0.12050000", limit: "0.00000000"},
		"trial":         {params: url.Values{"number": {"447700900004"}, "api_key": {server.TrialAccount}}, status: "29", rule: "trial"},
		"barred":        {params: url.Values{"number": {"447700900005"}, "api_key": {server.BarredAccount}}, status: "8", rule: "barred"},
		"bad parameter": {params: url.Values{"number": {"07700 900010"}, "country": {"gb"}, "lg": {"xx-yy"}}, status: "3", rule: "invalid_parameter", detail: "lg: no such locale: xx-yy", now: "0"},
		"missing":       {params: url.Values{"number": {"447700900011"}, "brand": {""}}, status: "2", rule: "missing_parameter", detail: "brand", now: "0"},
	} {
		for range 2 {
			if status, _ := o.v1("/verify/json", tt.params); status != tt.status {
				t.Errorf("%s: status %s, want %s", name, status, tt.status)
			}
		}
		path := "/numbers/" + url.PathEscape(tt.params.Get("number")) + "/explanation"
		query := url.Values{"account": {tt.params.Get("api_key")}, "country": {tt.params.Get("country")}}
		var x adminapi.NumberExplanation
		must(t, o.Do(t.Context(), adminapi.Request{Method: "GET", Path: path, Query: query}, &x))
		if len(x.Accounts) != 1 || len(x.Accounts[0].RecentRefusals) != 1 {
			t.Errorf("%s: %+v", name, x)
			continue
		}
		a := x.Accounts[0]
		got := a.RecentRefusals[0]
		if got.Times != 2 || got.Status != tt.status || got.Rule != tt.rule || got.Detail != tt.detail || got.Count != tt.count ||
			got.Limit != tt.limit || got.Source != "127.0.0.1" || got.Text == "" || got.Remedy == "" {
			t.Errorf("%s: %+v", name, got)
		}
		switch {
		case tt.now == "0":
			if !a.Accepted {
				t.Errorf("%s: a start now: %+v", name, a.Refusals)
			}
		case len(a.Refusals) == 0 || a.Refusals[0].Status != tt.status || a.Refusals[0].Rule != tt.rule:
			t.Errorf("%s: a start now: %+v", name, a.Refusals)
		}
		if in := a.InProgress; (in != nil) != (name == "in progress") || in != nil && (in.ID != running || in.Next != "tts" || in.NextAt == "") {
			t.Errorf("%s: in progress %+v", name, in)
		}
		if x.Blocked != (name == "block list") || x.Blocked && x.BlockedFor != "abuse" {
			t.Errorf("%s: blocked %v for %q", name, x.Blocked, x.BlockedFor)
		}
	}
}

// TestExplainThrottled: a start over the account's rate has its account and number.
func TestExplainThrottled(t *testing.T) {
	t.Parallel()
	o := start(t, func(o *server.Options) { o.Unlimited, o.Config.Limits.RequestsPerSecond = false, 1 })
	for _, want := range []string{"0", "1"} {
		if status, _ := o.v1("/verify/json", url.Values{"number": {"447700900001"}}); status != want {
			t.Fatalf("status %s, want %s", status, want)
		}
	}
	x := o.explain("/numbers/447700900001/explanation?account=" + server.DemoAccount)
	if r := x.Accounts[0].RecentRefusals; len(r) != 1 || r[0].Status != "1" || r[0].Rule != "requests_per_second" {
		t.Errorf("explained %+v", x.Accounts[0])
	}
}

// TestExplainStrangers checks that wrong credentials store no number, and an account only
// for a known key.
func TestExplainStrangers(t *testing.T) {
	t.Parallel()
	o := start(t)
	for _, number := range []string{"447700900001", "447700900002"} {
		for _, key := range []string{server.DemoAccount, "nobody00"} {
			if status, _ := o.v1("/verify/json", url.Values{"number": {number}, "api_key": {key}, "api_secret": {"wrongwrong"}}); status != "4" {
				t.Fatalf("status %s", status)
			}
		}
	}
	x := o.explain("/numbers/447700900001/explanation?account=" + server.DemoAccount)
	unnamed := x.Accounts[0].UnnamedRefusals
	if len(x.Accounts[0].RecentRefusals) != 0 || len(unnamed) != 1 || unnamed[0].Status != "4" || unnamed[0].Times != 2 {
		t.Errorf("explained %+v", x.Accounts[0])
	}
	rows, err := o.Store().Refusals(t.Context(), store.RefusalFilter{Limit: 10})
	must(t, err)
	if len(rows) != 2 || rows[0].Number+rows[1].Number != "" || rows[0].Account+rows[1].Account != server.DemoAccount {
		t.Errorf("stored %+v", rows)
	}
}

// TestExplainAccounts checks that without the parameter account, accounts with a history
// are explained, and that without any the response requests one.
func TestExplainAccounts(t *testing.T) {
	t.Parallel()
	o := start(t)
	x := o.explain("/numbers/447700900001/explanation")
	if len(x.Accounts) != 0 || !strings.Contains(x.Hint, "select one of 4") {
		t.Errorf("explained %+v", x)
	}
	o.v1("/verify/json", url.Values{"number": {"447700900001"}})
	o.v1("/verify/json", url.Values{"number": {"447700900001"}, "api_key": {server.BrokeAccount}})
	x = o.explain("/numbers/%2B44%207700%20900001/explanation")
	if len(x.Accounts) != 2 || x.Accounts[0].Account != server.BrokeAccount || x.Accounts[1].Account != server.DemoAccount || x.Hint != "" {
		t.Errorf("explained %+v", x)
	}
	for path, status := range map[string]int{
		"/numbers/12/explanation":                                    400,
		"/numbers/447700900001/explanation?account=nobody00":         404,
		"/numbers/7700900001/explanation?country=XX":                 400,
		"/verifications/12/explanation":                              400,
		"/verifications/" + strings.Repeat("0", 32) + "/explanation": 404,
	} {
		path, query, _ := strings.Cut(path, "?")
		values, err := url.ParseQuery(query)
		must(t, err)
		err = o.Do(t.Context(), adminapi.Request{Method: "GET", Path: path, Query: values}, nil)
		problem, ok := err.(*web.Problem) //nolint:errorlint // type returned by Do
		if !ok || problem.Status != status || problem.Parameter == "" {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestExplainVerification checks the steps, failures, checks and charges of a verification.
func TestExplainVerification(t *testing.T) {
	t.Parallel()
	o := start(t)
	_, id := o.v1("/verify/json", url.Values{"number": {server.RefusedNumber}})
	o.v1("/verify/check/json", url.Values{"request_id": {id}, "code": {"0000"}})
	var x adminapi.VerificationExplanation
	await.Until(t, "known: the outcome of the event", func() bool {
		o.ok("GET", "/verifications/"+id+"/explanation", nil, &x)
		return x.Events[0].State != "submitting"
	})
	if len(x.Steps) != 3 || x.Steps[0].EventID != x.Events[0].ID || x.Steps[1].At == "" || x.Steps[2].At != "" {
		t.Errorf("steps %+v", x.Steps)
	}
	if e := x.Events[0]; e.Attempts != 1 || len(e.Failures) != 1 || e.Failures[0].Attempt != 1 || e.Failures[0].Carrier != "refusing" || e.Failures[0].Error == "" {
		t.Errorf("event %+v", e)
	}
	if len(x.Checks) != 1 || x.Checks[0].Valid {
		t.Errorf("checks %+v", x.Checks)
	}
	if len(x.Ledger) == 0 || x.Ledger[0].Kind != "charge" || x.Ledger[0].Amount != "-0.12050000" {
		t.Errorf("ledger %+v", x.Ledger)
	}
	facts := map[verify.FactKind]adminapi.TimelineEntry{}
	for _, f := range x.Timeline {
		facts[f.Fact] = f
	}
	if f := facts[verify.EventSent]; f.EventID != x.Events[0].ID || f.State != verify.EventRefused || f.At == "" {
		t.Errorf("sent by %+v", f)
	}
	if f := facts[verify.CodeChecked]; x.Timeline[0].Fact != verify.Started || len(facts) != 4 || f.Valid || f.At == "" || facts[verify.Charged].Amount != "0.12050000" {
		t.Errorf("timeline %+v", x.Timeline)
	}
}

// TestExplainStepAddress checks that each step shows its masked address.
func TestExplainStepAddress(t *testing.T) {
	t.Parallel()
	o := start(t)
	mail := verify.Address{Kind: verify.Email, Given: "Jane@Example.com", Canonical: "jane@example.com"}
	c, _, err := verify.Begin(verify.Beginning{
		Request: verify.Request{
			Account: server.DemoAccount, To: verify.PhoneAddress("447700900001", "GB"), Brand: "Acme", Locale: "en-gb", CodeLength: 4,
			Workflow: verify.Workflow{
				Steps:   []verify.Step{{Channel: verify.SMS, Wait: time.Minute}, {Channel: verify.Mail, Wait: time.Minute, To: mail}},
				PINLife: 5 * time.Minute, PINPolicy: verify.ReusePIN,
			},
		},
		Payer: server.DemoAccount, History: verify.Uncapped{}, Node: "other",
	}, o.Clock.Now(), rand.Reader)
	must(t, err)
	must(t, o.Store().Write(t.Context(), store.Scope{}, func(tx *store.Tx) error { return tx.Save(c) }))
	var x adminapi.VerificationExplanation
	o.ok("GET", "/verifications/"+c.Verification.ID.Hex()+"/explanation", nil, &x)
	if len(x.Steps) != 2 || x.Number != "4477••••01" || x.Steps[0].To != x.Number || x.Steps[1].To != "J••••@Example.com" || x.Steps[1].Channel != "email" {
		t.Errorf("number %s, steps %+v", x.Number, x.Steps)
	}
}

// TestForgetRefusals checks that the erasure of a number deletes its refusals, in
// database and memory.
func TestForgetRefusals(t *testing.T) {
	t.Parallel()
	o := start(t)
	o.v1("/verify/json", url.Values{"number": {server.BlockedNumber}})
	var done adminapi.Forgotten
	o.ok("POST", "/numbers/"+server.BlockedNumber+"/forget", map[string]any{}, &done)
	x := o.explain("/numbers/" + server.BlockedNumber + "/explanation?account=" + server.DemoAccount)
	if done.Refusals != 1 || len(x.Accounts[0].RecentRefusals) != 0 {
		t.Errorf("forgot %d, left %+v", done.Refusals, x.Accounts[0].RecentRefusals)
	}
}

// lockedBuffer is a log for concurrent writers.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

var _ io.Writer = (*lockedBuffer)(nil)

// TestRequestLog checks that the log line of a request has status, account and request
// id, but no number, secret, code or invalid id.
func TestRequestLog(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	o := start(t, func(opts *server.Options) { opts.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	const number, code = "447700900001", "739164"
	_, id := o.v1("/verify/json", url.Values{"number": {number}})
	o.v1("/verify/json", url.Values{"number": {number}})
	o.v1("/verify/check/json", url.Values{"request_id": {id}, "code": {code}})
	o.v1("/verify/check/json", url.Values{"request_id": {number}, "code": {code}})
	o.v1("/verify/json", url.Values{"number": {number}, "api_secret": {"wrongwrong"}})
	o.v1("/verify/json", url.Values{"number": {number}, "api_key": {"nobody00"}})
	var lines []string
	await.Until(t, "logged: six requests", func() bool {
		lines = nil
		for line := range strings.Lines(log.String()) {
			if _, attrs, ok := strings.Cut(line, " client=127.0.0.1"); ok && strings.Contains(line, "/verify") {
				lines = append(lines, strings.TrimSpace(attrs))
			}
		}
		return len(lines) >= 6
	})
	want := strings.Join([]string{
		"status=0 account=demo0001 request_id=" + id,
		"status=10 account=demo0001 request_id=" + id,
		"status=16 account=demo0001 request_id=" + id,
		"status=6 account=demo0001",
		"status=4 account=demo0001",
		"status=4",
	}, "\n")
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("logged\n%s\nwant\n%s", got, want)
	}
	for _, hidden := range []string{number, code, server.DemoSecret, "wrongwrong", "nobody00"} {
		if strings.Contains(log.String(), hidden) {
			t.Errorf("the log has %s", hidden)
		}
	}
}
