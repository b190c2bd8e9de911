package adminapi_test

import (
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"countersign/internal/adminapi"
	"countersign/internal/servertest"
	"countersign/internal/verify"
)

// TestAccountSettings checks that settings in the body are replaced, others remain, and
// the audit log contains no full phone number.
func TestAccountSettings(t *testing.T) {
	t.Parallel()
	o := start(t)
	o.ok("POST", "/accounts", map[string]any{"key": "parent01", "credit": "5", "name": "Parent"}, nil)
	o.ok("POST", "/accounts", map[string]any{
		"key": "child001", "parent": "parent01", "daily_cap": "1.5", "countries": []string{"gb", "FR"}, "sources": []string{"127.0.0.1"},
		"test_numbers": []map[string]string{{"number": "+447700900001", "code": "123456"}},
	}, nil)
	var a adminapi.Account
	o.ok("PATCH", "/accounts/child001", map[string]any{
		"countries": []string{}, "workflows": []int{6, 1}, "strict": true,
		"test_numbers": []map[string]string{{"number": "447700900002", "code": "654321"}},
	}, &a)
	want := adminapi.Account{Key: "child001", Balance: "5.00000000", AccountSettings: adminapi.AccountSettings{
		OnUndeliverable: "wait", Parent: "parent01", DailyCap: "1.50000000",
		Settings: verify.Settings{
			Workflows: []int{1, 6}, Sources: []string{"127.0.0.1/32"}, Strict: true,
			TestNumbers: []verify.TestNumber{{Number: "447700900002", Code: "654321"}},
		},
	}}
	if !reflect.DeepEqual(a, want) {
		t.Errorf("got %+v, want %+v", a, want)
	}
	var shown adminapi.AccountDetail
	o.ok("GET", "/accounts/parent01", nil, &shown)
	if !reflect.DeepEqual(shown.SubAccounts, []string{"child001"}) || shown.SpentToday != "0.00000000" || len(shown.Secrets) != 1 {
		t.Errorf("the parent is %+v", shown)
	}
	log, err := json.Marshal(o.log())
	must(t, err)
	for _, hidden := range []string{"7700900001", "7700900002", "123456", "654321"} {
		if strings.Contains(string(log), hidden) {
			t.Errorf("the audit log has %q: %s", hidden, log)
		}
	}
}

// TestAccountSecrets checks that each secret is shown once and expires on time.
func TestAccountSecrets(t *testing.T) {
	t.Parallel()
	o := start(t)
	good := func(secret string, want bool) {
		t.Helper()
		c, err := o.Store().Credentials(t.Context(), "acme0001")
		must(t, err)
		if got := c.HasSecret(secret, o.Clock.Now()); got != want {
			t.Errorf("%s is valid: %v, want %v", secret, got, want)
		}
	}
	o.ok("POST", "/accounts", map[string]any{"key": "acme0001", "secret": "the first", "signature_method": "sha256"}, nil)
	var added adminapi.AddedSecret
	o.ok("POST", "/accounts/acme0001/secrets", map[string]any{"expires_in_seconds": 60}, &added)
	good(added.Value, true)
	var rotated adminapi.NewSecret
	o.ok("POST", "/accounts/acme0001/rotate-secret", map[string]any{"keep_seconds": 3600}, &rotated)
	var signed adminapi.NewSignature
	o.ok("POST", "/accounts/acme0001/rotate-signature", map[string]any{"keep_seconds": 3600}, &signed)
	if signed.Method != "sha256" || len(signed.Secret) != 32 {
		t.Errorf("signature %+v", signed)
	}
	var shown adminapi.AccountDetail
	o.ok("GET", "/accounts/acme0001", nil, &shown)
	end := servertest.Epoch.Add(time.Hour).Format("2006-01-02T15:04:05.000Z")
	if len(shown.Secrets) != 3 || shown.SignatureMethod != "sha256" || shown.OldSignatureUntil != end {
		t.Errorf("shown %+v", shown)
	}
	o.Clock.Advance(time.Minute)
	good(added.Value, false)
	good("the first", true)
	var list adminapi.Secrets
	o.ok("GET", "/accounts/acme0001/secrets", nil, &list)
	if len(list.Secrets) != 2 {
		t.Errorf("listed %+v", list)
	}
	for _, s := range list.Secrets {
		if s.ExpiresAt == end {
			o.ok("DELETE", "/accounts/acme0001/secrets/"+s.ID, nil, nil)
		}
	}
	good("the first", false)
	good(rotated.Secret, true)
	log, err := json.Marshal(o.log())
	must(t, err)
	for _, hidden := range []string{"first", added.Value, rotated.Secret, signed.Secret} {
		if strings.Contains(string(log), `"`+hidden+`"`) {
			t.Errorf("the audit log has a secret: %s", log)
		}
	}
}

func TestApprovedNumbers(t *testing.T) {
	t.Parallel()
	o := start(t)
	o.ok("POST", "/accounts", map[string]any{"key": "trial123", "trial": true, "approved_numbers": []string{"447700900003"}}, nil)
	o.ok("PUT", "/accounts/trial123/approved-numbers/+44%207700%20900001", nil, nil)
	o.ok("PUT", "/accounts/trial123/approved-numbers/447700900001", nil, nil)
	o.ok("DELETE", "/accounts/trial123/approved-numbers/447700900003", nil, nil)
	var got adminapi.ApprovedNumbers
	o.ok("GET", "/accounts/trial123/approved-numbers", nil, &got)
	if !reflect.DeepEqual(got.Numbers, []string{"447700900001"}) {
		t.Errorf("approved %v", got.Numbers)
	}
}

// TestSettingsWithByteOrderMark checks that a byte-order mark before the body is ignored,
// even where the body is decoded twice.
func TestSettingsWithByteOrderMark(t *testing.T) {
	t.Parallel()
	o := start(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, o.AdminURL()+"/admin/v1/accounts/demo0001",
		strings.NewReader("\ufeff"+`{"name":"Acme Ltd"}`))
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+o.Token)
	req.Header.Set("Content-Type", "application/json; utf-8")
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `"Acme Ltd"`) {
		t.Errorf("%s %s", resp.Status, body)
	}
}
