package apiv1_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"countersign/internal/server"
	"countersign/internal/servertest"
	"countersign/internal/verify"
)

// event is one message of a verification without checks.
type event struct {
	channel string
	after   int  // seconds since the previous event
	renewed bool // with a new PIN
}

// TestWorkflows runs every workflow to its end, with the published waits and with other
// waits (spec §5).
func TestWorkflows(t *testing.T) {
	t.Parallel()
	const sms, tts = "sms", "tts"
	for _, tt := range []struct {
		name   string
		params []string
		events []event
		end    int // seconds since the last event
		text   string
	}{
		{"default", nil, []event{{sms, 0, true}, {tts, 125, false}, {tts, 180, true}}, 300, "Valid for 5 minutes"},
		{"1", []string{"workflow_id", "1"}, []event{{sms, 0, true}, {tts, 125, false}, {tts, 180, true}}, 300, ""},
		{"2", []string{"workflow_id", "2"}, []event{{sms, 0, true}, {sms, 125, false}, {tts, 180, true}}, 300, ""},
		{"3", []string{"workflow_id", "3"}, []event{{tts, 0, true}, {tts, 150, false}}, 150, ""},
		{"4", []string{"workflow_id", "4"}, []event{{sms, 0, true}, {sms, 120, false}}, 180, ""},
		{"5", []string{"workflow_id", "5"}, []event{{sms, 0, true}, {tts, 120, false}}, 180, ""},
		{"6", []string{"workflow_id", "6"}, []event{{sms, 0, true}}, 300, ""},
		{"7", []string{"workflow_id", "7"}, []event{{tts, 0, true}}, 300, ""},
		{"6 for an hour", []string{"workflow_id", "6", "pin_expiry", "3600", "next_event_wait", "60"}, []event{{sms, 0, true}}, 3600, "Valid for 60 minutes"},
		{"7 for a minute", []string{"workflow_id", "7", "pin_expiry", "60"}, []event{{tts, 0, true}}, 60, "valid for the next 1 minute."},

		// Table of the published guide "changing default timings".
		{"360 and 120", []string{"pin_expiry", "360", "next_event_wait", "120"}, []event{{sms, 0, true}, {tts, 120, false}, {tts, 120, false}}, 120, "Valid for 6 minutes"},
		{"240 and 120", []string{"pin_expiry", "240", "next_event_wait", "120"}, []event{{sms, 0, true}, {tts, 120, false}, {tts, 120, true}}, 240, "Valid for 4 minutes"},
		{"120 and 120", []string{"pin_expiry", "120", "next_event_wait", "120"}, []event{{sms, 0, true}, {tts, 120, true}, {tts, 120, true}}, 120, "Valid for 2 minutes"},
		// Not a multiple: pin_expiry becomes next_event_wait.
		{"90 and 120", []string{"pin_expiry", "90", "next_event_wait", "120"}, []event{{sms, 0, true}, {tts, 120, true}, {tts, 120, true}}, 120, "Valid for 2 minutes"},
		{"200 and 120", []string{"pin_expiry", "200", "next_event_wait", "120"}, []event{{sms, 0, true}, {tts, 120, true}, {tts, 120, true}}, 120, "Valid for 2 minutes"},
		// Defaults of the PHP SDK.
		{"300 and 300", []string{"pin_expiry", "300", "next_event_wait", "300"}, []event{{sms, 0, true}, {tts, 300, true}, {tts, 300, true}}, 300, "Valid for 5 minutes"},
		{"only next_event_wait", []string{"workflow_id", "4", "next_event_wait", "900"}, []event{{sms, 0, true}, {sms, 900, true}}, 900, "Valid for 5 minutes"},
		{"only pin_expiry", []string{"workflow_id", "5", "pin_expiry", "600"}, []event{{sms, 0, true}, {tts, 120, false}}, 480, "Valid for 10 minutes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := servertest.Start(t)
			id := startOn(t, s, aNumber, append(tt.params, "lg", "en-us")...)
			pin := ""
			for i, e := range tt.events {
				tick(t, s, id, i, e.after)
				m := messagesOf(t, s, id, i+1)[i]
				if m.Channel != e.channel || !m.SentAt.Equal(s.Clock.Now()) {
					t.Errorf("event %d: %s at %v, want %s at %v", i, m.Channel, m.SentAt, e.channel, s.Clock.Now())
				}
				if renewed := m.PIN() != pin; renewed != e.renewed {
					t.Errorf("event %d: PIN %q after %q", i, m.PIN(), pin)
				}
				pin = m.PIN()
				if !strings.Contains(m.Text, tt.text) && i == 0 {
					t.Errorf("got %q, want %q in it", m.Text, tt.text)
				}
			}
			tick(t, s, id, len(tt.events), tt.end)
			got := search(t, s, id)
			if want := s.Clock.Now().Format(time.DateTime); got["status"] != "EXPIRED" || got["date_finalized"] != want {
				t.Errorf("got %v, want the end at %s", got, want)
			}
			if got := checkCode(t, s, id, pin); got["status"] != "6" {
				t.Errorf("check after the end: %v", got)
			}
			if n := len(s.Messages(aNumber)); n != len(tt.events) {
				t.Errorf("%d messages, want %d", n, len(tt.events))
			}
		})
	}
}

