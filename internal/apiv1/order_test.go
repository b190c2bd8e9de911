package apiv1_test

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/apiv1"
	"countersign/internal/config"
	"countersign/internal/server"
	"countersign/internal/servertest"
	"countersign/internal/store"
	"countersign/internal/verify"
	"countersign/internal/web"
)

// wrongs is a request with several defects, and the state that causes them.
type wrongs struct {
	request
	format     string
	account    verify.Account
	unapproved bool // trial account without approval for the number
	throttled  bool
	blocked    bool
	running    bool // a verification of the number is in progress
	template   bool // the account's own SMS in en-gb completes a link with the brand
	ended      bool // the verification in the request has ended
	network    byte // third last digit of the number: '1' plus a bit each for 15 and 6
}

// wrong is one defect of a request.
type wrong struct {
	name string
	do   func(*wrongs)
	want string // HTTP code, status and text
	part string // defective part; two defects of one part exclude each other
}

func refusal(status, text string) string { return "200 " + status + " " + text }

func missing(name string) wrong {
	return wrong{
		"missing " + name, func(w *wrongs) { w.params.Del(name) },
		refusal("2", textMissing+name), name,
	}
}

func invalid(name, value string) wrong {
	return wrong{
		"invalid " + name, func(w *wrongs) { w.params.Set(name, value) },
		refusal("3", textInvalid+name), name,
	}
}

// forbidden returns a value of a parameter that the account's settings exclude.
func forbidden(name, value string, limit func(*verify.Settings)) wrong {
	return wrong{
		"forbidden " + name, func(w *wrongs) {
			w.params.Set(name, value)
			limit(&w.account.Settings)
		}, refusal("3", textInvalid+name), name,
	}
}

// formWrongs returns the defects common to all endpoints, in the order of detection.
func formWrongs() []wrong {
	return []wrong{
		{"format", func(w *wrongs) { w.format = "yaml" }, "404 3 Facility not allowed", ""},
		{"method", func(w *wrongs) { w.method = http.MethodPut }, "405 3 Method not allowed: PUT", ""},
		{"query", func(w *wrongs) { w.query = "a=%zz" }, refusal("3", textInvalid+"query"), "query"},
		{"too large", func(w *wrongs) {
			w.body, w.contentType = strings.Repeat("x", 1<<17), "application/json"
		}, "413 3 Request body too large", "body"},
		{"body", func(w *wrongs) {
			w.body, w.contentType = "{", "application/json"
		}, refusal("3", textInvalid+"body"), "body"},
		{"repeated", func(w *wrongs) { w.params.Add("lg", "en-us"); w.params.Add("lg", "en-gb") }, refusal("3", textInvalid+"lg"), "lg"},
		{"missing api_key", func(w *wrongs) { w.params.Del("api_key") }, refusal("2", "Missing api_key"), ""},
		{"missing api_secret", func(w *wrongs) { w.params.Del("api_secret") }, refusal("2", "Missing api_secret"), ""},
		{"credentials", func(w *wrongs) { // refused below with the text of the endpoint
			if w.params.Has("api_secret") {
				w.params.Set("api_secret", "wrong")
			}
		}, "200 4 credentials", ""},
		{"throttled", func(w *wrongs) { w.throttled = true }, refusal("1", textThrottled), ""},
	}
}

// startWrongs returns the later defects of start and psd2; own are the checks of parameters.
func startWrongs(own ...wrong) []wrong {
	all := append(formWrongs(), wrong{"barred", func(w *wrongs) { w.account.Barred = true }, refusal("8", textBarred), ""})
	all = append(all, own...)
	return append(all,
		wrong{"not approved", func(w *wrongs) { w.unapproved = true }, refusal("29", textTrial), ""},
		wrong{"blocked", func(w *wrongs) { w.blocked = true }, refusal("7", textBlocked), ""},
		wrong{"other country", func(w *wrongs) { w.account.Settings.Countries = []string{"FR"} }, refusal("15", textUnsupported), ""},
		wrong{"unsupported", func(w *wrongs) { w.network |= 1 }, refusal("15", textUnsupported), "network"},
		wrong{"unroutable", func(w *wrongs) { w.network |= 2 }, refusal("6", textUnable+"The request could not be routed."), ""},
		wrong{"running", func(w *wrongs) { w.running = true }, refusal("10", textConcurrent), "network"},
		wrong{"no credit", func(w *wrongs) { w.account.Balance = 0 }, refusal("9", textNoCredit), ""},
	)
}

