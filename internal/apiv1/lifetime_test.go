package apiv1_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"countersign/internal/server"
	"countersign/internal/servertest"
	"countersign/internal/verify"
)

// stated is one message of a workflow, with the lifetime in its text.
type stated struct {
	after   time.Duration // time since the previous message
	trigger bool          // the message is triggered; otherwise its step becomes due
	renewed bool          // the PIN differs from the previous one
	text    string
}

const s1 = time.Second

// TestStatedLifetime checks that each message states the remaining lifetime of its PIN in
// whole minutes, and that an event with less than a minute left has a new PIN.
func TestStatedLifetime(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		path   string // "" for /verify/json
		params string // name=value, separated by "&"
		speed  int
		want   []stated
	}{
		{"360/120", "", "workflow_id=2&pin_expiry=360&next_event_wait=120&lg=en-gb", 0, []stated{
			{0, false, true, "Valid for 6 minutes."}, {120 * s1, false, false, "Valid for 4 minutes."}, {120 * s1, false, false, "valid the next 2 minutes."},
		}},
		{"default workflow 2", "", "workflow_id=2&lg=en-us", 0, []stated{
			{0, false, true, "Valid for 5 minutes."}, {125 * s1, false, false, "Valid for 2 minutes."}, {180 * s1, false, true, "valid for the next 5 minutes."},
		}},
		{"default workflow 1 in French", "", "lg=fr-fr", 0, []stated{
			{0, false, true, "Valable 5 minutes."}, {125 * s1, false, false, "Il est valable 2 minutes."}, {180 * s1, false, true, "Il est valable 5 minutes."},
		}},
		{"default workflow 4 in Russian", "", "workflow_id=4&lg=ru-ru", 0, []stated{
			{0, false, true, "5 минут"}, {120 * s1, false, false, "3 минуты"},
		}},
		{"a minute left", "", "workflow_id=4&pin_expiry=120&next_event_wait=60&lg=en-gb", 0, []stated{
			{0, false, true, "Valid for 2 minutes."}, {60 * s1, false, false, "Valid for 1 minute."},
		}},
		{"120/120", "", "workflow_id=2&pin_expiry=120&next_event_wait=120&lg=en-gb", 0, []stated{
			{0, false, true, "Valid for 2 minutes."}, {120 * s1, false, true, "Valid for 2 minutes."}, {120 * s1, false, true, "valid the next 2 minutes."},
		}},
		{"less than a minute left by the plan", "", "workflow_id=4&pin_expiry=179&lg=en-gb", 0, []stated{
			{0, false, true, "Valid for 2 minutes."}, {120 * s1, false, true, "Valid for 2 minutes."},
		}},
		{"triggered at second 55 of 60", "", "workflow_id=4&pin_expiry=60&lg=en-gb", 0, []stated{
			{0, false, true, "Valid for 1 minute."}, {55 * s1, true, true, "Valid for 1 minute."},
		}},
		{"triggered with a minute left", "", "workflow_id=4&pin_expiry=300&lg=en-gb", 0, []stated{
			{0, false, true, "Valid for 5 minutes."}, {119 * s1, true, false, "Valid for 3 minutes."},
		}},
		{"triggered a moment later", "", "workflow_id=4&pin_expiry=120&lg=en-gb", 0, []stated{
			{0, false, true, "Valid for 2 minutes."}, {60*s1 + time.Millisecond, true, true, "Valid for 2 minutes."},
		}},
		{"triggered twice", "", "workflow_id=2&pin_expiry=3600&lg=en-gb", 0, []stated{
			{0, false, true, "Valid for 60 minutes."}, {time.Millisecond, true, false, "Valid for 59 minutes."}, {59*s1 + 999*time.Millisecond, true, false, "valid the next 59 minutes."},
		}},
		{"chosen by the application", "", "workflow_id=2&pin_expiry=120&pin_code=4711&lg=en-gb", 0, []stated{
			{0, false, true, "Valid for 2 minutes."}, {115 * s1, true, false, "Valid for 1 minute."}, {10 * s1, true, false, "valid the next 2 minutes."},
		}},
		{"payment", "/verify/psd2/json", "workflow_id=5&payee=Acme&amount=48&lg=en-gb", 0, []stated{
			{0, false, true, "Valid for 5 minutes."}, {120 * s1, false, false, "valid for the next 3 minutes."},
		}},
		{"60 times faster", "", "workflow_id=2&pin_expiry=360&next_event_wait=120&lg=en-gb", 60, []stated{
			{0, false, true, "Valid for 6 minutes."}, {2 * s1, false, false, "Valid for 4 minutes."}, {2 * s1, false, false, "valid the next 2 minutes."},
		}},
		{"7 times faster", "", "workflow_id=2&pin_expiry=360&next_event_wait=120&lg=en-gb", 7, []stated{ // not whole seconds: 51.428 s and 17.142 s
			{0, false, true, "Valid for 6 minutes."}, {17142 * time.Millisecond, false, false, "Valid for 4 minutes."}, {17142 * time.Millisecond, false, false, "valid the next 2 minutes."},
		}},
		{"triggered 10 times faster", "", "workflow_id=4&pin_expiry=60&lg=en-gb", 10, []stated{
			{0, false, true, "Valid for 1 minute."}, {5500 * time.Millisecond, true, true, "Valid for 1 minute."},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := servertest.Start(t, func(o *server.Options) { o.Speed = tt.speed })
			params := form("number", aNumber)
			for pair := range strings.SplitSeq(tt.params, "&") {
				name, value, _ := strings.Cut(pair, "=")
				params.Set(name, value)
			}
			path := tt.path
			if path == "" {
				path = "/verify/json"
				params.Set("brand", "Acme")
			}
			got := call(t, s, path, params)
			if got["status"] != "0" {
				t.Fatalf("start: %v", got)
			}
			checkStated(t, s, got["request_id"], tt.want)
		})
	}
}