// tick advances the clock to just before a due event, checks that it has not been sent,
// and advances to it.
func tick(t *testing.T, s *servertest.Server, id string, sent, seconds int) {
	t.Helper()
	if seconds == 0 {
		return
	}
	s.Clock.Advance(time.Duration(seconds)*time.Second - time.Millisecond)
	if got := search(t, s, id); got["status"] != "IN PROGRESS" || len(s.Messages(aNumber)) != sent {
		t.Errorf("%d events sent, 1 ms before the end of %d s: %v", sent, seconds, got)
	}
	s.Clock.Advance(time.Millisecond)
}

// TestPINRule checks that a new PIN invalidates the old one and allows three new
// attempts, and that without a valid PIN every code is wrong.
func TestPINRule(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	id := startOn(t, s, aNumber, "workflow_id", "4", "pin_expiry", "60", "next_event_wait", "120", "code_length", "6")
	old := messagesOf(t, s, id, 1)[0].PIN() // valid for 120 s: 60 is not a multiple
	for range 2 {
		if got := checkCode(t, s, id, "abcdef"); got["status"] != "16" {
			t.Fatalf("wrong code: %v", got)
		}
	}
	s.Clock.Advance(120 * time.Second)
	renewed := messagesOf(t, s, id, 2)[1].PIN()
	for i, want := range []string{"16", "16"} {
		if got := checkCode(t, s, id, old); got["status"] != want {
			t.Fatalf("old code, attempt %d: %v", i, got)
		}
	}
	if got := checkCode(t, s, id, renewed); got["status"] != "0" || got["price"] != "0.12050000" {
		t.Errorf("new code: %v", got)
	}
	if got := checkCode(t, s, id, renewed); got["status"] != "6" {
		t.Errorf("the new code again: %v", got)
	}

	other := startOn(t, s, "447700900101", "workflow_id", "4", "pin_expiry", "60")
	dead := messagesOf(t, s, other, 1)[0].PIN()
	s.Clock.Advance(60 * time.Second)
	if got := checkCode(t, s, other, dead); got["status"] != "16" {
		t.Errorf("an expired code: %v", got)
	}
}

// TestCancel checks that cancel works only between 30 seconds and the second event, and
// that it ends the verification and frees the number.
func TestCancel(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	id := startOn(t, s, aNumber)
	messagesOf(t, s, id, 1)
	early := "19 Verification request ['" + id + "'] can't be cancelled within the first 30 seconds."
	late := "19 Verification request  ['" + id + "'] can't be cancelled now. Too many attempts to re-deliver have already been made."
	for _, wait := range []time.Duration{0, 29999 * time.Millisecond} {
		s.Clock.Advance(wait)
		if got := statusOf(control(t, s, id, "cancel")); got != early {
			t.Errorf("got %q, want %q", got, early)
		}
	}
	s.Clock.Advance(95001 * time.Millisecond)
	messagesOf(t, s, id, 2)
	if got := statusOf(control(t, s, strings.ToUpper(id), "cancel")); got != late {
		t.Errorf("got %q, want %q", got, late)
	}

	const number = "447700900101"
	id = startOn(t, s, number)
	messagesOf(t, s, id, 1)
	busy := call(t, s, "/verify/json", form("number", "+44 7700 900101", "brand", "Acme"))
	if statusOf(busy) != "10 "+textConcurrent || busy["request_id"] != id {
		t.Errorf("a second one: %v, want 10 and %s", busy, id)
	}
	trial := newAccount(t, s, verify.Account{Balance: verify.Unit}, "")
	if got := call(t, s, "/verify/json", as(trial, form("number", number, "brand", "Acme"))); got["status"] != "0" {
		t.Errorf("the same number by another account: %v", got)
	}
	s.Clock.Advance(30 * time.Second)
	if got := control(t, s, id, "cancel"); got["status"] != "0" || got["command"] != "cancel" {
		t.Errorf("cancel: %v", got)
	}
	if got := search(t, s, id); got["status"] != "CANCELLED" || got["date_finalized"] != s.Clock.Now().Format(time.DateTime) || got["price"] != "0.12050000" {
		t.Errorf("after cancel: %v", got)
	}
	afterTheEnd(t, s, id)
	again := startOn(t, s, number)
	if again == id {
		t.Error("the id was reused")
	}
}

