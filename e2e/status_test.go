package e2e

import (
	"context"
	"database/sql"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// statusRow is one way to reach a status code of the v1 API as an application or an operator.
type statusRow struct {
	status string
	how    string
	text   string // text that clients match; ID stands for the request id
	ask    func(t *testing.T, s *server) (got fields, id string)
}

const (
	noSuchID   = "00000000000000000000000000000000"
	unableText = "The Nexmo platform was unable to process this message for the following reason: "
)

// statusRows returns rows for all status codes except 1 and 5, which need separate servers: see
// TestThrottle and TestUnwritable.
func statusRows() []statusRow {
	return slices.Concat(formRows(), accountRows(), numberRows(), codeRows(), commandRows(), searchRows())
}

// asking returns a row that needs only one call.
func asking(status, how, text, path string, pairs ...string) statusRow {
	return statusRow{status, how, text, func(t *testing.T, s *server) (fields, string) {
		return s.ask(t, path, pairs...), ""
	}}
}

// following returns a row that needs a verification in progress. pairs follow its request_id.
func following(status, how, text, path string, before func(t *testing.T, s *server, id, pin string), pairs ...string) statusRow {
	return statusRow{status, how, text, func(t *testing.T, s *server) (fields, string) {
		id, sms := s.under(t)
		pin := sms.pin(t)
		if before != nil {
			before(t, s, id, pin)
		}
		params := append([]string{"request_id", id}, pairs...)
		for i, p := range params {
			params[i] = strings.NewReplacer("PIN", pin, "WRONG", wrong(pin)).Replace(p)
		}
		return s.ask(t, path, params...), id
	}}
}

func formRows() []statusRow {
	return []statusRow{
		asking("0", "start", "", "/verify/json", "number", "447700900000", "brand", "Acme"),
		asking("0", "start, in XML", "", "/verify/xml", "number", "447700900002", "brand", "Acme"),
		asking("0", "payment", "", "/verify/psd2/json", "number", "447700900003", "payee", "Acme", "amount", "48.00"),
		asking("2", "no api_key", "Missing api_key", "/verify/json", "api_key", "", "api_secret", ""),
		asking("2", "no api_secret", "Missing api_secret", "/verify/check/json", "api_secret", ""),
		asking("2", "start without number", "Your request is incomplete and missing the mandatory parameter: number", "/verify/json", "brand", "Acme"),
		asking("2", "start without brand, in XML", "Your request is incomplete and missing the mandatory parameter: brand", "/verify/xml", "number", "447700900000"),
		asking("2", "payment without amount", "Your request is incomplete and missing the mandatory parameter: amount", "/verify/psd2/json", "number", "447700900000", "payee", "Acme"),
		asking("2", "check without code", "Your request is incomplete and missing the mandatory parameter: code", "/verify/check/json", "request_id", noSuchID),
		asking("2", "control without cmd", "Your request is incomplete and missing the mandatory parameter: cmd", "/verify/control/json", "request_id", noSuchID),
		asking("2", "search for nothing", "Your request is incomplete and missing the mandatory parameter: request_id", "/verify/search/json"),
		asking("3", "start with half a number", "Invalid value for param: number (too short for GB)", "/verify/json", "number", "4477", "brand", "Acme"),
		asking("3", "start in an unknown language, in XML", "Invalid value for param: lg (no such locale: tlh-tlh)", "/verify/xml", "number", "447700900000", "brand", "Acme", "lg", "tlh-tlh"),
		asking("3", "check with a malformed code", "Invalid value for param: code (must be 4 to 10 letters and digits)", "/verify/check/json", "request_id", noSuchID, "code", "12"),
		asking("3", "control with an unknown command", "Invalid value for param: cmd (must be cancel or trigger_next_event)", "/verify/control/json", "request_id", noSuchID, "cmd", "stop"),
		asking("3", "search for an id that is too long", "Invalid value for param: request_id (more than 32 characters)", "/verify/search/json", "request_id", noSuchID+"0"),
		asking("4", "start with a wrong secret", "Invalid credentials were provided", "/verify/json", "api_secret", "wrong"),
		asking("4", "payment with an unknown key", "Invalid credentials were provided", "/verify/psd2/json", "api_key", "nobody00"),
		asking("4", "check with a wrong secret", "Bad credentials", "/verify/check/json", "api_secret", "wrong"),
		asking("4", "search with a wrong signature, in XML", "Bad credentials", "/verify/search/xml", "sig", "00", "timestamp", "1"),
		asking("4", "control with an unknown key", "Bad credentials", "/verify/control/json", "api_key", "nobody00"),
	}
}

func accountRows() []statusRow {
	const (
		barred    = "The api_key you supplied is for an account that has been barred from submitting messages."
		trialText = "Your Nexmo account is still in demo mode. While in demo mode you must add target numbers to the approved list for your account. Add funds to your account to remove this limitation."
	)
	return []statusRow{
		asking("8", "start by the barred account", barred, "/verify/json", "api_key", "barred01", "number", "447700900000", "brand", "Acme"),
		asking("8", "payment by the barred account", barred, "/verify/psd2/json", "api_key", "barred01", "number", "447700900000", "payee", "A", "amount", "1"),
		asking("8", "trigger by the barred account", barred, "/verify/control/xml", "api_key", "barred01", "request_id", noSuchID, "cmd", "trigger_next_event"),
		asking("9", "start without credit", "Partner quota exceeded", "/verify/json", "api_key", "broke001", "number", "447700900000", "brand", "Acme"),
		asking("20", "pin_code without permission", "This account does not support the parameter: pin_code.", "/verify/json", "api_key", "trial001", "number", "447700900001", "brand", "Acme", "pin_code", "1234"),
		asking("29", "start by the trial account", trialText, "/verify/json", "api_key", "trial001", "number", "447700900000", "brand", "Acme"),
		asking("0", "start by the trial account, to its number", "", "/verify/json", "api_key", "trial001", "number", "447700900001", "brand", "Acme"),
	}
}

func numberRows() []statusRow {
	const concurrent = "Concurrent verifications to the same number are not allowed"
	return []statusRow{
		asking("6", "start to a number without a carrier", unableText+"The request could not be routed.", "/verify/json", "number", "447700900006", "brand", "Acme"),
		asking("7", "start to a blocked number", "The number you are trying to verify is blacklisted for verification", "/verify/json", "number", "447700900007", "brand", "Acme"),
		asking("15", "start to a network that is not served", "The destination number is not in a supported network", "/verify/json", "number", "447700900015", "brand", "Acme"),
		asking("15", "start to a mobile where a landline is required", "The destination number is not in a supported network", "/verify/json", "number", "447700900099", "brand", "Acme", "require_type", "Landline"),
		{"10", "start while one is running", concurrent, func(t *testing.T, s *server) (fields, string) {
			id, sms := s.under(t)
			got := s.ask(t, "/verify/json", "number", sms.Number, "brand", "Acme")
			got.want(t, "request_id", id)
			return got, id
		}},
	}
}

func codeRows() []statusRow {
	const (
		over  = unableText + "Request 'ID' was not found or it has been verified already."
		wrong = "The code inserted does not match the expected value"
	)
	check := func(n int, code string) func(*testing.T, *server, string, string) {
		return func(t *testing.T, s *server, id, pin string) {
			for range n {
				s.ask(t, "/verify/check/json", "request_id", id, "code", strings.ReplaceAll(code, "PIN", pin))
			}
		}
	}
	return []statusRow{
		following("0", "check", "", "/verify/check/json", nil, "code", "PIN"),
		following("0", "check, in XML", "", "/verify/check/xml", nil, "code", "PIN"),
		following("16", "the first wrong code", wrong, "/verify/check/json", nil, "code", "WRONG"),
		following("16", "the second, in XML", wrong, "/verify/check/xml", check(1, "PIN0"), "code", "WRONG"),
		following("17", "the third", "The wrong code was provided too many times. Request terminated", "/verify/check/json", check(2, "PIN0"), "code", "WRONG"),
		following("6", "the right code, too late", over, "/verify/check/json", check(3, "PIN0"), "code", "PIN"),
		following("6", "the right code again", over, "/verify/check/json", check(1, "PIN"), "code", "PIN"),
		asking("6", "check of an unknown id", strings.ReplaceAll(over, "ID", noSuchID), "/verify/check/json", "request_id", noSuchID, "code", "1234"),
	}
}

func commandRows() []statusRow {
	const (
		early = "Verification request ['ID'] can't be cancelled within the first 30 seconds."
		late  = "Verification request  ['ID'] can't be cancelled now. Too many attempts to re-deliver have already been made."
		none  = "No more events are left to execute for the request ['ID']"
		over  = "The requestId 'ID' does not exist or its no longer active."
	)
	trigger := func(n int) func(*testing.T, *server, string, string) {
		return func(t *testing.T, s *server, id, _ string) {
			for range n {
				s.ask(t, "/verify/control/json", "request_id", id, "cmd", "trigger_next_event").want(t, "status", "0")
			}
		}
	}
	checked := func(t *testing.T, s *server, id, pin string) {
		s.ask(t, "/verify/check/json", "request_id", id, "code", pin).want(t, "status", "0")
	}
	return []statusRow{
		following("0", "trigger", "", "/verify/control/json", nil, "cmd", "trigger_next_event"),
		following("19", "cancel immediately", early, "/verify/control/json", nil, "cmd", "cancel"),
		following("19", "cancel after the second event", late, "/verify/control/json", trigger(1), "cmd", "cancel"),
		following("19", "trigger after the last event", none, "/verify/control/json", trigger(2), "cmd", "trigger_next_event"),
		following("6", "cancel after success", over, "/verify/control/json", checked, "cmd", "cancel"),
		following("6", "trigger after success", over, "/verify/control/json", checked, "cmd", "trigger_next_event"),
	}
}

func searchRows() []statusRow {
	eleven := strings.Fields(strings.Repeat("request_ids "+noSuchID+" ", 11))
	const none = "No response found"
	return []statusRow{
		following("IN PROGRESS", "search", "", "/verify/search/json", nil),
		asking("18", "search for eleven ids", "Too many request_ids provided", "/verify/search/json", eleven...),
		asking("101", "search for an unknown id", none, "/verify/search/json", "request_id", noSuchID),
		asking("101", "search for ten unknown ids, in XML", none, "/verify/search/xml", eleven[2:]...),
		{"101", "search for another account's id", none, func(t *testing.T, s *server) (fields, string) {
			id, _ := s.under(t)
			return s.ask(t, "/verify/search/json", "api_key", "trial001", "request_id", id), id
		}},
	}
}

// TestStatus reaches every status code of the v1 API in the unmodified program.
func TestStatus(t *testing.T) {
	t.Parallel()
	s := start(t)
	seen := map[string]bool{"1": true, "5": true}
	for _, row := range statusRows() {
		seen[row.status] = true
		t.Run(row.status+" "+row.how, func(t *testing.T) {
			got, id := row.ask(t, s)
			got.want(t, "status", row.status)
			if row.text == "" {
				if text, ok := got["error_text"]; ok {
					t.Errorf("got error_text %v, want none", text)
				}
				return
			}
			got.want(t, "error_text", strings.ReplaceAll(row.text, "ID", id))
		})
	}
	for _, status := range strings.Fields("0 1 2 3 4 5 6 7 8 9 10 15 16 17 18 19 20 29 101") {
		if !seen[status] {
			t.Errorf("no row reaches status %s", status)
		}
	}
}

// TestCancelled checks that a cancel after 30 seconds (here 0.3 s) is accepted and frees the
// number.
func TestCancelled(t *testing.T) {
	t.Parallel()
	s := start(t, "--speed", "100")
	id, sms := s.under(t, "workflow_id", "6")
	lapse(300 * time.Millisecond) // the time limit of the program
	s.ask(t, "/verify/control/json", "request_id", id, "cmd", "cancel").want(t, "status", "0", "command", "cancel")
	s.ask(t, "/verify/search/json", "request_id", id).want(t, "status", "CANCELLED", "price", "0.12050000")
	s.ask(t, "/verify/control/json", "request_id", id, "cmd", "cancel").want(t, "status", "6")
	s.ask(t, "/verify/json", "number", sms.Number, "brand", "Acme").want(t, "status", "0")
}

// TestUnwritable checks calls while another process locks the database. Each call that must write
// gets status 5, writes no data, and succeeds once the database is free.
func TestUnwritable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startIn(t, dir)
	id, sms := s.under(t)
	other, _ := s.under(t)
	number := s.newNumber()
	calls := []struct {
		path   string
		params []string
		after  string // status once the database is free
	}{
		{"/verify/json", []string{"number", number, "brand", "Acme"}, "0"},
		{"/verify/xml", []string{"number", s.newNumber(), "brand", "Acme"}, "0"},
		{"/verify/psd2/json", []string{"number", s.newNumber(), "payee", "Acme", "amount", "1"}, "0"},
		{"/verify/check/json", []string{"request_id", id, "code", wrong(sms.pin(t))}, "16"},
		{"/verify/check/xml", []string{"request_id", id, "code", sms.pin(t)}, "0"},
		{"/verify/control/json", []string{"request_id", other, "cmd", "trigger_next_event"}, "0"},
	}
	release := holdDatabase(t, filepath.Join(dir, "countersign.db"))
	var wg sync.WaitGroup
	for _, c := range calls {
		wg.Go(func() {
			got, err := s.tryAsk(c.path, c.params...)
			if err != nil {
				t.Error(err)
			}
			got.want(t, "status", "5", "error_text", "Internal Error")
		})
	}
	wg.Wait()
	found := s.ask(t, "/verify/search/json", "request_id", id) // only reads
	found.want(t, "status", "IN PROGRESS")
	if checks := found.list(t, "checks"); len(checks) != 0 {
		t.Errorf("got checks %v, want none", checks)
	}
	if got := s.messages(t, number); len(got) != 0 {
		t.Errorf("got %v, want no message for a refused request", got)
	}
	release()
	for _, c := range calls {
		s.ask(t, c.path, c.params...).want(t, "status", c.after)
	}
	s.await(t, number, 1)
}

