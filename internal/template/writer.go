package template

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"countersign/internal/deliver/gsm"
	"countersign/internal/message"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// refreshEvery is how old what accounts have laid down may be: for so long a change
// on another node, or by the command line, is not noticed.
const refreshEvery = time.Second

// Writer writes the messages of accounts: in their own words where they have a
// template in use, and else in ours. What they have laid down it knows without a look
// at the database for each message.
type Writer struct {
	messages *message.Catalog
	store    *store.DB
	log      *slog.Logger
	now      func() time.Time

	mu        sync.Mutex
	loaded    time.Time
	templates map[key]message.Custom // in use
	autofills map[string]verify.Autofill
}

type key struct {
	account string
	channel verify.Channel
	locale  string
}

// NewWriter returns a writer for the accounts of db.
func NewWriter(messages *message.Catalog, db *store.DB, log *slog.Logger, now func() time.Time) *Writer {
	return &Writer{messages: messages, store: db, log: log, now: now}
}

// SMS writes the text of an account's SMS.
func (w *Writer) SMS(ctx context.Context, account string, in message.Input) string {
	custom, own, fill := w.find(ctx, account, verify.SMS, in)
	line := fill.Line(in.PIN)
	switch {
	case own:
		return end(line, custom.SMS(in))
	case in.Payment != nil || line == "":
		return end(line, w.messages.SMS(in))
	}
	return end(line, w.messages.SMS(in), in.Brand+": "+in.PIN.Reveal())
}

// end gives the first of texts, with the line that lets a phone fill the code in. If
// that takes more than one segment, a shorter way that does not is taken: without the
// empty line, or with a shorter text.
func end(line string, texts ...string) string {
	if line == "" {
		return texts[0]
	}
	for _, text := range texts {
		for _, space := range []string{"\n\n", "\n"} {
			if whole := text + space + line; gsm.Segments(whole, gsm.Options{}) == 1 {
				return whole
			}
		}
	}
	return texts[0] + "\n\n" + line
}

// Call writes the script of an account's call.
func (w *Writer) Call(ctx context.Context, account string, in message.Input) message.Script {
	if custom, own, _ := w.find(ctx, account, verify.TTS, in); own {
		return custom.Call(in)
	}
	return w.messages.Call(in)
}

// Speaks reports whether an account has a template in use in a locale, on any
// channel: it may be one that we have no words for.
func (w *Writer) Speaks(ctx context.Context, account, locale string) bool {
	in := message.Input{Locale: locale}
	_, sms, _ := w.find(ctx, account, verify.SMS, in)
	_, tts, _ := w.find(ctx, account, verify.TTS, in)
	return sms || tts
}

// MayName reports whether an account's own templates in a locale can say a brand:
// with their words it might be what nobody may send. denied says what the operator
// does not want besides.
func (w *Writer) MayName(ctx context.Context, account, locale, brand string, denied func(string) bool) bool {
	in := message.Input{Locale: locale, Brand: brand}
	for _, channel := range []verify.Channel{verify.SMS, verify.TTS} {
		custom, own, _ := w.find(ctx, account, channel, in)
		if own && (custom.Names(brand) != nil || denied(custom.SMS(in))) {
			return false
		}
	}
	return true
}

// find gives what an account has laid down for a message. The words of payments are
// always ours: they must name payee and amount.
func (w *Writer) find(ctx context.Context, account string, channel verify.Channel, in message.Input) (custom message.Custom, own bool, fill verify.Autofill) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := w.now(); w.templates == nil || now.Sub(w.loaded).Abs() >= refreshEvery {
		w.loaded = now
		if err := w.load(ctx); err != nil { // what was known serves for as long
			w.log.Warn("templates not read again", "error", err)
		}
	}
	if in.Payment == nil {
		custom, own = w.templates[key{account, channel, in.Locale}]
	}
	return custom, own, w.autofills[account]
}

// load reads what accounts have laid down.
func (w *Writer) load(ctx context.Context) error {
	list, err := w.store.Templates(ctx, "", store.TemplateActive)
	if err != nil {
		return err
	}
	fills, err := w.store.Autofills(ctx)
	if err != nil {
		return err
	}
	w.autofills, w.templates = fills, make(map[key]message.Custom, len(list))
	for _, t := range list {
		custom, err := parse(t)
		if err != nil { // it was examined when it came
			w.log.Error("template left out", "template", t.ID.String(), "error", err)
			continue
		}
		w.templates[key{t.Account, t.Channel, t.Locale}] = custom
	}
	return nil
}
