package adminapi_test

import (
	"crypto/rand"
	"net/url"
	"strings"
	"testing"

	"countersign/internal/adminapi"
	"countersign/internal/server"
	"countersign/internal/servertest"
	"countersign/internal/store"
	"countersign/internal/verify"
)

func TestTemplates(t *testing.T) {
	t.Parallel()
	o := start(t)
	var ids []string
	for _, draft := range []store.Template{
		{Channel: verify.SMS, Encoding: "text", Text: "Code ${pin} from ${brand}"}, {Channel: verify.SMS, Encoding: "text", Text: "${pin} is it"}, {Channel: verify.TTS, Text: "Your code is ${pin}"},
	} {
		draft.ID, draft.Account, draft.Locale, draft.CreatedAt = verify.NewID(rand.Reader), server.DemoAccount, "en-gb", servertest.Epoch
		added, err := o.Store().AddTemplate(t.Context(), draft, nil, false)
		must(t, err)
		ids = append(ids, added.ID.String())
	}
	var got adminapi.Template
	for _, id := range ids[:2] {
		o.ok("POST", "/templates/"+id+"/approve", nil, &got)
	}
	if got.ID != ids[1] || got.Version != 2 || got.Status != "ACTIVE" || got.ApprovedAt == "" {
		t.Errorf("approved %+v", got)
	}
	o.ok("POST", "/templates/"+ids[1]+"/rollback", nil, &got)
	if got.ID != ids[0] || got.Status != "ACTIVE" {
		t.Errorf("rolled back to %+v", got)
	}
	o.ok("POST", "/templates/"+ids[2]+"/retire", nil, &got)
	var list adminapi.Templates
	must(t, o.Do(t.Context(), adminapi.Request{Method: "GET", Path: "/templates", Query: url.Values{"account": {server.DemoAccount}, "status": {"ACTIVE"}}}, &list))
	if len(list.Templates) != 1 || list.Templates[0].ID != ids[0] {
		t.Errorf("active templates %+v", list)
	}
	var shown adminapi.TemplatePreview
	must(t, o.Do(t.Context(), adminapi.Request{Method: "GET", Path: "/templates/" + ids[0] + "/preview", Query: url.Values{"pin": {"4711"}, "brand": {"Shop"}}}, &shown))
	if shown.Text != "Code 4711 from Shop" || shown.Segments != 1 {
		t.Errorf("shown %+v", shown)
	}
	var sound strings.Builder
	o.ok("GET", "/templates/"+ids[2]+"/sound", nil, &sound)
	if !strings.HasPrefix(sound.String(), "RIFF") {
		t.Errorf("the audio is %.10q", sound.String())
	}
	for path, status := range map[string]int{
		"/templates/" + ids[1] + "/rollback": 409, "/templates/" + ids[0] + "/rollback": 409, "/templates/x/approve": 400,
		"/templates/00000000-0000-4000-8000-000000000000/retire": 404,
	} {
		if p := refused(t, o.Client, adminapi.Request{Method: "POST", Path: path}); p.Status != status {
			t.Errorf("%s: %+v", path, p)
		}
	}
	if p := refused(t, o.Client, get("/templates/"+ids[0]+"/sound")); p.Status != 409 {
		t.Errorf("the audio of an SMS: %+v", p)
	}
	var said []string
	for _, e := range o.log() {
		said = append(said, e.Action)
	}
	if got := strings.Join(said, " "); got != "template.approve template.approve template.rollback template.retire" {
		t.Errorf("logged %s", got)
	}
}

// TestTemplatePreviewRefuses checks that preview requires a valid PIN and a brand of one line.
func TestTemplatePreviewRefuses(t *testing.T) {
	t.Parallel()
	o := start(t)
	added, err := o.Store().AddTemplate(t.Context(), store.Template{
		ID: verify.NewID(rand.Reader), Account: server.DemoAccount, Channel: verify.SMS, Locale: "en-gb", Encoding: "text", Text: "${brand}: ${pin}", CreatedAt: servertest.Epoch,
	}, nil, false)
	must(t, err)
	for _, tt := range []struct{ pin, brand, parameter string }{
		{"123", "", "pin"}, {"12345678901", "", "pin"}, {"12 34", "", "pin"}, {"12é4", "", "pin"}, {"1234\n", "", "pin"},
		{"1234", "two\nlines", "brand"}, {"1234", strings.Repeat("x", 101), "brand"},
	} {
		for _, what := range []string{"preview", "sound"} {
			p := refused(t, o.Client, adminapi.Request{Method: "GET", Path: "/templates/" + added.ID.String() + "/" + what, Query: url.Values{"pin": {tt.pin}, "brand": {tt.brand}}})
			if p.Status != 400 || p.Parameter != tt.parameter {
				t.Errorf("%s of PIN %q for %.20q: %+v", what, tt.pin, tt.brand, p)
			}
		}
	}
	for pin, want := range map[string]string{"": "Acme: 123456", "1234": "Acme: 1234", "Abcdefghi9": "Acme: Abcdefghi9"} {
		var shown adminapi.TemplatePreview
		must(t, o.Do(t.Context(), adminapi.Request{Method: "GET", Path: "/templates/" + added.ID.String() + "/preview", Query: url.Values{"pin": {pin}}}, &shown))
		if shown.Text != want || shown.Encoding != "text" || shown.Channel != verify.SMS {
			t.Errorf("PIN %q: %+v, want %q", pin, shown, want)
		}
	}
}
