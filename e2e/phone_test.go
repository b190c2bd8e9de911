package e2e

import (
	"net/url"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestPhone receives an SMS and answers a call on the virtual phone, in a browser. With
// "go test -artifacts" it keeps a screenshot of each.
func TestPhone(t *testing.T) {
	t.Parallel()
	require(t, "chromium")
	s := start(t)
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal(err)
	}
	page := run(t, "phone.mjs", "SERVER_URL="+s.url, "CHROMIUM="+chromium)
	picture := func(name string) {
		t.Helper()
		page.call(t, "picture", filepath.Join(t.ArtifactDir(), name+".png"))
	}

	number := s.newNumber()
	page.call(t, "open", number)
	id := s.verify(t, number)
	sms := s.await(t, number, 1)
	page.call(t, "read", sms.Text)
	picture("sms")

	s.control(t, id, "trigger_next_event")
	heard := page.call(t, "answer")
	duration, _ := heard["duration"].(float64)
	if duration <= 1 || heard["paused"] != false {
		t.Errorf("the call has sound %v, want more than a second playing", heard)
	}
	picture("call")
	if got := page.call(t, "hangUp"); got["paused"] != true {
		t.Errorf("the call still plays after hanging up: %v", got)
	}

	// A reloaded page shows earlier messages. An answered call does not ring again, on this page or
	// another.
	for _, again := range []string{number, ""} {
		page.call(t, "open", again)
		page.call(t, "read", sms.Text)
		if state := page.call(t, "callState")["state"]; state != "ended" {
			t.Errorf("on the page of number %q, the answered call is %v, want ended", state, again)
		}
	}
	picture("again")

	if list, _ := page.call(t, "complaints")["complaints"].([]any); len(list) > 0 {
		t.Errorf("the browser logged errors: %q", list)
	}
}

// verify starts a verification of number with a plain HTTP request and returns its request id.
func (s *server) verify(t *testing.T, number string) string {
	t.Helper()
	params := url.Values{"number": {number}, "brand": {"Acme"}}
	return s.v1(t, "/verify/json", params).text(t, "request_id")
}

// control sends a command for a verification.
func (s *server) control(t *testing.T, requestID, cmd string) {
	t.Helper()
	s.v1(t, "/verify/control/json", url.Values{"request_id": {requestID}, "cmd": {cmd}})
}

// v1 calls the v1 API, which must answer with status 0.
func (s *server) v1(t *testing.T, path string, params url.Values) fields {
	t.Helper()
	params.Set("api_key", apiKey)
	params.Set("api_secret", apiSecret)
	got, err := readPython("", answer{body: s.get(t, path+"?"+params.Encode())})
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return got
}