// holdDatabase locks a database like a stuck backup or a forgotten shell: it begins a write
// transaction and ends it on release.
func holdDatabase(t *testing.T, file string) (release func()) {
	t.Helper()
	name := url.URL{Scheme: "file", Opaque: url.PathEscape(file), RawQuery: "_pragma=busy_timeout(10000)"}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(t.Context())
	if err == nil {
		_, err = conn.ExecContext(t.Context(), "BEGIN EXCLUSIVE")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return func() {
		t.Helper()
		if _, err := conn.ExecContext(context.Background(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
	}
}

// under starts a verification and returns its id and first message.
func (s *server) under(t *testing.T, pairs ...string) (id string, sms message) {
	t.Helper()
	number := s.newNumber()
	started := s.ask(t, "/verify/json", append([]string{"number", number, "brand", "Acme"}, pairs...)...)
	started.want(t, "status", "0")
	return started.text(t, "request_id"), s.await(t, number, 1)
}

// ask posts a form with the demo's credentials, unless pairs contain others, and returns the
// fields of the answer, which may be a refusal.
func (s *server) ask(t *testing.T, path string, pairs ...string) fields {
	t.Helper()
	got, err := s.tryAsk(path, pairs...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (s *server) tryAsk(path string, pairs ...string) (fields, error) {
	params := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		params.Add(pairs[i], pairs[i+1])
	}
	if !params.Has("api_key") {
		params.Set("api_key", apiKey)
	}
	if !params.Has("api_secret") {
		params.Set("api_secret", apiSecret)
	}
	res, err := s.client.PostForm(s.url+path, params)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s\n%s", path, res.Status, body)
	}
	if strings.HasSuffix(path, "xml") {
		var e element
		err := xml.Unmarshal(body, &e)
		return e.fields(), err
	}
	return decode(answer{res.Header.Get("Content-Type"), body})
}
