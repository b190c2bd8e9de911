package template

import (
	"context"
	"log/slog"

	"countersign/internal/deliver/gsm"
	"countersign/internal/message"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// Writer renders the messages of accounts: with an account's active template, otherwise
// with the texts of the catalog. It caches templates and settings; a change takes effect
// within a second.
type Writer struct {
	messages *message.Catalog
	store    *store.DB
	log      *slog.Logger
	own      *store.Cached[laidDown]
}

// laidDown has the message settings of all accounts.
type laidDown struct {
	templates map[key]message.Custom     // active templates
	settings  map[string]verify.Settings // settings of accounts that change their messages
}

type key struct {
	account string
	channel verify.Channel
	locale  string
}

// NewWriter returns a writer for the accounts of db.
func NewWriter(messages *message.Catalog, db *store.DB, log *slog.Logger) *Writer {
	w := &Writer{messages: messages, store: db, log: log}
	w.own = store.CacheTemplates(db, w.load)
	return w
}

// Write returns an account's message on a channel: its text, or on a spoken channel its
// script with the words of the script as text.
func (w *Writer) Write(ctx context.Context, account string, channel verify.Channel, in message.Input) (text string, script message.Script) {
	if channel.Spoken() {
		script = w.script(ctx, account, channel, in)
		return script.Words(), script
	}
	return w.text(ctx, account, channel, in), script
}

// text renders for a written channel. Only an SMS has the last line from which phones fill
// in the code.
func (w *Writer) text(ctx context.Context, account string, channel verify.Channel, in message.Input) string {
	custom, own, settings := w.find(ctx, account, channel, in)
	line := ""
	if channel.Info().Segmented {
		line = settings.Autofill.Line(in.PIN)
	}
	switch {
	case own:
		return end(line, custom.Text(in))
	case in.Payment != nil || line == "":
		return end(line, w.messages.SMS(in))
	}
	texts := []string{w.messages.SMS(in)}
	if short := w.messages.ShortSMS(in); short != "" {
		texts = append(texts, short)
	}
	return end(line, append(texts, in.Brand+": "+in.PIN.Reveal())...)
}

// end returns the first of texts with the last line from which a phone fills in the code.
// If that exceeds one segment, it tries to fit one: without the empty line, then with the
// next text.
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

// script renders for a spoken channel.
func (w *Writer) script(ctx context.Context, account string, channel verify.Channel, in message.Input) message.Script {
	custom, own, settings := w.find(ctx, account, channel, in)
	in.Brand = settings.SpokenBrands.Of(in.Brand)
	if in.Payment != nil {
		spoken := *in.Payment
		spoken.Payee = settings.SpokenBrands.Of(spoken.Payee)
		in.Payment = &spoken
	}
	if own {
		return custom.Call(in)
	}
	return w.messages.Call(in)
}

// Templates returns the active templates of an account in a locale, in the order of the
// channels.
func (w *Writer) Templates(ctx context.Context, account, locale string) (list []message.Custom) {
	for _, channel := range verify.Channels() {
		if custom, own, _ := w.find(ctx, account, channel.Channel, message.Input{Locale: locale}); own {
			list = append(list, custom)
		}
	}
	return list
}

// find returns an account's template and settings for a message. Payments have no template,
// since their texts must state payee and amount.
func (w *Writer) find(ctx context.Context, account string, channel verify.Channel, in message.Input) (custom message.Custom, own bool, settings verify.Settings) {
	all, err := w.own.Get(ctx)
	if err != nil { // never loaded yet: use the catalog
		w.log.Warn("templates not read", "error", err)
	}
	if in.Payment == nil {
		custom, own = all.templates[key{account, channel, in.Locale}]
	}
	return custom, own, all.settings[account]
}

// CarrierValues returns the values that carriers put into an account's messages; it may be
// nil. The caller must not change it.
func (w *Writer) CarrierValues(ctx context.Context, account string) map[string]string {
	all, err := w.own.Get(ctx)
	if err != nil { // never loaded yet
		w.log.Warn("carrier values not read", "error", err)
	}
	return all.settings[account].CarrierValues
}

// load reads templates and settings of all accounts.
func (w *Writer) load(ctx context.Context) (all laidDown, err error) {
	list, err := w.store.Templates(ctx, "", store.TemplateActive)
	if err != nil {
		return all, err
	}
	if all.settings, err = w.store.MessageSettings(ctx); err != nil {
		return all, err
	}
	all.templates = make(map[key]message.Custom, len(list))
	for _, t := range list {
		custom, err := parse(t)
		if err != nil { // it was valid on submission
			w.log.Error("template left out", "template", t.ID.String(), "error", err)
			continue
		}
		all.templates[key{t.Account, t.Channel, t.Locale}] = custom
	}
	return all, nil
}
