package template_test

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign/internal/message"
	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/template"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// desk returns a Desk with an account, acme0001.
func desk(t *testing.T) *template.Desk {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{
		Database: pgtest.Chosen(t, filepath.Join(t.TempDir(), "countersign.db"), "migrated", store.Migrate),
		Key:      vault.NewKey(), Log: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	must(t, db.CreateAccount(t.Context(), store.NewAccount{Account: verify.Account{Key: "acme0001"}, Secret: "s"}, t0))
	messages, err := message.New()
	must(t, err)
	return &template.Desk{Store: db, Messages: messages}
}

// TestEncoding: a character outside the GSM alphabet at any place makes an SMS Unicode.
func TestEncoding(t *testing.T) {
	t.Parallel()
	d := desk(t)
	for _, tt := range []struct{ text, given, want, err string }{
		{text: "Code ${pin}", want: "text"},
		{text: "é€[~] ${pin}", want: "text"},
		{text: "ж ${pin}", want: "unicode"},
		{text: "“${pin}”", want: "unicode"},
		{text: "${pin} ж", want: "unicode"},
		{text: "ç ${pin}", want: "unicode"}, // the alphabet only has the capital
		{text: "Code ${pin}", given: "text", want: "text"},
		{text: "Code ${pin}", given: "unicode", want: "unicode"},
		{text: "ж ${pin}", given: "unicode", want: "unicode"},
		{text: "ж ${pin}", given: "text", err: "type: 'ж' is not in the GSM alphabet: unicode is needed"},
		{text: "${pin}ж", given: "text", err: "type: 'ж' is not in the GSM alphabet: unicode is needed"},
		{text: "Code ${pin}", given: "ucs2", err: `type: "ucs2" is neither text nor unicode`},
	} {
		made, err := d.Create(t.Context(), template.Draft{Account: verify.Account{Key: "acme0001"}, Channel: verify.SMS, Locale: "en-gb", Text: tt.text, Encoding: tt.given}, t0)
		if made.Encoding != tt.want || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("%q as %q: %q, %v; want %q, %q", tt.text, tt.given, made.Encoding, err, tt.want, tt.err)
		}
	}
}

// TestShow: a preview has the encoding and segments of the SMS with the account's last
// line, and requires a valid PIN.
func TestShow(t *testing.T) {
	t.Parallel()
	fill := verify.Autofill{Domain: "example.com"}
	for _, tt := range []struct {
		text, brand, pin string
		fill             verify.Autofill
		want             template.Preview
	}{
		{"${brand}: ${pin}", "", "1234", verify.Autofill{}, template.Preview{Text: "Acme: 1234", Encoding: "text", Segments: 1}},
		{"${brand}: ${pin}", "Shop", "0123456789", verify.Autofill{}, template.Preview{Text: "Shop: 0123456789", Encoding: "text", Segments: 1}},
		{"ж ${pin}", "", "1234", verify.Autofill{}, template.Preview{Text: "ж 1234", Encoding: "unicode", Segments: 1}},
		{"${brand}: ${pin}", "Ж", "abcZ", verify.Autofill{}, template.Preview{Text: "Ж: abcZ", Encoding: "unicode", Segments: 1}},
		{"${pin}", "", "1234", fill, template.Preview{Text: "1234\n\n@example.com #1234", Encoding: "text", Segments: 1}},
		{"${pin}" + strings.Repeat("ж", 70), "", "1234", verify.Autofill{}, template.Preview{Text: "1234" + strings.Repeat("ж", 70), Encoding: "unicode", Segments: 2}},
	} {
		got, err := template.Show(store.Template{Channel: verify.SMS, Locale: "en-gb", Text: tt.text}, tt.fill, tt.brand, tt.pin)
		if err != nil || got.Text != tt.want.Text || got.Encoding != tt.want.Encoding || got.Segments != tt.want.Segments {
			t.Errorf("%q: %+v, %v; want %+v", tt.text, got, err, tt.want)
		}
	}
	call, err := template.Show(store.Template{Channel: verify.TTS, Locale: "en-gb", Text: "Your code is ${pin}"}, fill, "", "1234")
	if err != nil || call.Text != "Your code is 1, 2, 3, 4" || call.Encoding != "" || call.Segments != 0 || len(call.Script.Parts) == 0 {
		t.Errorf("the call is %+v, %v", call, err)
	}
	for _, pin := range []string{"", "123", "12345678901", "12 34", "12é4", "${pin}"} {
		if got, err := template.Show(store.Template{Channel: verify.SMS, Locale: "en-gb", Text: "${pin}"}, fill, "", pin); err == nil || got.Text != "" {
			t.Errorf("a PIN %q is shown as %+v", pin, got)
		}
	}
	if got, err := template.Show(store.Template{Channel: verify.SMS, Locale: "en-gb", Text: "no code"}, fill, "", "1234"); err == nil {
		t.Errorf("a text without a PIN is shown as %+v", got)
	}
}

