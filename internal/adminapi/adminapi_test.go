package adminapi_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"countersign/internal/adminapi"
	"countersign/internal/server"
	"countersign/internal/servertest"
	"countersign/internal/web"
)

func writeFile(path, text string) error { return os.WriteFile(path, []byte(text), 0o600) }

func TestAccounts(t *testing.T) {
	t.Parallel()
	o := start(t)
	var created adminapi.CreatedAccount
	o.ok("POST", "/accounts", map[string]any{
		"name": "Acme", "key": "acme0001", "secret": "mysecret", "credit": "100.00000001", "rate": 7, "pin_code": true,
		"signature_method": "sha512", "approved_numbers": []string{"+44 7700 900001"},
	}, &created)
	if created.Balance != "100.00000001" || created.Secret != "mysecret" || len(created.SignatureSecret) != 32 || created.OnUndeliverable != "wait" {
		t.Errorf("created %+v", created)
	}
	var drawn adminapi.CreatedAccount
	o.ok("POST", "/accounts", map[string]any{"name": "Drawn"}, &drawn)
	if len(drawn.Key) != 8 || len(drawn.Secret) != 32 || drawn.SignatureSecret != "" {
		t.Errorf("drawn %+v", drawn)
	}

	var a adminapi.Account
	o.ok("PATCH", "/accounts/acme0001", map[string]any{"name": "Acme Ltd", "on_undeliverable": "next_event"}, &a)
	o.ok("POST", "/accounts/acme0001/credit", map[string]any{"amount": "-0.00000001"}, &a)
	o.ok("POST", "/accounts/acme0001/bar", nil, &a)
	want := adminapi.Account{Key: "acme0001", Balance: "100.00000000", AccountSettings: adminapi.AccountSettings{
		Name: "Acme Ltd", Barred: true, PINCode: true, Rate: 7, OnUndeliverable: "next_event", DailyCap: "0.00000000",
	}}
	if !reflect.DeepEqual(a, want) {
		t.Errorf("got %+v, want %+v", a, want)
	}
	o.ok("POST", "/accounts/acme0001/unbar", nil, &a)
	var list adminapi.AccountList
	o.ok("GET", "/accounts", nil, &list)
	want.Barred = false
	listed := slices.ContainsFunc(list.Accounts, func(l adminapi.Account) bool { return reflect.DeepEqual(l, want) })
	if !listed || len(list.Accounts) != 6 || !reflect.DeepEqual(a, want) {
		t.Errorf("listed %+v", list)
	}
	var secret adminapi.NewSecret
	o.ok("POST", "/accounts/acme0001/rotate-secret", nil, &secret)
	if c, err := o.Store().Credentials(t.Context(), "acme0001"); err != nil || !c.HasSecret(secret.Secret, servertest.Epoch) || c.HasSecret("mysecret", servertest.Epoch) {
		t.Errorf("the secret was not replaced: %v", err)
	}

	// Each change is logged once, without secrets and numbers.
	log, err := json.Marshal(o.log())
	must(t, err)
	for _, hidden := range []string{"mysecret", created.SignatureSecret, drawn.Secret, secret.Secret, "447700900001"} {
		if strings.Contains(string(log), hidden) {
			t.Errorf("the audit log has %q: %s", hidden, log)
		}
	}
	var said []string
	for _, e := range o.log() {
		if e.Who != "admin" || e.Source != "127.0.0.1" || e.At != "2026-01-02T03:04:05.000Z" {
			t.Errorf("logged %+v", e)
		}
		said = append(said, strings.TrimSpace(e.Action+" "+e.Subject))
	}
	if got, want := strings.Join(said, ", "), "account.create acme0001, account.create "+drawn.Key+", account.set acme0001, account.credit acme0001, "+
		"account.bar acme0001, account.unbar acme0001, account.rotate-secret acme0001"; got != want {
		t.Errorf("the audit log has %s, want %s", got, want)
	}
	if got := string(o.log()[2].Detail); got != `{"name":"Acme Ltd","on_undeliverable":"next_event"}` {
		t.Errorf("the detail is %s", got)
	}
}

