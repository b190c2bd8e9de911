package apiv1_test

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/deliver/tts/audio"
	"countersign/internal/server"
	"countersign/internal/servertest"
	"countersign/internal/store"
	"countersign/internal/verify"
)

const credentials = "?api_key=" + server.DemoAccount + "&api_secret=" + server.DemoSecret

// hand submits a template as published: in JSON, with the credentials in the query.
func hand(t *testing.T, s *servertest.Server, query, body string) (code int, answer map[string]any) {
	t.Helper()
	resp, err := http.Post(s.URL()+"/verify/templates"+query, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if kind := resp.Header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("Content-Type is %q", kind)
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// approve activates a template and waits until the server reloads it.
func approve(t *testing.T, s *servertest.Server, account string, channel verify.Channel, version int) store.Template {
	t.Helper()
	list, err := s.Store().Templates(t.Context(), account, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, tmpl := range list {
		if tmpl.Channel == channel && tmpl.Version == version {
			if tmpl, err = s.Store().ApproveTemplate(t.Context(), tmpl.ID, s.Clock.Now()); err != nil {
				t.Fatal(err)
			}
			s.Clock.Advance(time.Second)
			return tmpl
		}
	}
	t.Fatalf("no version %d", version)
	return store.Template{}
}

// TestTemplate checks that a template is accepted, waits for approval, is used after it,
// is replaced by a newer one, and returns after a rollback.
func TestTemplate(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	number := 447700900100
	says := func(want string, params ...string) {
		t.Helper()
		number++
		startOn(t, s, strconv.Itoa(number), append([]string{"lg", "ru-ru", "pin_code", "123456", "pin_expiry", "120"}, params...)...)
		if got := s.WaitMessages(strconv.Itoa(number), 1)[0].Text; got != want {
			t.Errorf("the message is %q, want %q", got, want)
		}
	}
	code, answer := hand(t, s, credentials, `{"action_type":"sms","lg":"ru-ru","type":"unicode","contact_email":"xyz@example.com",
		"template":"Ваш код подтверждения ${pin}"}`)
	if code != http.StatusCreated || answer["account_id"] != server.DemoAccount || answer["action_type"] != "sms" || answer["lg"] != "ru-ru" ||
		answer["version"] != 1.0 || answer["status"] != "PENDING" || answer["type"] != "unicode" || answer["template"] != "Ваш код подтверждения ${pin}" {
		t.Fatalf("%d %v", code, answer)
	}
	number++
	startOn(t, s, strconv.Itoa(number), "lg", "ru-ru")
	if got := s.WaitMessages(strconv.Itoa(number), 1)[0].Text; strings.Contains(got, "подтверждения") {
		t.Errorf("message with a pending template: %q", got)
	}
	approve(t, s, server.DemoAccount, verify.SMS, 1)
	says("Ваш код подтверждения 123456")
	if code, answer := hand(t, s, credentials, `{"action_type":"sms","lg":"RU_ru","template":"${brand}: ${pin}, ${pin_expiry} min"}`); code != 201 || answer["version"] != 2.0 || answer["type"] != "text" {
		t.Fatalf("%d %v", code, answer)
	}
	second := approve(t, s, server.DemoAccount, verify.SMS, 2)
	says("Acme: 123456, 2 min")
	if _, err := s.Store().RollBackTemplate(t.Context(), second.ID, s.Clock.Now()); err != nil {
		t.Fatal(err)
	}
	s.Clock.Advance(time.Second)
	says("Ваш код подтверждения 123456")

	other := newAccount(t, s, verify.Account{Balance: verify.Unit}, "")
	if got := call(t, s, "/verify/json", as(other, form("number", "447700900900", "brand", "Acme", "lg", "ru-ru"))); got["status"] != "0" {
		t.Fatalf("start: %v", got)
	}
	if got := s.WaitMessages("447700900900", 1)[0].Text; strings.Contains(got, "подтверждения") {
		t.Errorf("message of another account: %q", got)
	}
	got := call(t, s, "/verify/psd2/json", form("number", "447700900901", "payee", "Shop", "amount", "9.90"))
	if got["status"] != "0" {
		t.Fatalf("psd2: %v", got)
	}
	if text := s.WaitMessages("447700900901", 1)[0].Text; !strings.Contains(text, "9.90") || !strings.Contains(text, "Shop") {
		t.Errorf("message of a payment: %q", text)
	}
}

// TestTemplateSources checks that an account restricted to certain networks can submit
// templates only from there.
func TestTemplateSources(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for source, want := range map[string]int{"127.0.0.1/32": http.StatusCreated, "192.0.2.0/24": http.StatusUnauthorized} {
		if err := s.Store().UpdateAccount(t.Context(), server.DemoAccount, func(a *verify.Account) error {
			a.Settings.Sources = []string{source}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if code, answer := hand(t, s, credentials, `{"action_type":"sms","lg":"en-us","template":"${pin}"}`); code != want {
			t.Errorf("%s: %d %v, want %d", source, code, answer, want)
		}
	}
}

// TestTemplateOfNoLocale checks that a template serves a language outside the catalog.
func TestTemplateOfNoLocale(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	start := form("number", aNumber, "brand", "Acme", "lg", "en_ie", "pin_code", "123456")
	if got := call(t, s, "/verify/json", start); statusOf(got) != "3 "+textInvalid+"lg" {
		t.Errorf("without a template: %v", got)
	}
	if code, answer := hand(t, s, credentials, `{"action_type":"sms","lg":"en_ie","template":"Your grand code is ${pin}"}`); code != 201 || answer["lg"] != "en-ie" {
		t.Fatalf("%d %v", code, answer)
	}
	approve(t, s, server.DemoAccount, verify.SMS, 1)
	if got := call(t, s, "/verify/json", start); got["status"] != "0" {
		t.Fatalf("with a template: %v", got)
	}
	if got := s.WaitMessages(aNumber, 1)[0].Text; got != "Your grand code is 123456" {
		t.Errorf("the message is %q", got)
	}
}

// TestTemplateAtOnce checks the setting that activates templates without approval.
func TestTemplateAtOnce(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, func(o *server.Options) { o.Config.Templates.Approve = true })
	code, answer := hand(t, s, credentials, `{"action_type":"voice","lg":"ja-jp","template":"あなたの ${brand}コードは ${pin} です。"}`)
	if code != 201 || answer["status"] != "ACTIVE" || answer["type"] != nil {
		t.Fatalf("%d %v", code, answer)
	}
	startOn(t, s, aNumber, "lg", "ja-jp", "workflow_id", "7", "pin_code", "1234")
	if got := s.WaitMessages(aNumber, 1)[0].Text; got != "あなたの Acmeコードは 1, 2, 3, 4 です。" {
		t.Errorf("the words of the call: %q", got)
	}
}

// sounds serves recordings, each a tone of a different pitch.
func sounds(t *testing.T, asked *atomic.Int32) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		name := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/"), ".wav")
		seconds, loud := 0.3, 8000.0
		switch name {
		case "gone":
			http.NotFound(w, r)
			return
		case "text":
			_, _ = io.WriteString(w, "not a sound")
			return
		case "long":
			seconds = 4
		case "silent":
			loud = 0
		case "huge":
			_, _ = w.Write(make([]byte, 2<<20))
			return
		}
		tone := make(audio.Samples, int(seconds*audio.Rate))
		for i := range tone {
			tone[i] = int16(loud * math.Sin(2*math.Pi*float64(300+50*len(name)+20*int(name[len(name)-1]-'0'))*float64(i)/audio.Rate))
		}
		_, _ = w.Write(tone.WAV())
	}))
	t.Cleanup(srv.Close)
	return srv
}