// orders returns the documented order of checks of each endpoint.
func orders() map[string][]wrong {
	timing := []wrong{
		invalid("code_length", "5"),
		forbidden("code_length", "4", func(s *verify.Settings) { s.MinCodeLength = 6 }),
		invalid("lg", "xx-xx"), invalid("pin_expiry", "59"), invalid("next_event_wait", "901"), invalid("workflow_id", "8"),
		forbidden("workflow_id", "1", func(s *verify.Settings) { s.Workflows = []int{4} }),
		forbidden("pin_expiry", "601", func(s *verify.Settings) { s.Strict = true }),
		invalid("require_type", "Fax"),
		{"other require_type", func(w *wrongs) { w.params.Set("require_type", "Landline") }, refusal("15", textUnsupported), "require_type"},
	}
	start := []wrong{missing("number"), missing("brand"), invalid("number", "x"), invalid("country", "XX"), invalid("brand", "\u200b"), invalid("brand", "Acme.com"), invalid("sender_id", "<"),
		forbidden("sender_id", "Other", func(s *verify.Settings) { s.Senders = []string{"Acme"} })}
	start = append(start, timing...)
	start = append(start,
		wrong{"no pin_code", func(w *wrongs) {
			w.account.CustomPIN = false
			if !w.params.Has("pin_code") {
				w.params.Set("pin_code", "1234")
			}
		}, refusal("20", textNoPINCode), ""},
		invalid("pin_code", "123"),
		forbidden("pin_code", "12345", func(s *verify.Settings) { s.MinCodeLength = 6 }),
		wrong{"words of the template", func(w *wrongs) {
			if w.params.Get("brand") == "Acme" {
				w.params.Set("brand", "Booking.com")
			}
			w.account.Settings.LinkBrands, w.template = []string{"Booking.com"}, true
		}, refusal("3", textInvalid+"brand"), ""},
	)
	psd2 := []wrong{missing("number"), missing("payee"), missing("amount"), invalid("number", "x"), invalid("country", "XX"), invalid("payee", "\u200b"), invalid("payee", "Acme.com"), invalid("amount", "-1")}
	psd2 = append(psd2, timing...)

	return map[string][]wrong{
		"":     startWrongs(start...),
		"psd2": startWrongs(psd2...),
		"check": append(formWrongs(),
			missing("request_id"), missing("code"), invalid("request_id", strings.Repeat("0", 33)), invalid("code", "123"),
			wrong{"over", func(w *wrongs) { w.ended = true }, refusal("6", textUnable+"Request 'ID' was not found or it has been verified already."), ""},
			wrong{"wrong code", func(w *wrongs) {
				if w.params.Get("code") == "1234" {
					w.params.Set("code", "4321")
				}
			}, refusal("16", textWrongCode), "code"},
		),
		"control": append(formWrongs(),
			wrong{"barred", func(w *wrongs) { w.account.Barred = true }, refusal("8", textBarred), "cmd"},
			missing("request_id"), missing("cmd"), invalid("request_id", strings.Repeat("0", 33)), invalid("cmd", "stop"),
			wrong{"over", func(w *wrongs) { w.ended = true }, refusal("6", "The requestId 'ID' does not exist or its no longer active."), ""},
		),
		"search": append(formWrongs(),
			missing("request_id"),
			wrong{"too many", func(w *wrongs) {
				for range 11 * btoi(w.params.Has("request_id")) { // one of the two is required
					w.params.Add("request_ids", unknownID)
				}
			}, refusal("18", textTooManyIDs), ""},
			invalid("request_id", strings.Repeat("0", 33)),
			wrong{"unknown", func(w *wrongs) {
				if len(w.params.Get("request_id")) == 32 {
					w.params.Set("request_id", unknownID)
				}
			}, refusal("101", textNoResponse), ""},
		),
	}
}

