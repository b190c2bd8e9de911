package console

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"countersign/internal/deliver/virtual"
	"countersign/internal/verify"
)

//go:generate go run github.com/a-h/templ/cmd/templ@v0.3.977 generate

// virtualPhone serves the page /phone, its API and its assets.
type virtualPhone struct {
	Config
	assets assets
	live   chan struct{} // semaphore; holds a value for each live page
}

// view is the data of the page.
type view struct {
	want    wanted
	entries []entry
	assets  assets
}

// eventsURL returns the URL of the page's event stream; "" for an invalid number.
func (v view) eventsURL() string {
	switch {
	case !v.want.valid():
		return ""
	case v.want.number == "":
		return "/phone/api/events"
	default:
		return "/phone/api/events?number=" + url.QueryEscape(v.want.number)
	}
}

func (v view) title() string {
	if v.want.number == "" {
		return "Messages · Virtual phone"
	}
	return "+" + v.want.number + " · Virtual phone"
}

// entry is a message on the page, for the template and, as JSON, for the script.
type entry struct {
	messageJSON
	Key  string `json:"key"`  // unique, also for copies of an event
	Code string `json:"code"` // code for the copy button; "" if not found
}

func (p *virtualPhone) page(w http.ResponseWriter, r *http.Request) error {
	want := askedNumber(r)
	received, err := p.read(r.Context(), want)
	if err != nil {
		return err
	}
	var body bytes.Buffer // a failed rendering can still become a 500
	v := view{want: want, entries: entries(received), assets: p.assets}
	if err := phonePage(v).Render(r.Context(), &body); err != nil {
		return fmt.Errorf("render page: %w", err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(body.Bytes()) // fails only if the client disconnected
	return nil
}

// entries converts the newest maxOfAll messages for the page.
func entries(received []virtual.Message) []entry {
	if extra := len(received) - maxOfAll; extra > 0 {
		received = received[extra:]
	}
	list := make([]entry, len(received))
	copies := make(map[string]int)
	for i, m := range received {
		key := fmt.Sprintf("%s@%d", m.EventID, m.SentAt.UnixMilli())
		if copies[key]++; copies[key] > 1 {
			key = fmt.Sprintf("%s/%d", key, copies[key])
		}
		list[i] = entry{messageJSON: toJSON(m), Key: key, Code: code(m)}
	}
	return list
}

// clock returns the time of an entry in UTC. The script replaces it with local time.
func (e entry) clock() string {
	t, err := time.Parse(time.RFC3339, e.SentAt)
	if err != nil {
		return e.SentAt
	}
	return t.Format("15:04:05 UTC")
}

// code returns the PIN of a message for the copy button, or "". The script of a call
// marks it. For an SMS, code guesses: it returns the last word of digits with the length
// of a PIN, since a number in a brand precedes the code. Without one, it returns the last
// such word of letters and digits. A wrong guess is harmless.
func code(m virtual.Message) string {
	for _, part := range m.Script.Parts {
		if part.Spell != "" {
			return part.Spell
		}
	}
	var digits, mixed string
	words := strings.FieldsFunc(m.Text, func(r rune) bool {
		return !isDigit(r) && !isLetter(r) && r != '.' && r != ',' // keep amounts in one word
	})
	for _, word := range words {
		word = strings.Trim(word, ".,")
		switch {
		case len(word) < verify.MinPINLength || len(word) > verify.MaxPINLength:
		case strings.ContainsAny(word, ".,"):
		case strings.IndexFunc(word, isLetter) < 0:
			digits = word
		case strings.IndexFunc(word, isDigit) >= 0:
			mixed = word
		}
	}
	if digits != "" {
		return digits
	}
	return mixed
}

func isDigit(r rune) bool { return '0' <= r && r <= '9' }

func isLetter(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }
