package console_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"countersign/internal/console"
	"countersign/internal/deliver/virtual"
	"countersign/internal/message"
	"countersign/internal/verify"
)

const number = "447700900001"

// inbox is an inbox in memory. If err is set, it acts like an unreachable database.
type inbox struct {
	mu       sync.Mutex
	messages []virtual.Message
	err      error
}

func (b *inbox) AddMessage(_ context.Context, m virtual.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages = append(b.messages, m)
	return b.err
}

func (b *inbox) Messages(_ context.Context, number string, limit int) ([]virtual.Message, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []virtual.Message
	for _, m := range b.messages {
		if number == "" || m.Number == number {
			list = append(list, m)
		}
	}
	return list[max(0, len(list)-limit):], b.err
}

func (b *inbox) Message(_ context.Context, event verify.ID) (virtual.Message, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range slices.Backward(b.messages) {
		if m.EventID == event {
			return m, true, b.err
		}
	}
	return virtual.Message{}, false, b.err
}

// speaker returns one second of silence for every script, or err.
type speaker struct{ err error }

func (s speaker) WAV(ctx context.Context, w io.Writer, script message.Script) error {
	if len(script.Parts) == 0 {
		return errors.New("empty script")
	}
	if err := errors.Join(ctx.Err(), s.err); err != nil {
		return err
	}
	const rate, bytesPerSample = 8000, 2
	header := struct {
		RIFF         [4]byte
		Size         uint32
		WAVE, Format [4]byte
		FormatSize   uint32
		PCM, Mono    uint16
		Rate, Bytes  uint32
		Block, Bits  uint16
		Data         [4]byte
		DataSize     uint32
	}{
		RIFF: [4]byte([]byte("RIFF")), Size: 36 + rate*bytesPerSample,
		WAVE: [4]byte([]byte("WAVE")), Format: [4]byte([]byte("fmt ")), FormatSize: 16,
		PCM: 1, Mono: 1, Rate: rate, Bytes: rate * bytesPerSample, Block: bytesPerSample, Bits: 16,
		Data: [4]byte([]byte("data")), DataSize: rate * bytesPerSample,
	}
	if err := binary.Write(w, binary.LittleEndian, header); err != nil {
		return err
	}
	_, err := w.Write(make([]byte, rate*bytesPerSample))
	return err
}

// id returns the id 000…00n.
func id(n byte) verify.ID { return verify.ID{15: n} }

// at returns the time n seconds into the test.
func at(n int) time.Time {
	return time.Date(2026, 11, 22, 20, 30, n, int(250*time.Millisecond), time.UTC)
}

func sms(n int, to, text string) virtual.Message {
	return virtual.Message{
		EventID: id(byte(n)), RequestID: id(0xaa), Number: to, Channel: verify.SMS,
		From: "Acme", Text: text, SentAt: at(n),
	}
}

func call(n int, to, pin string) virtual.Message {
	script := message.Script{Locale: "en-gb", Parts: []message.Part{
		{Pause: time.Second}, {Text: "Please enter your Shop 2000 activation code"}, {Spell: pin}, {Text: "Goodbye."},
	}}
	return virtual.Message{
		EventID: id(byte(n)), RequestID: id(0xaa), Number: to, Channel: verify.TTS,
		From: "Acme", Text: script.Words(), Script: script, SentAt: at(n),
	}
}

// filled returns an inbox with messages.
func filled(messages ...virtual.Message) *inbox { return &inbox{messages: messages} }

// handler returns the pages of an inbox, without logging.
func handler(c console.Config) http.Handler {
	if c.Speaker == nil {
		c.Speaker = speaker{}
	}
	c.Log = slog.New(slog.DiscardHandler)
	return console.Handler(c)
}

// request makes a request. header is a list of alternating names and values.
func request(t *testing.T, h http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