// TestRefusals checks that an invalid request is refused by the name of its parameter,
// changes no data, and is not in the audit log.
func TestRefusals(t *testing.T) {
	t.Parallel()
	o := start(t)
	json := func(text string) json.RawMessage { return json.RawMessage(text) }
	for name, tt := range map[string]struct {
		method, path string
		query        string
		body         any
		status       int
		parameter    string
	}{
		"no account":      {"GET", "/accounts/nobody00", "", nil, 404, "key"},
		"bar nobody":      {"POST", "/accounts/nobody00/bar", "", nil, 404, "key"},
		"credit nobody":   {"POST", "/accounts/nobody00/credit", "", json(`{"amount":"1"}`), 404, "key"},
		"rotate nobody":   {"POST", "/accounts/nobody00/rotate-secret", "", nil, 404, "key"},
		"set nobody":      {"PATCH", "/accounts/nobody00", "", json(`{"rate":1}`), 404, "key"},
		"key is taken":    {"POST", "/accounts", "", json(`{"key":"demo0001"}`), 409, "key"},
		"short key":       {"POST", "/accounts", "", json(`{"key":"short"}`), 400, "key"},
		"odd credit":      {"POST", "/accounts", "", json(`{"credit":"lots"}`), 400, "credit"},
		"debt":            {"POST", "/accounts", "", json(`{"credit":"-1"}`), 400, "credit"},
		"rate":            {"POST", "/accounts", "", json(`{"rate":-1}`), 400, "rate"},
		"kind of rate":    {"POST", "/accounts", "", json(`{"rate":"7"}`), 400, "rate"},
		"name":            {"POST", "/accounts", "", json(`{"name":"a\nb"}`), 400, "name"},
		"approved":        {"POST", "/accounts", "", json(`{"approved_numbers":["12"]}`), 400, "approved_numbers"},
		"method":          {"POST", "/accounts", "", json(`{"signature_method":"rot13"}`), 400, "signature_method"},
		"then":            {"PATCH", "/accounts/demo0001", "", json(`{"on_undeliverable":"panic"}`), 400, "on_undeliverable"},
		"unknown field":   {"PATCH", "/accounts/demo0001", "", json(`{"balance":"7"}`), 400, "balance"},
		"null setting":    {"PATCH", "/accounts/demo0001", "", json(`{"barred":null}`), 400, "barred"},
		"nothing":         {"PATCH", "/accounts/demo0001", "", json(`{}`), 400, ""},
		"a list":          {"PATCH", "/accounts/demo0001", "", json(`[]`), 400, ""},
		"much money":      {"POST", "/accounts/demo0001/credit", "", json(`{"amount":"92233720368"}`), 400, "amount"},
		"no money":        {"POST", "/accounts/demo0001/credit", "", json(`{}`), 400, "amount"},
		"no number":       {"PUT", "/blocked-numbers/12", "", json(`{}`), 400, "number"},
		"long reason":     {"PUT", "/blocked-numbers/447700900000", "", map[string]string{"reason": strings.Repeat("x", 1001)}, 400, "reason"},
		"long body":       {"PUT", "/blocked-numbers/447700900000", "", map[string]string{"reason": strings.Repeat("x", 1<<20)}, 413, ""},
		"not blocked":     {"DELETE", "/blocked-numbers/447700900000", "", nil, 404, ""},
		"no country":      {"PATCH", "/accounts/demo0001", "", json(`{"countries":["XX"]}`), 400, "countries"},
		"kind of country": {"PATCH", "/accounts/demo0001", "", json(`{"countries":"GB"}`), 400, "countries"},
		"no brand":        {"PATCH", "/accounts/demo0001", "", json(`{"link_brands":[""]}`), 400, "link_brands"},
		"no network":      {"POST", "/accounts", "", json(`{"sources":["here"]}`), 400, "sources"},
		"no cap":          {"PATCH", "/accounts/demo0001", "", json(`{"daily_cap":"-1"}`), 400, "daily_cap"},
		"no parent":       {"PATCH", "/accounts/trial001", "", json(`{"parent":"nobody00"}`), 409, "parent"},
		"own parent":      {"PATCH", "/accounts/trial001", "", json(`{"parent":"trial001"}`), 409, "parent"},
		"keep for ever":   {"POST", "/accounts/demo0001/rotate-secret", "", json(`{"keep_seconds":1000000000000}`), 400, "keep_seconds"},
		"keep backwards":  {"POST", "/accounts/demo0001/rotate-secret", "", json(`{"keep_seconds":-1}`), 400, "keep_seconds"},
		"expired":         {"POST", "/accounts/demo0001/secrets", "", json(`{"expires_in_seconds":-1}`), 400, "expires_in_seconds"},
		"secret again":    {"POST", "/accounts/demo0001/secrets", "", json(`{"secret":"demosecret0001"}`), 409, "secret"},
		"secret unknown":  {"DELETE", "/accounts/demo0001/secrets/00000000", "", nil, 404, "id"},
		"secrets of none": {"GET", "/accounts/nobody00/secrets", "", nil, 404, "key"},
		"unsigned":        {"POST", "/accounts/trial001/rotate-signature", "", json(`{"method":"rot13"}`), 400, "method"},
		"not approved":    {"DELETE", "/accounts/demo0001/approved-numbers/447700900000", "", nil, 404, "number"},
		"approve nothing": {"PUT", "/accounts/demo0001/approved-numbers/12", "", nil, 400, "number"},
		"no body":         {"POST", "/accounts", "", nil, 415, "Content-Type"},
		"no such path":    {"GET", "/nonsense", "", nil, 404, ""},
		"no such method":  {"DELETE", "/accounts", "", nil, 405, ""},
		"not an id":       {"GET", "/verifications/1", "", nil, 400, "id"},
		"no verification": {"GET", "/verifications/00000000000000000000000000000000", "", nil, 404, "id"},
		"search for all":  {"GET", "/verifications", "", nil, 400, "number"},
		"search long":     {"GET", "/verifications", "account=demo0001&since=2025-01-01", nil, 400, "since"},
		"search late":     {"GET", "/verifications", "account=demo0001&until=yesterday", nil, 400, "until"},
		"search many":     {"GET", "/verifications", "account=demo0001&limit=1000", nil, 400, "limit"},
		"search oddly":    {"GET", "/verifications", "account=demo0001&colour=red", nil, 400, "colour"},
		"search twice":    {"GET", "/verifications", "account=demo0001&account=demo0002", nil, 400, "account"},
		"log from":        {"GET", "/audit", "before=x", nil, 400, "before"},
		"a query":         {"GET", "/accounts", "x=1", nil, 400, "x"},
		"unblock nobody":  {"POST", "/fraud/unblocks", "", json(`{"account":"nobody00","network":"23410","seconds":60}`), 404, "account"},
		"export nobody":   {"GET", "/ledger", "account=nobody00", nil, 404, "account"},
		"export nothing":  {"GET", "/ledger", "from=2026-02-01&until=2026-01-01", nil, 400, "until"},
		"check nobody":    {"GET", "/ledger/check", "account=nobody00", nil, 404, "account"},
		"price backwards": {"POST", "/prices", "", json(`{"for":"GB","price":"1","valid_from":"2026-02-01","valid_until":"2026-02-01"}`), 400, "valid_until"},
		"no name":         {"PATCH", "/accounts/demo0001", "", json(`{"name":""}`), 400, "name"},
		"blank name":      {"PATCH", "/accounts/demo0001", "", json(`{"name":" "}`), 400, "name"},
		"expired at once": {"POST", "/accounts/demo0001/secrets", "", json(`{"expires_in_seconds":0}`), 400, "expires_in_seconds"},
		"short secret":    {"POST", "/accounts/demo0001/secrets", "", json(`{"secret":"1234567"}`), 400, "secret"},
		"first secret":    {"POST", "/accounts", "", json(`{"secret":"x"}`), 400, "secret"},
		"dry run":         {"POST", "/keys/rotate", "dry_run=1", nil, 400, "dry_run"},
		"dry bar":         {"POST", "/accounts/demo0001/bar", "dry_run=1", nil, 400, "dry_run"},
		"dry import":      {"POST", "/prices", "carrier=x&dry_run=1", json(`{}`), 400, "carrier"},
		"query of a doc":  {"GET", "/openapi.yaml", "x=1", nil, 400, "x"},
		"body for none":   {"POST", "/keys/rotate", "", json(`{"dry_run":true}`), 400, ""},
		"body for bar":    {"POST", "/accounts/demo0001/bar", "", json(`"garbage"`), 400, ""},
		"body of DELETE":  {"DELETE", "/blocked-numbers/447700900009", "", json(`{}`), 400, ""},
		"body of GET":     {"GET", "/accounts", "", json(`{}`), 400, ""},
		"null":            {"POST", "/accounts", "", json(`null`), 400, ""},
		"null to rotate":  {"POST", "/accounts/demo0001/rotate-secret", "", json(`null`), 400, ""},
		"shouted":         {"POST", "/accounts", "", json(`{"NAME":"x"}`), 400, "NAME"},
		"set, shouted":    {"PATCH", "/accounts/demo0001", "", json(`{"Barred":true}`), 400, "Barred"},
		"long s":          {"POST", "/accounts", "", json(`{"ſecret":"mysecret"}`), 400, "ſecret"},
	} {
		query, err := url.ParseQuery(tt.query)
		must(t, err)
		p := refused(t, o.Client, adminapi.Request{Method: tt.method, Path: tt.path, Query: query, JSON: tt.body})
		if p.Status != tt.status || p.Parameter != tt.parameter {
			t.Errorf("%s: %+v, want %d and %q", name, p, tt.status, tt.parameter)
		}
	}
	for body, line := range map[string]string{"*,0.1\nBritain,1\n": "line 2", "GB,1\n": "all other countries"} {
		p := refused(t, o.Client, adminapi.Request{Method: "PUT", Path: "/prices", CSV: strings.NewReader(body)})
		if p.Status != 400 || !strings.Contains(p.Detail, line) {
			t.Errorf("prices %q: %+v", body, p)
		}
	}
	if log := o.log(); len(log) > 0 {
		t.Errorf("refused requests are logged: %+v", log)
	}
}

