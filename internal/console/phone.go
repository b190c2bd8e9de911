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

// virtualPhone is the page /phone, its API and its assets.
type virtualPhone struct {
	Config
	assets assets
	live   chan struct{} // holds one value for each live page that is open
}

// view is what the page is rendered from.
type view struct {
	want    wanted
	entries []entry
	assets  assets
}

// eventsURL is where the page hears of new messages; "" if none can come.
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

// entry is a message on the page. The script of the page gets the same value in
// JSON that the template gets.
type entry struct {
	messageJSON
	Key  string `json:"key"`  // tells the copies of an event apart
	Code string `json:"code"` // to copy; "" if none was found
}

func (p *virtualPhone) page(w http.ResponseWriter, r *http.Request) error {
	want := askedNumber(r)
	received, err := p.read(r.Context(), want)
	if err != nil {
		return err
	}
	var body bytes.Buffer // so that a failure half way can still answer 500
	v := view{want: want, entries: entries(received), assets: p.assets}
	if err := phonePage(v).Render(r.Context(), &body); err != nil {
		return fmt.Errorf("render page: %w", err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(body.Bytes()) // an error means that nobody reads it any more
	return nil
}

// entries prepares messages for the page; of many it keeps the newest.
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

// clock is the time of an entry until the script shows it in local time.
func (e entry) clock() string {
	t, err := time.Parse(time.RFC3339, e.SentAt)
	if err != nil {
		return e.SentAt
	}
	return t.Format("15:04:05 UTC")
}

// code finds the PIN of a message, for the button that copies it. A script
// marks it. In an SMS it is a guess: the last word of digits as long as a PIN,
// since a brand with a number in it comes before the code; failing that, the
// last such word of letters and digits. A wrong guess costs a person a glance.
func code(m virtual.Message) string {
	for _, part := range m.Script.Parts {
		if part.Spell != "" {
			return part.Spell
		}
	}
	var digits, mixed string
	words := strings.FieldsFunc(m.Text, func(r rune) bool {
		return !isDigit(r) && !isLetter(r) && r != '.' && r != ',' // an amount stays whole
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