// withNetworks makes numbers with third last digit 5 unsupported, with 6 unroutable, and
// with 7 both; calls reach all.
func withNetworks(o *server.Options) {
	o.Config.Networks.Unsupported = append(o.Config.Networks.Unsupported, "4477009005", "4477009007")
	o.Config.Routes = append(o.Config.Routes,
		config.Route{Prefix: "4477009006", Channel: verify.SMS}, config.Route{Prefix: "4477009007", Channel: verify.SMS})
}

// TestOrder makes each request with every pair of defects: the response is for the first
// defect in the order.
func TestOrder(t *testing.T) {
	t.Parallel()
	for endpoint, list := range orders() {
		t.Run(cmp.Or(endpoint, "start"), func(t *testing.T) {
			t.Parallel()
			s := servertest.Start(t, withNetworks)
			for i, first := range list {
				if got, want := ask(t, s, endpoint, first), first.wanted(endpoint); got != want {
					t.Errorf("%s: got %s, want %s", first.name, got, want)
				}
				for _, second := range list[i+1:] {
					if first.part != "" && first.part == second.part {
						continue
					}
					if got, want := ask(t, s, endpoint, first, second), first.wanted(endpoint); got != want {
						t.Errorf("%s and %s: got %s, want %s", first.name, second.name, got, want)
					}
				}
			}
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (w wrong) wanted(endpoint string) string {
	if w.name != "credentials" {
		return w.want
	}
	if endpoint == "" || endpoint == "psd2" {
		return refusal("4", "Invalid credentials were provided")
	}
	return refusal("4", "Bad credentials")
}

// ask makes a request with the given defects, for a new account.
func ask(t *testing.T, s *servertest.Server, endpoint string, list ...wrong) string {
	t.Helper()
	w := &wrongs{format: "json", network: '4', account: verify.Account{CustomPIN: true, Balance: verify.Unit}}
	w.params = url.Values{"api_key": {""}, "api_secret": {server.DemoSecret}}
	switch endpoint {
	case "":
		w.params.Set("brand", "Acme")
	case "psd2":
		w.params.Set("payee", "Acme")
		w.params.Set("amount", "48")
	case "check":
		w.params.Set("code", "1234")
	case "control":
		w.params.Set("cmd", "trigger_next_event")
	}
	asksOf := endpoint == "check" || endpoint == "control" || endpoint == "search"
	if asksOf {
		w.params.Set("request_id", strings.Repeat("f", 32))
	} else {
		w.params.Set("number", "?")
	}
	for _, one := range list {
		one.do(w)
	}
	id := w.prepare(t, s, asksOf)
	w.path = "/verify/" + strings.TrimPrefix(endpoint+"/"+w.format, "/")
	w.anonymous = true
	a := send(t, s.URL(), w.request)
	fields := a.fields(t)
	return strings.ReplaceAll(fmt.Sprintf("%d %s %s", a.code, fields["status"], published(fields["error_text"])), "'"+id+"'", "'ID'")
}

// prepare creates the account and the state for the request. It returns the id of the
// verification in the request.
func (w *wrongs) prepare(t *testing.T, s *servertest.Server, asksOf bool) (id string) {
	t.Helper()
	number := "447700900" + string(w.network) + "00"
	account := w.account // settings at the request; before, all is allowed
	account.Key = store.NewAPIKey()
	now := s.Clock.Now()
	err := s.Store().CreateAccount(t.Context(), store.NewAccount{
		Account: verify.Account{
			Key: account.Key, CustomPIN: account.CustomPIN, Rate: 1 - btoi(!w.throttled), Trial: w.unapproved, Barred: account.Barred,
			Settings: account.Settings,
		}, Secret: server.DemoSecret,
	}, now)
	if err == nil && account.Balance > 0 {
		err = s.Store().Credit(t.Context(), account.Key, account.Balance, now)
	}
	if err != nil {
		t.Fatal(err)
	}
	if w.template {
		tmpl := store.Template{ID: verify.NewID(rand.Reader), Account: account.Key, Channel: verify.SMS, Locale: "en-gb", Text: "${pin} evil-${brand}", Encoding: "text", CreatedAt: now}
		if _, err := s.Store().AddTemplate(t.Context(), tmpl, nil, true); err != nil {
			t.Fatal(err)
		}
		s.Clock.Advance(time.Second) // let the cache expire
	}
	if asksOf || w.running {
		id = w.startAs(t, s, account.Key, number)
		if w.params.Get("request_id") == strings.Repeat("f", 32) {
			w.params.Set("request_id", id)
		}
	}
	if w.params.Get("number") == "?" {
		w.params.Set("number", number)
	}
	if w.params.Has("api_key") {
		w.params.Set("api_key", account.Key)
	}
	if w.throttled {
		call(t, s, "/verify/search/json", as(account.Key, form("request_id", unknownID)))
	}
	if w.blocked {
		if err := s.Store().BlockNumber(t.Context(), store.BlockedNumber{Number: number}); err != nil {
			t.Fatal(err)
		}
	} else if _, err := s.Store().UnblockNumber(t.Context(), number); err != nil {
		t.Fatal(err)
	}
	return id
}

// startAs inserts a verification of the account as start would, without checks of the account.
func (w *wrongs) startAs(t *testing.T, s *servertest.Server, account, number string) string {
	t.Helper()
	pin, _ := verify.ParsePIN("1234")
	now := s.Clock.Now().Truncate(time.Millisecond)
	begun, _, err := verify.Begin(verify.Beginning{Request: verify.Request{
		Account: account, To: verify.PhoneAddress(number, "GB"), Brand: "Acme", Locale: "en-gb", CodeLength: 4, ChosenPIN: pin,
		Workflow: verify.Workflow{
			Steps:   []verify.Step{{Channel: verify.SMS, Wait: time.Minute}, {Channel: verify.TTS, Wait: time.Minute}},
			PINLife: 5 * time.Minute, PINPolicy: verify.ReusePIN,
		},
	}, Payer: account, History: verify.Uncapped{}, Node: "node"}, now, rand.Reader)
	must(t, err)
	v := begun.Verification
	changes := []verify.Change{begun, v.Outcome(verify.Outcome{Attempt: 1, Token: v.Lease.Token, State: verify.EventAccepted}, verify.OnFailure{}, now)}
	if w.ended {
		ended, err := changes[1].Verification.Check(pin, "", verify.Uncapped{}, now)
		must(t, err)
		changes = append(changes, ended)
	}
	must(t, s.Store().Write(t.Context(), store.Scope{}, func(tx *store.Tx) error {
		for _, c := range changes {
			if err := tx.Save(c); err != nil {
				return err
			}
		}
		return nil
	}))
	return v.ID.Hex()
}

// TestOrderWhileStopping checks that a stopping server refuses valid requests with 503,
// but not invalid paths and methods.
func TestOrderWhileStopping(t *testing.T) {
	t.Parallel()
	drain := web.NewDrain()
	drain.Begin()
	mux := http.NewServeMux()
	apiv1.Register(mux, apiv1.Config{
		Drain: drain, Clock: clockwork.NewRealClock(), Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Metrics: prometheus.NewRegistry(), BodyBytes: 10,
	})
	for _, tt := range []struct {
		method, target, body string
		code                 int
		want                 string
	}{
		{"POST", "/verify/yaml", "", 404, `{"status":"3","error_text":"Facility not allowed"}`},
		{"PUT", "/verify/json", "", 405, `{"status":"3","error_text":"Method not allowed: PUT"}`},
		{"POST", "/verify/json?a=%zz", strings.Repeat("x", 11), 503, `{"status":"5","error_text":"Service Unavailable"}`},
		{"GET", "/verify/check/xml", "", 503, `<?xml version="1.0" encoding="UTF-8"?><response><status>5</status><error_text>Service Unavailable</error_text></response>`},
	} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(tt.method, tt.target, strings.NewReader(tt.body)))
		if w.Code != tt.code || w.Body.String() != tt.want {
			t.Errorf("%s %s: %d %s, want %d %s", tt.method, tt.target, w.Code, w.Body, tt.code, tt.want)
		}
		if retry := w.Header().Get("Retry-After"); (retry == "1") != (tt.code == 503) {
			t.Errorf("%s %s: Retry-After %q", tt.method, tt.target, retry)
		}
	}
}