func TestNumbersAndPrices(t *testing.T) {
	t.Parallel()
	o := start(t)
	o.ok("PUT", "/blocked-numbers/+44%207700-900008", map[string]string{"reason": "fraud"}, nil)
	var blocked adminapi.BlockedNumbers
	o.ok("GET", "/blocked-numbers", nil, &blocked)
	want := adminapi.BlockedNumber{Number: "447700900008", Since: "2026-01-02T03:04:05.000Z", Reason: "fraud"}
	if len(blocked.Numbers) != 2 || blocked.Numbers[1] != want {
		t.Errorf("blocked %+v", blocked)
	}
	o.ok("DELETE", "/blocked-numbers/447700900008", nil, nil)

	const list = "country,price\n*,0.10000000\nGB,0.05000000\n"
	var imported adminapi.Imported
	must(t, o.Do(t.Context(), adminapi.Request{Method: "PUT", Path: "/prices", CSV: strings.NewReader(list)}, &imported))
	var got strings.Builder
	o.ok("GET", "/prices", nil, &got)
	if imported.Prices != 2 || got.String() != list {
		t.Errorf("%d imported: %q", imported.Prices, got.String())
	}
	log := o.log()
	if len(log) != 3 || log[0].Subject != "4477••••08" || string(log[0].Detail) != `{"reason":"fraud"}` || log[1].Subject != "4477••••08" || string(log[2].Detail) != `{"prices":2}` {
		t.Errorf("logged %+v", log)
	}
}

