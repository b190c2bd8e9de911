package console_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"countersign/internal/console"
	"countersign/internal/deliver/virtual"
)

func TestMessages(t *testing.T) {
	t.Parallel()
	h := handler(console.Config{Inbox: filled(
		sms(1, number, `Acme & "Søns" <b>code</b>: 4821. Valid for 5 minutes.`),
		call(2, number, "4821"),
	)})

	w := request(t, h, "GET", "/phone/api/messages?number="+number)
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	for name, want := range map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	const want = `{"messages":[` +
		`{"number":"447700900001","channel":"sms","from":"Acme",` +
		`"text":"Acme & \"Søns\" <b>code</b>: 4821. Valid for 5 minutes.","audio_url":"",` +
		`"event_id":"00000000-0000-0000-0000-000000000001","request_id":"000000000000000000000000000000aa",` +
		`"sent_at":"2026-11-22T20:30:01.250Z"},` +
		`{"number":"447700900001","channel":"tts","from":"Acme",` +
		`"text":"Please enter your Shop 2000 activation code 4, 8, 2, 1 Goodbye.",` +
		`"audio_url":"/phone/audio/00000000-0000-0000-0000-000000000002.wav",` +
		`"event_id":"00000000-0000-0000-0000-000000000002","request_id":"000000000000000000000000000000aa",` +
		`"sent_at":"2026-11-22T20:30:02.250Z"}]}` + "\n"
	if got := w.Body.String(); got != want {
		t.Errorf("body\n got %s\nwant %s", got, want)
	}
}

func TestMessagesOfNumber(t *testing.T) {
	t.Parallel()
	h := handler(console.Config{Inbox: filled(
		sms(1, number, "one"), sms(2, "12025550100", "two"), sms(3, number, "three"), sms(1, number, "one"),
	)})
	all := []string{"one", "two", "three", "one"}
	mine := []string{"one", "three", "one"} // a copy of an event is listed again

	tests := []struct {
		name, query string
		want        []string
	}{
		{"Digits", "number=" + number, mine},
		{"Plus", "number=%2B" + number, mine},
		{"PlusUnescaped", "number=+" + number, mine},
		{"SpacesAndHyphens", "number=%2B44+7700-900+001", mine},
		{"Absent", "", all},
		{"Empty", "number=", nil},
		{"Unknown", "number=447700900002", nil},
		{"TooShort", "number=%2B123", nil},
		{"Letters", "number=44770090000x", nil},
		{"OnlyPlus", "number=%2B", nil},
		{"OnlyHyphen", "number=-", nil},
		{"TooLong", "number=4477009000011111", nil},
		{"OtherDigits", "number=" + url.QueryEscape("٤٤٧٧٠٠٩٠٠٠٠١"), mine},
		{"BrokenUTF8", "number=%ff", nil},
		{"BrokenEscape", "number=%zz", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := request(t, h, "GET", "/phone/api/messages?"+tt.query)
			if w.Code != http.StatusOK {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			if tt.want == nil {
				if got := w.Body.String(); got != `{"messages":[]}`+"\n" {
					t.Errorf("body %s, want an empty list", got)
				}
				return
			}
			if got := texts(t, w.Body.Bytes()); !slices.Equal(got, tt.want) {
				t.Errorf("messages %q, want %q", got, tt.want)
			}
		})
	}
}

func TestMessagesAreBounded(t *testing.T) {
	t.Parallel()
	var many []virtual.Message
	for n := range 1200 {
		many = append(many, sms(n, number, fmt.Sprint(n)))
	}
	h := handler(console.Config{Inbox: filled(many...)})
	tests := []struct {
		name, query string
		want        int
	}{
		{"OfNumber", "?number=" + number, 1000},
		{"OfAll", "", 100},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := texts(t, request(t, h, "GET", "/phone/api/messages"+tt.query).Body.Bytes())
			if len(got) != tt.want || got[len(got)-1] != "1199" {
				t.Errorf("%d messages up to %s, want %d up to 1199", len(got), got[len(got)-1], tt.want)
			}
		})
	}
}

func TestAudio(t *testing.T) {
	t.Parallel()
	h := handler(console.Config{Inbox: filled(sms(1, number, "Acme code: 4821"), call(2, number, "4821"))})
	const (
		of2  = "/phone/audio/00000000-0000-0000-0000-000000000002.wav"
		size = 44 + 2*8000 // of one second
	)
	tests := []struct {
		name, method, target string
		byteRange            string
		status, length       int
	}{
		{name: "Whole", method: "GET", target: of2, status: http.StatusOK, length: size},
		{name: "Head", method: "HEAD", target: of2, status: http.StatusOK, length: 0},
		{name: "Range", method: "GET", target: of2, byteRange: "bytes=100-299", status: http.StatusPartialContent, length: 200},
		{name: "BadRange", method: "GET", target: of2, byteRange: "bytes=99999-", status: http.StatusRequestedRangeNotSatisfiable, length: -1},
		{name: "NoDashes", method: "GET", target: "/phone/audio/" + id(2).Hex() + ".wav", status: http.StatusOK, length: size},
		{name: "SMS", method: "GET", target: "/phone/audio/" + id(1).String() + ".wav", status: http.StatusNotFound, length: -1},
		{name: "Unknown", method: "GET", target: "/phone/audio/" + id(3).String() + ".wav", status: http.StatusNotFound, length: -1},
		{name: "Malformed", method: "GET", target: "/phone/audio/2.wav", status: http.StatusNotFound, length: -1},
		{name: "OtherFormat", method: "GET", target: "/phone/audio/" + id(2).String() + ".mp3", status: http.StatusNotFound, length: -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := request(t, h, tt.method, tt.target, "Range", tt.byteRange)
			if w.Code != tt.status {
				t.Fatalf("status %d, want %d", w.Code, tt.status)
			}
			if tt.length < 0 {
				return
			}
			if got := w.Body.Len(); got != tt.length {
				t.Errorf("%d bytes, want %d", got, tt.length)
			}
			if got := w.Header().Get("Content-Type"); got != "audio/wav" {
				t.Errorf("Content-Type %q", got)
			}
			if got := w.Header().Get("Accept-Ranges"); got != "bytes" {
				t.Errorf("Accept-Ranges %q: browsers could not seek", got)
			}
		})
	}
}

func TestFailuresAnswer500(t *testing.T) {
	t.Parallel()
	down := filled(call(2, number, "4821"))
	down.err = errors.New("database password is hunter2")
	mute := console.Config{Inbox: filled(call(2, number, "4821")), Speaker: speaker{err: errors.New("hunter2")}}

	tests := []struct {
		name, target string
		config       console.Config
	}{
		{"Page", "/phone", console.Config{Inbox: down}},
		{"Messages", "/phone/api/messages", console.Config{Inbox: down}},
		{"Audio", "/phone/audio/" + id(2).String() + ".wav", console.Config{Inbox: down}},
		{"Speaker", "/phone/audio/" + id(2).String() + ".wav", mute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := request(t, handler(tt.config), "GET", tt.target)
			if w.Code != http.StatusInternalServerError {
				t.Errorf("status %d, want 500", w.Code)
			}
			if strings.Contains(w.Body.String(), "hunter2") {
				t.Errorf("the response reveals the internal error: %s", w.Body)
			}
		})
	}
}

// texts returns the texts in a response of the API or an event of a live page.
func texts(t *testing.T, body []byte) []string {
	t.Helper()
	var answer struct{ Messages []struct{ Text string } }
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("%v in %q", err, body)
	}
	list := []string{}
	for _, m := range answer.Messages {
		list = append(list, m.Text)
	}
	return list
}
