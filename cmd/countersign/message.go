package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign/internal/config"
	"countersign/internal/deliver/gsm"
	"countersign/internal/deliver/tts"
	"countersign/internal/message"
	"countersign/internal/server"
	"countersign/internal/verify"
)

type messageCmd struct {
	Preview previewCmd `cmd:"" help:"Show the SMS and the spoken text of a language, and write the call as WAV."`
}

type previewCmd struct {
	configFlag
	outputFlags
	Lg       string        `help:"Language." placeholder:"LOCALE" xor:"what" required:""`
	All      bool          `help:"Print a table of all languages (Markdown) and write no WAV file." xor:"what" required:""`
	Payment  bool          `help:"Show the messages of a payment."`
	Brand    string        `help:"Brand, unless --payment is set. Default: ${default}." default:"Acme" placeholder:"BRAND"`
	PIN      string        `name:"pin" help:"PIN. Default: ${default}." default:"123456" placeholder:"PIN"`
	Payee    string        `help:"Payee of the payment. Default: ${default}." default:"Acme" placeholder:"PAYEE"`
	Amount   string        `help:"Amount of the payment in euros. Default: ${default}." default:"48.50" placeholder:"AMOUNT"`
	ValidFor time.Duration `help:"Validity of the PIN. Default: ${default}." default:"5m" placeholder:"DURATION"`
	Out      string        `help:"WAV file to write. Default: LOCALE.wav or LOCALE-payment.wav in the working directory." type:"path" placeholder:"FILE"`
}

// Run prints the messages and records the call.
func (c *previewCmd) Run(p *process) error {
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	messages, err := server.Messages(cfg)
	if err != nil {
		return err
	}
	if c.All {
		return c.table(p, messages)
	}
	kind, file := message.Verification, ".wav"
	if c.Payment {
		kind, file = message.Payment, "-payment.wav"
	}
	locale, err := localeOf(messages, kind, c.Lg)
	if err != nil {
		return err
	}
	in, err := c.input(kind, locale)
	if err != nil {
		return err
	}
	if c.Out == "" {
		c.Out = locale + file
	}
	return c.preview(p, cfg, messages, in)
}

// localesOf returns the locales of a kind: for verifications all, including locales that
// the v1 API refuses; for payments the locales that it accepts.
func localesOf(messages *message.Catalog, kind message.Kind) []string {
	if kind == message.Payment {
		return messages.Locales(kind)
	}
	return messages.All()
}

// localeOf returns the locale that --lg names, or the default for "".
func localeOf(messages *message.Catalog, kind message.Kind, lg string) (string, error) {
	known := localesOf(messages, kind)
	locale, _ := messages.Locale(kind, lg, message.Destination{})
	if !slices.Contains(known, locale) {
		return "", usagef("--lg: %q must be one of %s%s", lg, strings.Join(known, " "), message.LocaleHint(locale, known))
	}
	return locale, nil
}

// preview shows and records one message.
func (c *previewCmd) preview(p *process, cfg config.Config, messages *message.Catalog, in message.Input) error {
	speech := server.SpeechConfig(cfg.TTS, newLogger(p.stderr, logLevel("warn"), "text"))
	speech.Timeout = max(speech.Timeout, time.Minute) // no callee is waiting
	speaker, err := tts.New(speech)
	if err != nil {
		return err
	}
	script := messages.Call(in)
	sound, err := speaker.Speak(p.ctx, script)
	if err != nil {
		return err
	}
	if err := p.writeOut(c.Out, sound.WAV()); err != nil {
		return fmt.Errorf("--out: %w", err)
	}

	return c.report(p, messages, in, speaker, sound.Duration())
}

// preview is the JSON form of a preview.
type preview struct {
	SMS      string  `json:"sms"`
	Encoding string  `json:"encoding"`
	Segments int     `json:"segments"`
	Call     string  `json:"call"`
	Voice    string  `json:"voice"`
	Audio    string  `json:"audio"` // path of the file
	Seconds  float64 `json:"audio_seconds"`
}

func (c *previewCmd) report(p *process, messages *message.Catalog, in message.Input, speaker *tts.Speaker, length time.Duration) error {
	script := messages.Call(in)
	shown := preview{
		SMS: messages.SMS(in), Call: script.Words(), Voice: voiceOf(speaker, script.Locale), Audio: c.Out, Seconds: seconds(length),
	}
	shown.Encoding, shown.Segments = segmentsOf(shown.SMS)
	text := fmt.Sprintf("sms: %s\nencoding: %s\nsegments: %d\ncall: %s\nvoice: %s\naudio: %s (%s)\n",
		shown.SMS, shown.Encoding, shown.Segments, shown.Call, shown.Voice, shown.Audio, length.Round(100*time.Millisecond))
	what, name := "brand", in.Brand
	if in.Payment != nil {
		what, name = "payee", in.Payment.Payee
	}
	if warning := unicodeWarning(what, name); warning != "" {
		text += "warning: " + warning + "\n"
	}
	if speaker.Program() == "" {
		text += "espeak-ng is not installed, so the call speaks only \"your code\" and the PIN; install it to hear the full message\n"
	}
	return record[preview]{document: shown, text: text}.print(p, c.outputFlags)
}

