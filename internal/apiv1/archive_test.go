package apiv1_test

import (
	"errors"
	"net/url"
	"regexp"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/servertest"
	"countersign/internal/store"
)

// TestOldVerifications checks responses about finished verifications: they are byte-identical
// except for codes, and after retention also except for number and addresses.
func TestOldVerifications(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	guessed := startOn(t, s, "447700900100", "sender_id", "ACME")
	code := messagesOf(t, s, guessed, 1)[0].PIN()
	call(t, s, "/verify/check/json", form("request_id", guessed, "code", "nope12", "ip_address", "192.0.2.1"))
	s.Clock.Advance(time.Second)
	if got := call(t, s, "/verify/check/json", form("request_id", guessed, "code", code, "ip_address", "2001:db8::1")); got["status"] != "0" {
		t.Fatalf("the check returned %v", got)
	}
	paid := call(t, s, "/verify/psd2/json", form("number", "447700900101", "payee", "Jane Doe", "amount", "9.50"))["request_id"]
	messagesOf(t, s, paid, 1)
	s.Clock.Advance(31 * time.Second)
	if got := control(t, s, paid, "cancel"); got["status"] != "0" {
		t.Fatalf("the cancel returned %v", got)
	}

	before := answers(t, s, guessed, paid)
	s.Clock.Advance(24 * time.Hour)
	later(t, s, func() bool { _, more, err := s.Store().OldestEnded(t.Context()); return !more && err == nil })
	codes := regexp.MustCompile(`("code":"|<code>)\w+`)
	for i := range before {
		before[i] = codes.ReplaceAllString(before[i], "$1")
	}
	wantAnswers(t, "a day later", answers(t, s, guessed, paid), before)

	s.Clock.Advance(89 * 24 * time.Hour)
	later(t, s, func() bool { return search(t, s, guessed)["number"] == "" && search(t, s, paid)["number"] == "" })
	personal := regexp.MustCompile(`("number":"|<number>|"ip_address":"|<ip_address>)[^"<]+`)
	for i := range before {
		before[i] = personal.ReplaceAllString(before[i], "$1")
	}
	wantAnswers(t, "90 days later", answers(t, s, guessed, paid), before)

	s.Clock.Advance((396 - 90 + 31) * 24 * time.Hour) // to the end of the month, on PostgreSQL
	later(t, s, func() bool { return search(t, s, guessed)["status"] == "101" && search(t, s, paid)["status"] == "101" })
	unknown := answers(t, s, unknownID, unknownID)
	gone := answers(t, s, guessed, paid)
	for i := range unknown {
		gone[i] = regexp.MustCompile(guessed+"|"+paid).ReplaceAllString(gone[i], unknownID)
	}
	wantAnswers(t, "13 months later", gone, unknown)
}

// later waits for the retention job, whose next run may be a minute later if it was running when
// the clock was set, or if a row was locked. It confirms the clock, which has jumped by days.
func later(t *testing.T, s *servertest.Server, done func() bool) {
	t.Helper()
	await.Until(t, "done: the retention", func() bool {
		if done() {
			return true
		}
		if err := s.Store().ConfirmRetention(t.Context(), s.Clock.Now()); err != nil && !errors.Is(err, store.ErrNotSuspended) {
			t.Fatal(err)
		}
		s.Clock.Advance(time.Minute)
		return false
	})
}

// answers returns the responses to all requests about two verifications.
func answers(t *testing.T, s *servertest.Server, first, second string) []string {
	t.Helper()
	var bodies []string
	for _, r := range []struct {
		path   string
		params url.Values
	}{
		{"/verify/search/json", form("request_id", first)},
		{"/verify/search/xml", form("request_id", first)},
		{"/verify/search/json", form("request_id", second)},
		{"/verify/search/json", form("request_ids", second, "request_ids", unknownID, "request_ids", first)},
		{"/verify/search/xml", form("request_ids", first, "request_ids", second)},
		{"/verify/check/json", form("request_id", first, "code", "123456")},
		{"/verify/control/json", form("request_id", second, "cmd", "cancel")},
		{"/verify/control/json", form("request_id", first, "cmd", "trigger_next_event")},
	} {
		bodies = append(bodies, send(t, s.URL(), request{path: r.path, params: r.params}).body)
	}
	return bodies
}

func wantAnswers(t *testing.T, when string, got, want []string) {
	t.Helper()
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%s:\n%s\nwant\n%s", when, got[i], want[i])
		}
	}
}
