package template

import (
	"context"
	"log/slog"

	"countersign/internal/deliver/gsm"
	"countersign/internal/message"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// Writer writes the messages of accounts: in their own words where they have a
// template in use, and else in ours. What they have laid down it knows without a look
// at the database for each message; what changes there it knows within a second.
type Writer struct {
	messages *message.Catalog
	store    *store.DB
	log      *slog.Logger
	own      *store.Cached[laidDown]
}

// laidDown is what all accounts want of their messages.
type laidDown struct {
	templates map[key]message.Custom     // in use
	settings  map[string]verify.Settings // of accounts that change their messages
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

// text writes for a written channel. Phones fill codes in from an SMS, so only that has
// the line for them.
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

// script writes for a spoken channel.
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

// Templates returns the templates in use of an account in a locale, in the order of the channels.
func (w *Writer) Templates(ctx context.Context, account, locale string) (list []message.Custom) {
	for _, channel := range verify.Channels() {
		if custom, own, _ := w.find(ctx, account, channel.Channel, message.Input{Locale: locale}); own {
			list = append(list, custom)
		}
	}
	return list
}

// find gives what an account has laid down for a message. The words of payments are
// always ours: they must name payee and amount.
func (w *Writer) find(ctx context.Context, account string, channel verify.Channel, in message.Input) (custom message.Custom, own bool, settings verify.Settings) {
	all, err := w.own.Get(ctx)
	if err != nil { // never read yet: our words will do
		w.log.Warn("templates not read", "error", err)
	}
	if in.Payment == nil {
		custom, own = all.templates[key{account, channel, in.Locale}]
	}
	return custom, own, all.settings[account]
}

// CarrierValues returns what carriers put into an account's messages; nil for
// nothing. The caller must not change it.
func (w *Writer) CarrierValues(ctx context.Context, account string) map[string]string {
	all, err := w.own.Get(ctx)
	if err != nil { // never read so far
		w.log.Warn("carrier values not read", "error", err)
	}
	return all.settings[account].CarrierValues
}

// load reads what accounts have laid down.
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
		if err != nil { // it was examined when it came
			w.log.Error("template left out", "template", t.ID.String(), "error", err)
			continue
		}
		all.templates[key{t.Account, t.Channel, t.Locale}] = custom
	}
	return all, nil
}