// afterTheEnd checks that a finished verification refuses all commands.
func afterTheEnd(t *testing.T, s *servertest.Server, id string) {
	t.Helper()
	gone := "6 The requestId '" + id + "' does not exist or its no longer active."
	for _, cmd := range []string{"cancel", "trigger_next_event"} {
		if got := statusOf(control(t, s, id, cmd)); got != gone {
			t.Errorf("%s after the end: got %q, want %q", cmd, got, gone)
		}
	}
	want := "6 " + textUnable + "Request '" + id + "' was not found or it has been verified already."
	if got := statusOf(checkCode(t, s, id, "1234")); got != want {
		t.Errorf("check after the end: got %q, want %q", got, want)
	}
}

// TestTrigger checks that each trigger sends the next event immediately, until none
// remains, with the same PIN while it is valid.
func TestTrigger(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	id := startOn(t, s, aNumber)
	pin := messagesOf(t, s, id, 1)[0].PIN()
	for n := 2; n <= 3; n++ {
		s.Clock.Advance(time.Second)
		if got := control(t, s, id, "trigger_next_event"); got["status"] != "0" || got["command"] != "trigger_next_event" {
			t.Fatalf("trigger: %v", got)
		}
		m := messagesOf(t, s, id, n)[n-1]
		if m.Channel != "tts" || m.PIN() != pin || !m.SentAt.Equal(s.Clock.Now()) {
			t.Errorf("event %d: %+v", n, m)
		}
	}
	want := "19 No more events are left to execute for the request ['" + id + "']"
	if got := statusOf(control(t, s, id, "trigger_next_event")); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := checkCode(t, s, id, pin); got["status"] != "0" {
		t.Errorf("check: %v", got)
	}
	afterTheEnd(t, s, id)
	if got := search(t, s, id); got["status"] != "SUCCESS" || got["last_event_date"] != "2026-01-02 03:04:07" {
		t.Errorf("got %v", got)
	}
}

