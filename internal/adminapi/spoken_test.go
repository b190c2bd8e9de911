package adminapi_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"countersign/internal/adminapi"
	"countersign/internal/server"
)

// TestSpokenBrandInCalls checks that calls use the spoken form of a brand, SMS the brand,
// and that other brands are unchanged.
func TestSpokenBrandInCalls(t *testing.T) {
	t.Parallel()
	o := start(t)
	for i, tt := range []struct{ setting, brand, call string }{
		{`{"AcmeInc":"Acme Incorporated","楽天":"らくてん"}`, "AcmeInc", " Acme Incorporated "},
		{`{"AcmeInc":"Acme Incorporated"}`, "acmeinc", " Acme Incorporated "},
		{`{"AcmeInc":"Acme Incorporated"}`, "AcmeIncs", " AcmeIncs "},
		{`{}`, "AcmeInc", " AcmeInc "},
	} {
		o.ok("PATCH", "/accounts/"+server.DemoAccount, map[string]any{"spoken_brands": json.RawMessage(tt.setting)}, nil)
		for workflow, want := range map[string]string{"6": tt.brand, "7": tt.call} { // an SMS, a call
			number := "4477009002" + workflow + string(rune('0'+i))
			o.Post("/verify/json", url.Values{"number": {number}, "brand": {tt.brand}, "lg": {"en-gb"}, "workflow_id": {workflow}})
			if got := o.WaitMessages(number, 1)[0].Text; !strings.Contains(got, want) {
				t.Errorf("%s, workflow %s: the message of %s is %q, want %q in it", tt.setting, workflow, tt.brand, got, want)
			}
		}
	}
}

func TestSpokenBrandErrors(t *testing.T) {
	t.Parallel()
	o := start(t)
	for setting, want := range map[string]string{
		`{"Acme":"Acme 12345"}`:                      "sound like a code",
		`{"":"x"}`:                                   "1 to 18 characters",
		`{"Nineteen characters":"x"}`:                "1 to 18 characters",
		`{"Acme":" "}`:                               "1 to 40 characters",
		`{"Acme":"a\nb"}`:                            "1 to 40 characters",
		`{"Acme":"a","ACME ":"b"}`:                   "the same brand",
		`{"Acme":"` + strings.Repeat("x", 41) + `"}`: "1 to 40 characters",
	} {
		p := refused(t, o.Client, adminapi.Request{
			Method: "PATCH", Path: "/accounts/" + server.DemoAccount, JSON: map[string]any{"spoken_brands": json.RawMessage(setting)},
		})
		if p.Status != 400 || !strings.Contains(p.Detail, want) {
			t.Errorf("%s: %d %s, want 400 and %q", setting, p.Status, p.Detail, want)
		}
	}
}
