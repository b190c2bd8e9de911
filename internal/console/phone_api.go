package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"countersign/internal/deliver/virtual"
	"countersign/internal/phone"
	"countersign/internal/verify"
)

const (
	// maxOfNumber bounds the list of one number. It suffices for all messages of a load
	// test to a number.
	maxOfNumber = 1000
	// maxOfAll bounds the list of all numbers.
	maxOfAll = 100

	speakTimeout = 15 * time.Second

	// deliveryTimeout bounds the wait for messages in flight.
	deliveryTimeout = 2 * time.Second
)

// messageJSON is a message in the API.
type messageJSON struct {
	Number    string         `json:"number"`
	Channel   verify.Channel `json:"channel"`
	From      string         `json:"from"`
	Text      string         `json:"text"`
	AudioURL  string         `json:"audio_url"` // "" for an SMS
	EventID   string         `json:"event_id"`
	RequestID string         `json:"request_id"`
	SentAt    string         `json:"sent_at"`
}

func toJSON(m virtual.Message) messageJSON {
	j := messageJSON{
		Number:    m.Number,
		Channel:   m.Channel,
		From:      m.From,
		Text:      m.Text,
		EventID:   m.EventID.String(),
		RequestID: m.RequestID.Hex(), // in the form of the v1 API
		SentAt:    m.SentAt.UTC().Format("2006-01-02T15:04:05.000Z07:00"),
	}
	if m.Channel.Spoken() {
		j.AudioURL = "/phone/audio/" + j.EventID + ".wav"
	}
	return j
}

// messages lists the messages to a number, oldest first.
func (p *virtualPhone) messages(w http.ResponseWriter, r *http.Request) error {
	want := askedNumber(r)
	if query, err := url.ParseQuery(r.URL.RawQuery); err != nil || want.typed == "" && query.Has("number") {
		want.problem = "empty" // an unset variable in a test must not mean all numbers
	}
	if want.valid() && p.Delivered != nil {
		ctx, cancel := context.WithTimeout(r.Context(), deliveryTimeout)
		p.Delivered(ctx, want.number)
		cancel()
	}
	received, err := p.read(r.Context(), want)
	if err != nil {
		return err
	}
	list := make([]messageJSON, len(received)) // nil would become null
	for i, m := range received {
		list[i] = toJSON(m)
	}
	body, err := encode(map[string]any{"messages": list})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // fails only if the client disconnected
	return nil
}

// audio serves a call as a WAV file, with ranges so that a browser can seek.
func (p *virtualPhone) audio(w http.ResponseWriter, r *http.Request) error {
	name, isWAV := strings.CutSuffix(r.PathValue("file"), ".wav")
	event, ok := verify.ParseID(name)
	if !isWAV || !ok {
		http.NotFound(w, r)
		return nil
	}
	m, ok, err := p.Inbox.Message(r.Context(), event)
	if err != nil {
		return fmt.Errorf("read event %s: %w", event, err)
	}
	if !ok || !m.Channel.Spoken() {
		http.NotFound(w, r)
		return nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), speakTimeout)
	defer cancel()
	var wav bytes.Buffer
	if err := p.Speaker.WAV(ctx, &wav, m.Script); err != nil {
		return fmt.Errorf("speak event %s: %w", event, err)
	}
	w.Header().Set("Content-Type", "audio/wav")
	http.ServeContent(w, r, "", m.SentAt, bytes.NewReader(wav.Bytes()))
	return nil
}

// wanted is the requested number.
type wanted struct {
	typed   string // text of the parameter
	number  string // E.164 digits without "+"; "" for all numbers
	problem string // reason why typed is not a number; "" if it is valid
}

func (w wanted) valid() bool { return w.problem == "" }

// askedNumber parses the parameter "number" like the v1 API, so that it accepts the same
// numbers. An unescaped "+" arrives as a space.
func askedNumber(r *http.Request) wanted {
	typed := strings.TrimSpace(r.URL.Query().Get("number"))
	if typed == "" {
		return wanted{}
	}
	n, err := phone.Parse(typed, "")
	if refused, ok := errors.AsType[*phone.Error](err); ok {
		return wanted{typed: typed, problem: refused.Reason}
	}
	return wanted{typed: typed, number: n.Digits}
}

// read returns the requested messages, oldest first.
func (p *virtualPhone) read(ctx context.Context, want wanted) ([]virtual.Message, error) {
	if !want.valid() {
		return nil, nil
	}
	limit := maxOfNumber
	if want.number == "" {
		limit = maxOfAll
	}
	list, err := p.Inbox.Messages(ctx, want.number, limit)
	if err != nil {
		return nil, fmt.Errorf("read inbox: %w", err)
	}
	return list, nil
}

// encode returns v as JSON without escaping <, > and &, for readers in a terminal. No
// browser interprets the response as HTML.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode response: %w", err)
	}
	return b.Bytes(), nil
}