// recorded returns a template with recordings at a URL, some of them elsewhere.
func recorded(base string, change map[string]string) string {
	fields := map[string]string{"action_type": "voice", "lg": "en_ie", "welcome_message": base + "/welcome0.wav", "bye_message": base + "/bye0.wav"}
	for i := range 10 {
		fields["digit_"+strconv.Itoa(i)] = base + "/digit" + strconv.Itoa(i) + ".wav"
	}
	for name, value := range change {
		if fields[name] = value; value == "" {
			delete(fields, name)
		}
	}
	b, _ := json.Marshal(fields)
	return string(b)
}

// reaching lets the server fetch from a test server.
func reaching(t *testing.T, base string) servertest.Option {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return func(o *server.Options) {
		o.Config.Outbound.Networks, o.Config.Outbound.Ports = []string{"127.0.0.1"}, []int{port}
	}
}

// TestTemplateRecorded checks that a call plays the account's recordings, which are
// fetched once, at submission.
func TestTemplateRecorded(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	web := sounds(t, &asked)
	s := servertest.Start(t, reaching(t, web.URL))
	code, answer := hand(t, s, credentials, recorded(web.URL, nil))
	if code != 201 || answer["template"] != nil || len(answer["welcome_message"].(string)) != 36 || len(answer["digit_9"].(string)) != 36 {
		t.Fatalf("%d %v", code, answer)
	}
	tmpl := approve(t, s, server.DemoAccount, verify.TTS, 1)
	web.Close()
	startOn(t, s, aNumber, "lg", "en-ie", "workflow_id", "7", "pin_code", "9071")
	m := s.WaitMessages(aNumber, 1)[0]
	resp, err := http.Get(s.URL() + m.AudioURL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	wav, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	heard, err := audio.ParseWAV(wav)
	if err != nil {
		t.Fatal(err)
	}
	at := -1
	for _, name := range []string{"welcome_message", "digit_9", "digit_0", "digit_7", "digit_1", "bye_message"} {
		sound, err := s.Store().Recording(t.Context(), tmpl.Recordings[name])
		if err != nil {
			t.Fatal(err)
		}
		found := bytes.Index(heard.MuLaw(), sound)
		if found <= at {
			t.Errorf("%s is at %d of the call, after %d", name, found, at)
		}
		at = found
	}
	if n := asked.Load(); n != 12 {
		t.Errorf("%d requests for sounds, want 12", n)
	}
}

// TestTemplateRefused checks that the refusal of an invalid template states the defect.
func TestTemplateRefused(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	web := sounds(t, &asked)
	s := servertest.Start(t, reaching(t, web.URL))
	long := strings.Repeat("a", 500)
	for body, want := range map[string]string{
		`{"lg":"en-us","template":"${pin}"}`:                                                              "2 " + textMissing + "action_type",
		`{"action_type":"sms","template":"${pin}"}`:                                                       "2 " + textMissing + "lg",
		`{"action_type":"fax","lg":"en-us","template":"${pin}"}`:                                          "3 " + textInvalid + "action_type",
		`{"action_type":"sms","lg":"english","template":"${pin}"}`:                                        `lg ("english" is not a locale such as en-us)`,
		`{"action_type":"sms","lg":"en-us"}`:                                                              "template (missing)",
		`{"action_type":"sms","lg":"en-us","template":"${code}"}`:                                         `template (variable "code" is not known here)`,
		`{"action_type":"sms","lg":"en-us","template":"Hello"}`:                                           "template (the PIN is missing)",
		`{"action_type":"sms","lg":"en-us","template":"${pin}` + long + `"}`:                              "segments with the longest brand and PIN, at most 3)",
		`{"action_type":"sms","lg":"en-us","template":"${pin} ж","type":"text"}`:                          `type ('ж' is not in the GSM alphabet: unicode is needed)`,
		`{"action_type":"sms","lg":"en-us","template":"${pin}","type":"ucs2"}`:                            `type ("ucs2" is neither text nor unicode)`,
		`{"action_type":"sms","lg":"en-us","template":"${pin}","contact_email":"x"}`:                      "contact_email (not an e-mail address)",
		`{"action_type":"voice","lg":"en-ie","template":"${pin}"}`:                                        "lg (no voice speaks en-ie",
		`{"action_type":"sms","lg":"en-us","digit_0":"http://example.com/0.wav"}`:                         "digit_0 (an SMS has no sound)",
		recorded(web.URL, map[string]string{"template": "${pin}", "lg": "en-us"}):                         "template (a call has either words or recordings)",
		recorded(web.URL, map[string]string{"digit_7": ""}):                                               "digit_7 (missing",
		recorded(web.URL, map[string]string{"bye_message": ""}):                                           "bye_message (missing",
		recorded(web.URL, map[string]string{"digit_3": web.URL + "/gone"}):                                "digit_3 (answered with HTTP status 404)",
		recorded(web.URL, map[string]string{"digit_3": web.URL + "/text"}):                                "digit_3 (not a WAV file)",
		recorded(web.URL, map[string]string{"digit_3": web.URL + "/long"}):                                "digit_3 (recording of 4s, at most 3s)",
		recorded(web.URL, map[string]string{"digit_3": web.URL + "/silent"}):                              "digit_3 (silent recording)",
		recorded(web.URL, map[string]string{"digit_3": web.URL + "/huge"}):                                "digit_3 (larger than 1048576 bytes)",
		recorded(web.URL, map[string]string{"digit_3": "http://169.254.169.254/latest"}):                  "digit_3 (the address is not permitted, or its name does not resolve)",
		recorded(web.URL, map[string]string{"digit_3": "file:///etc/passwd"}):                             "digit_3 (the address is not permitted, or its name does not resolve: not a URL)",
		recorded(web.URL, map[string]string{"digit_3": "gopher://example.com/"}):                          "digit_3 (the address is not permitted, or its name does not resolve: neither http nor https)",
		recorded(strings.Replace(web.URL, "127.0.0.1", "127.0.0.2", 1), map[string]string{"lg": "en-us"}): "(the address is not permitted, or its name does not resolve)",
		`{"action_type":"sms","lg":"en-us","template":["${pin}"]}`:                                        "3 " + textInvalid + "template",
		`nonsense`: "3 " + textInvalid + "body",
	} {
		code, answer := hand(t, s, credentials, body)
		got, _ := answer["status"].(string)
		text, _ := answer["error_text"].(string)
		if code != http.StatusBadRequest || !strings.Contains(got+" "+text, want) {
			t.Errorf("%s: %d %v, want %q", body, code, answer, want)
		}
	}
	barred := newAccount(t, s, verify.Account{Barred: true}, "")
	for query, want := range map[string]int{
		"":                                  http.StatusUnauthorized,
		"?api_key=demo0001":                 http.StatusUnauthorized,
		"?api_key=demo0001&api_secret=x":    http.StatusUnauthorized,
		"?api_key=nobody00&api_secret=x":    http.StatusUnauthorized,
		"?" + as(barred, form()).Encode():   http.StatusUnauthorized,
		credentials + "&action_type=fax":    http.StatusBadRequest,
		credentials + "&template=different": http.StatusBadRequest,
	} {
		if code, answer := hand(t, s, query, `{"action_type":"sms","lg":"en-us","template":"${pin}"}`); code != want {
			t.Errorf("%s: %d %v, want %d", query, code, answer, want)
		}
	}
	resp, err := http.Get(s.URL() + "/verify/templates" + credentials)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "POST" {
		t.Errorf("GET: %s", resp.Status)
	}
	if list, err := s.Store().Templates(t.Context(), "", ""); err != nil || len(list) != 0 {
		t.Errorf("templates exist: %v (%v)", list, err)
	}
}

// TestAutofill checks that an SMS ends with the autofill line, and stays within one
// segment if possible.
func TestAutofill(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	number := 447700900100
	for _, tt := range []struct {
		fill   verify.Autofill
		params []string
		want   string
	}{
		{verify.Autofill{Domain: "example.com"}, []string{"lg", "en-us"}, "Acme code: 123456. Valid for 5 minutes.\n\n@example.com #123456"},
		{verify.Autofill{AppHash: "FA+9qCX9VSu"}, []string{"lg", "en-us"}, "Acme code: 123456. Valid for 5 minutes.\n\nFA+9qCX9VSu"},
		{verify.Autofill{}, []string{"lg", "en-us"}, "Acme code: 123456. Valid for 5 minutes."},
		// Seventy characters of Unicode cannot hold the sentence and the line.
		{verify.Autofill{Domain: "example.com"}, []string{"lg", "en-us", "brand", "Национальный Банк"}, "Национальный Банк: 123456\n\n@example.com #123456"},
	} {
		if err := s.Store().UpdateAccount(t.Context(), server.DemoAccount, func(a *verify.Account) error {
			a.Settings.Autofill = tt.fill
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		s.Clock.Advance(time.Second)
		number++
		startOn(t, s, strconv.Itoa(number), append([]string{"pin_code", "123456"}, tt.params...)...)
		if got := s.WaitMessages(strconv.Itoa(number), 1)[0].Text; got != tt.want {
			t.Errorf("%+v %q: the message is %q, want %q", tt.fill, tt.params, got, tt.want)
		}
	}
}