// TestVerifications checks that a verification is shown without its codes and its full number.
func TestVerifications(t *testing.T) {
	t.Parallel()
	o := start(t)
	const number = "447700900000"
	id := o.Post("/verify/json", url.Values{"number": {number}, "brand": {"Acme"}})["request_id"].(string)
	pin := o.WaitMessages(number, 1)[0].PIN()
	wrong := "1" + pin[1:]
	if wrong == pin {
		wrong = "2" + pin[1:]
	}
	o.Post("/verify/check/json", url.Values{"request_id": {id}, "code": {wrong}, "ip_address": {"192.0.2.7"}})

	var v adminapi.Verification
	o.ok("GET", "/verifications/"+id, nil, &v)
	if v.ID != id || v.Number != "4477••••00" || v.Status != "IN PROGRESS" || v.Brand != "Acme" || len(v.Events) != 1 || v.Events[0].State != "accepted" ||
		len(v.Checks) != 1 || v.Checks[0].Valid || v.Checks[0].IPAddress != "192.0.2.7" {
		t.Errorf("got %+v", v)
	}
	var found adminapi.Verifications
	must(t, o.Do(t.Context(), adminapi.Request{Method: "GET", Path: "/verifications", Query: url.Values{
		"number": {"+" + number}, "account": {server.DemoAccount}, "since": {"2026-01-02"}, "limit": {"1"},
	}}, &found))
	text, err := json.Marshal(found)
	must(t, err)
	if len(found.Verifications) != 1 || found.Verifications[0].ID != id {
		t.Errorf("found %s", text)
	}
	for _, hidden := range []string{number, `"` + pin + `"`, `"` + wrong + `"`, server.DemoSecret} {
		if strings.Contains(string(text), hidden) {
			t.Errorf("%s is shown: %s", hidden, text)
		}
	}
}