// localeRow is the JSON form of the messages of a locale.
type localeRow struct {
	Kind     string `json:"kind"` // verification or payment
	Locale   string `json:"locale"`
	SMS      string `json:"sms"`
	Encoding string `json:"encoding"`
	Segments int    `json:"segments"`
	Call     string `json:"call"`
	Voice    string `json:"voice"`
}

// table prints the messages of verifications in all locales, then the messages of
// payments. The table form is Markdown.
func (c *previewCmd) table(p *process, messages *message.Catalog) error {
	speaker, err := tts.New(tts.Config{ClipsOnly: true})
	if err != nil {
		return err
	}
	var rows []localeRow
	for kind, name := range []string{message.Verification: "verification", message.Payment: "payment"} {
		for _, locale := range localesOf(messages, message.Kind(kind)) {
			in, err := c.input(message.Kind(kind), locale)
			if err != nil {
				return err
			}
			script := messages.Call(in)
			row := localeRow{Kind: name, Locale: locale, SMS: messages.SMS(in), Call: script.Words(), Voice: voiceOf(speaker, script.Locale)}
			row.Encoding, row.Segments = segmentsOf(row.SMS)
			rows = append(rows, row)
		}
	}
	if c.Output != "table" || p.quiet {
		return list[localeRow]{rows: rows, id: func(r localeRow) string { return r.Locale }}.print(p, c.outputFlags)
	}
	cell := strings.NewReplacer("|", `\|`)
	for i, r := range rows {
		if i == 0 || rows[i-1].Kind != r.Kind {
			p.printf("## %s\n\n| Locale | SMS | Encoding | Segments | Call | Voice |\n|---|---|---|---|---|---|\n", strings.ToUpper(r.Kind[:1])+r.Kind[1:])
		}
		p.printf("| `%s` | %s | %s | %d | %s | %s |\n", r.Locale, cell.Replace(r.SMS), r.Encoding, r.Segments, cell.Replace(r.Call), r.Voice)
		if i == len(rows)-1 || rows[i+1].Kind != r.Kind {
			p.printf("\n")
		}
	}
	return nil
}

// input returns the message that the flags describe.
func (c *previewCmd) input(kind message.Kind, locale string) (message.Input, error) {
	pin, ok := verify.ParsePIN(c.PIN)
	if !ok {
		return message.Input{}, usagef("--pin: must be 4 to 10 letters and digits")
	}
	if c.ValidFor < time.Minute || c.ValidFor > time.Hour {
		return message.Input{}, usagef("--valid-for: must be 1m to 60m")
	}
	in := message.Input{Locale: locale, PIN: pin, ValidFor: c.ValidFor}
	if kind == message.Verification {
		if err := message.CheckName(c.Brand); err != nil {
			return message.Input{}, usagef("--brand: %w", err)
		}
		in.Brand = c.Brand
		return in, nil
	}
	amount, ok := verify.ParseAmount(c.Amount)
	if !ok {
		return message.Input{}, usagef("--amount: %q is not an amount such as 48.50", c.Amount)
	}
	if err := message.CheckName(c.Payee); err != nil {
		return message.Input{}, usagef("--payee: %w", err)
	}
	in.Payment = &verify.Payment{Payee: c.Payee, Amount: amount}
	return in, nil
}

// segmentsOf returns the encoding and the number of segments of a text for a carrier that
// accepts the GSM default alphabet and UCS-2.
func segmentsOf(text string) (encoding string, segments int) {
	m, err := gsm.Encode(text, gsm.Options{}, 0)
	if err != nil {
		return err.Error(), 0
	}
	return m.Coding.Alphabet.String(), m.Segments
}

// unicodeWarning returns a warning about a name with a character outside the GSM
// alphabet; "" without one.
func unicodeWarning(what, name string) string {
	for _, r := range name {
		if encoding, _ := segmentsOf(string(r)); encoding != gsm.GSM7.String() {
			return fmt.Sprintf("%s %q has %q, which the GSM alphabet lacks: a segment of its SMS has 70 characters instead of 160", what, name, r)
		}
	}
	return ""
}

func voiceOf(speaker *tts.Speaker, locale string) string {
	name, remark := speaker.Voice(locale)
	if remark != "" {
		return name + " (" + remark + ")"
	}
	return name
}