// TestCreateRefuses: a refusal has the name of the defective parameter, and adds no
// version.
func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	d := desk(t)
	sounds := map[string]string{}
	for _, name := range template.SoundNames() {
		sounds[name] = "https://sounds.example/" + name
	}
	good := template.Draft{Account: verify.Account{Key: "acme0001"}, Channel: verify.SMS, Locale: "en-gb", Text: "Code ${pin}"}
	local := strings.Repeat("x", 254-len("@example.com"))
	for _, tt := range []struct {
		name   string
		change func(*template.Draft)
		param  string // defective parameter; "" if the draft is valid
	}{
		{"good", func(*template.Draft) {}, ""},
		{"contact", func(d *template.Draft) { d.Contact = "ops@example.com" }, ""},
		{"longest contact", func(d *template.Draft) { d.Contact = local + "@example.com" }, ""},
		{"long contact", func(d *template.Draft) { d.Contact = "x" + local + "@example.com" }, "contact_email"},
		{"no contact", func(d *template.Draft) { d.Contact = "ops" }, "contact_email"},
		{"named contact", func(d *template.Draft) { d.Contact = "Ops <ops@example.com>" }, "contact_email"},
		{"locale of the published form", func(d *template.Draft) { d.Locale = "EN_GB" }, ""},
		{"no locale", func(d *template.Draft) { d.Locale = "english" }, "lg"},
		{"no text", func(d *template.Draft) { d.Text = "" }, "template"},
		{"text without a PIN", func(d *template.Draft) { d.Text = "Hello" }, "template"},
		{"sound of an SMS", func(d *template.Draft) { d.Text, d.Sounds = "", sounds }, template.Welcome},
		{"words and sounds", func(d *template.Draft) { d.Channel, d.Sounds = verify.TTS, sounds }, "template"},
		{"a sound is missing", func(d *template.Draft) {
			d.Channel, d.Text, d.Sounds = verify.TTS, "", map[string]string{template.Bye: "https://sounds.example/bye"}
		}, template.Welcome},
		{"call", func(d *template.Draft) { d.Channel = verify.TTS }, ""},
		{"call without a voice", func(d *template.Draft) { d.Channel, d.Locale = verify.TTS, "en-ie" }, "lg"},
		{"three segments", func(d *template.Draft) { d.Text = "${pin}" + strings.Repeat("x", 3*153-10) }, ""},
		{"four segments", func(d *template.Draft) { d.Text = "${pin}" + strings.Repeat("x", 3*153-9) }, "template"},
	} {
		draft := good
		tt.change(&draft)
		_, err := d.Create(t.Context(), draft, t0)
		var param string
		if e, ok := errors.AsType[*template.Error](err); ok {
			param = e.Param
		}
		if param != tt.param || (err == nil) != (tt.param == "") {
			t.Errorf("%s: %v, want an error of %q", tt.name, err, tt.param)
		}
	}
	added, err := d.Store.Templates(t.Context(), "", "")
	if err != nil || len(added) != 6 {
		t.Errorf("%d templates were added (%v), want 6", len(added), err)
	}
}