func TestCarriersAndSchema(t *testing.T) {
	t.Parallel()
	o := start(t)
	var carriers adminapi.Carriers
	o.ok("GET", "/carriers", nil, &carriers)
	if len(carriers.Carriers) != 2 || carriers.Carriers[0].Name != "phone" {
		t.Errorf("carriers %+v", carriers)
	}
	var schema adminapi.Schema
	o.ok("GET", "/schema", nil, &schema)
	if len(schema.Steps) < 1 || schema.Steps[0].Name != "0001_schema.sql" || schema.Steps[0].Applied == "" {
		t.Errorf("schema %+v", schema)
	}
	var doc strings.Builder
	o.ok("GET", "/openapi.yaml", nil, &doc)
	if !strings.HasPrefix(doc.String(), "openapi: 3.") {
		t.Errorf("the document begins with %.40q", doc.String())
	}
}

// TestElsewhere checks that the admin API is served only by its own listener, and that
// this listener serves no other paths.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	o := start(t, servertest.Quiet())
	for _, target := range []string{o.Server.URL() + "/admin/v1/accounts", o.OpsURL() + "/admin/v1/accounts", o.AdminURL() + "/verify/json"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+o.Token)
		resp, err := http.DefaultClient.Do(req)
		must(t, err)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s returns %d", target, resp.StatusCode)
		}
	}
}

// TestNothingThere checks that authenticated requests to unknown paths get a problem.
func TestNothingThere(t *testing.T) {
	t.Parallel()
	o := start(t, servertest.Quiet())
	for _, path := range []string{"/", "", "/admin/v1", "/admin/v1/", "/admin/v1/..", "/a/./b", "/admin//v1/none", "/%2e%2e/"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, o.AdminURL()+path, nil)
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+o.Token)
		resp, err := http.DefaultTransport.RoundTrip(req)
		must(t, err)
		var p web.Problem
		err = json.NewDecoder(resp.Body).Decode(&p)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusNotFound || p.Status != resp.StatusCode || p.Title == "" || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%q returns %d %s %+v %v", path, resp.StatusCode, resp.Header.Get("Content-Type"), p, err)
		}
	}
}