// TestTerminated checks that the third wrong code ends the verification.
func TestTerminated(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	id := startOn(t, s, aNumber)
	pin := messagesOf(t, s, id, 1)[0].PIN()
	for _, want := range []string{"16 " + textWrongCode, "16 " + textWrongCode, "17 " + textTerminated} {
		if got := statusOf(checkCode(t, s, id, pin+"0")); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	afterTheEnd(t, s, id)
	if got := statusOf(checkCode(t, s, id, pin)); !strings.HasPrefix(got, "6 ") {
		t.Errorf("the right code, after the end: %q", got)
	}
	if got := search(t, s, id); got["status"] != "FAILED" || len(checksOf(t, s, id)) != 3 {
		t.Errorf("got %v", got)
	}
	startOn(t, s, aNumber) // the number is free again
}

// TestOtherAccount checks that an account cannot access the verifications of another.
func TestOtherAccount(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	id := startOn(t, s, aNumber, "pin_code", "1234")
	other := func(path string, pairs ...string) string {
		return call(t, s, path, as(server.TrialAccount, form(append(pairs, "request_id", id)...)))["status"]
	}
	for path, want := range map[string]string{"search": "101", "check": "6", "control": "6"} {
		if got := other("/verify/"+path+"/json", "code", "1234", "cmd", "cancel"); got != want {
			t.Errorf("%s by another account: %s, want %s", path, got, want)
		}
	}
	if n := len(checksOf(t, s, id)); n != 0 {
		t.Errorf("%d attempts were counted", n)
	}
}

// TestWords checks that lg selects the locale, otherwise the number's country.
func TestWords(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	last := 100
	for _, tt := range []struct {
		number, lg string
		payment    bool
		want       string // part of the SMS
	}{
		{"4477009001", "", false, "Acme code: "},
		{"4477009001", "fr-fr", false, "Votre code Acme : "},
		{"4477009001", "de-de", false, "Ihr Code für Acme: "},
		{"4477009001", "es-es", false, " es su clave de un solo uso"},
		{"4477009001", "ko-kr", false, "[Acme] 인증번호는 "},
		{"4477009001", "ja-jp", false, "【Acme】認証コード："},
		{"336123456", "", false, "Votre code Acme : "},
		{"49151234567", "", false, "Ihr Code für Acme: "},
		{"346123456", "", false, " es su clave de un solo uso"},
		{"8210123456", "", false, "[Acme] 인증번호는 "},
		{"336123456", "en-us", false, "Acme code: "},
		{"4477009001", "", true, "your payment of €1,048.50 to Söhne & Co. "},
		{"336123456", "", true, "votre paiement de 1 048,50 € à Söhne & Co. "},
		{"49151234567", "", true, "Ihre Zahlung von 1.048,50 € an Söhne & Co. "},
		{"346123456", "", true, "su pago de 1048,50 € a Söhne & Co. "},
		{"8210123456", "", true, "your payment of €1,048.50 to Söhne & Co. "}, // psd2 does not have ko-kr
		{"4477009001", "sv-se", true, "din betalning på 1 048,50 € till Söhne & Co. "},
	} {
		last++
		number := tt.number + strconv.Itoa(last)[1:]
		path, params := "/verify/json", form("number", number, "brand", "Acme", "lg", tt.lg)
		if tt.payment {
			path, params = "/verify/psd2/json", form("number", number, "payee", "Söhne & Co", "amount", "1048.5", "lg", tt.lg)
		}
		if got := call(t, s, path, params); got["status"] != "0" {
			t.Errorf("%s %s: %v", number, tt.lg, got)
			continue
		}
		if m := s.WaitMessages(number, 1)[0]; !strings.Contains(m.Text, tt.want) {
			t.Errorf("%s %s: got %q, want %q in it", number, tt.lg, m.Text, tt.want)
		}
	}
}

// TestPaymentCall checks that the call names payee and amount.
func TestPaymentCall(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	call(t, s, "/verify/psd2/json", form("number", aNumber, "payee", "Acme", "amount", "48", "workflow_id", "7"))
	m := s.WaitMessages(aNumber, 1)[0]
	if m.Channel != "tts" || !strings.Contains(m.Text, "your payment of 48 euros to Acme") || m.PIN() == "" {
		t.Errorf("got %+v", m)
	}
}

// TestPrices checks that each verification is charged the price of its country once, for
// every outcome.
func TestPrices(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, func(o *server.Options) { o.Config.Fraud.Voice.AllowPrefixes = []string{"88216"} })
	cost := map[string]verify.Money{}
	for number, price := range map[string]string{
		"447700900100": "0.12050000", "12025550123": "0.03610000", "919876543210": "0.03610000",
		"33612345678": "0.12050000", "14165550123": "0.03610000", "882161234567": "0.12050000",
	} {
		before, _, err := s.Store().LedgerSum(t.Context(), server.DemoAccount)
		if err != nil {
			t.Fatal(err)
		}
		id := startOn(t, s, number, "pin_code", "1234")
		after, _, err := s.Store().LedgerSum(t.Context(), server.DemoAccount)
		if err != nil {
			t.Fatal(err)
		}
		cost[number] = before - after
		shown := search(t, s, id)
		checked := checkCode(t, s, id, "1234")
		for name, got := range map[string]string{
			"charged": cost[number].String(), "search": shown["price"], "check": checked["price"],
		} {
			if got != price {
				t.Errorf("%s: %s shows %s, want %s", number, name, got, price)
			}
		}
		if shown["currency"] != "USD" || checked["currency"] != "USD" {
			t.Errorf("%s: currency %s and %s", number, shown["currency"], checked["currency"])
		}
	}
}

// TestCredit checks the balance to the last unit.
func TestCredit(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	key := newAccount(t, s, verify.Account{Balance: 3610000 + 12050000 - 1}, "")
	for _, tt := range []struct{ number, want string }{
		{"12025550123", ""},
		{aNumber, "9 " + textNoCredit},
		{"12025550124", ""},
		{"12025550125", ""},
		{"12025550126", ""},
		{"12025550127", "9 " + textNoCredit},
	} {
		got := statusOf(call(t, s, "/verify/json", as(key, form("number", tt.number, "brand", "Acme"))))
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.number, got, tt.want)
		}
	}
	sum, charges, err := s.Store().LedgerSum(t.Context(), key)
	if err != nil || charges != 4 || sum.String() != "0.01219999" {
		t.Errorf("%s remain after %d charges (%v)", sum, charges, err)
	}
	if n := len(s.Messages("12025550127")); n != 0 {
		t.Errorf("%d messages without credit", n)
	}
}

// TestRefusedSMS checks that after a refused SMS the call follows on schedule.
func TestRefusedSMS(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	id := startOn(t, s, server.RefusedNumber)
	waitSettled(t, s, id, 1)
	if n := len(s.Messages(server.RefusedNumber)); n != 0 {
		t.Fatalf("%d messages arrived", n)
	}
	s.Clock.Advance(125 * time.Second)
	waitSettled(t, s, id, 2)
	m := s.WaitMessages(server.RefusedNumber, 1)[0]
	if got := checkCode(t, s, id, m.PIN()); m.Channel != "tts" || got["status"] != "0" {
		t.Errorf("%+v: %v", m, got)
	}
}