func checkStated(t *testing.T, s *servertest.Server, id string, want []stated) {
	t.Helper()
	pin := ""
	for i, w := range want {
		s.Clock.Advance(w.after)
		if w.trigger {
			if got := control(t, s, id, "trigger_next_event"); got["status"] != "0" {
				t.Fatalf("trigger: %v", got)
			}
		}
		m := messagesOf(t, s, id, i+1)[i]
		if !strings.Contains(m.Text, w.text) {
			t.Errorf("message %d: got %q, want it to state %q", i, m.Text, w.text)
		}
		if renewed := m.PIN() != pin; renewed != w.renewed {
			t.Errorf("message %d: PIN %s after %q, want a new one: %v", i, m.PIN(), pin, w.renewed)
		}
		pin = m.PIN()
	}
	if got := checkCode(t, s, id, pin); got["status"] != "0" {
		t.Errorf("the code of the last message: %v", got)
	}
}

// TestStatedLifetimeOfTemplates checks the lifetime in an account's own texts, in minutes
// and in seconds.
func TestStatedLifetimeOfTemplates(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, body := range []string{
		`{"action_type":"sms","lg":"en-gb","template":"${brand}: ${pin}, for ${pin_expiry} minutes (${pin_expiry} seconds)"}`,
		`{"action_type":"voice","lg":"en-gb","template":"Your code is ${pin}. It is good for ${pin_expiry} minutes."}`,
	} {
		if code, answer := hand(t, s, credentials, body); code != http.StatusCreated {
			t.Fatalf("%d %v", code, answer)
		}
	}
	approve(t, s, server.DemoAccount, verify.SMS, 1)
	approve(t, s, server.DemoAccount, verify.TTS, 1)
	id := startOn(t, s, aNumber, "workflow_id", "2", "pin_expiry", "360", "next_event_wait", "120", "lg", "en-gb")
	checkStated(t, s, id, []stated{
		{0, false, true, "for 6 minutes (360 seconds)"}, {120 * s1, false, false, "for 4 minutes (240 seconds)"},
		{120 * s1, false, false, "good for 2 minutes."},
	})
}
