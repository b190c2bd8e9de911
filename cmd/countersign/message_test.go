package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/deliver/tts"
	"countersign/internal/deliver/tts/audio"
	"countersign/internal/message"
)

// TestMessagePreview checks that the output equals the server's messages and that the
// file is a playable call.
func TestMessagePreview(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.environ = append(in.environ, "COUNTERSIGN_TTS_ESPEAK=")
	for _, tt := range []struct {
		name string
		args []string
		want []string // lines
	}{
		{"GSM alphabet", []string{"--lg=en-US", "--pin=4711", "--brand=Shop|1", "--valid-for=1m"}, []string{
			"sms: Shop|1 code: 4711. Valid for 1 minute.", "encoding: GSM7", "segments: 1",
			"call: Please enter your Shop|1 activation code 4, 7, 1, 1, I repeat 4, 7, 1, 1, valid for the next 1 minute.", "voice: en-us",
		}},
		{"UCS-2", []string{"--lg=cs-cz"}, []string{"sms: Kód Acme: 123456. Platí 5 minut.", "encoding: UCS2", "segments: 1", "voice: cs"}},
		{"two segments", []string{"--lg=en-us", "--brand=" + strings.Repeat("🍕", 18)}, []string{"encoding: UCS2", "segments: 2"}},
		{"brand outside the GSM alphabet", []string{"--lg=de-de", "--brand=Čapek"}, []string{
			"encoding: UCS2", `warning: brand "Čapek" has 'Č', which the GSM alphabet lacks: a segment of its SMS has 70 characters instead of 160`,
		}},
		{"for later APIs", []string{"--lg=hr-hr"}, []string{"sms: Kod za Acme: 123456. Vrijedi 5 minuta.", "encoding: GSM7", "voice: hr"}},
		{"digits only", []string{"--lg=he-il"}, []string{"voice: he (digits only)"}},
		{"payment", []string{"--lg=de-de", "--payment", "--payee=Söhne", "--amount=1234.5"}, []string{
			"sms: Code 123456 bestätigt Ihre Zahlung von 1.234,50 € an Söhne. Gültig für 5 Minuten.", "encoding: GSM7", "voice: de",
		}},
		{"call in English", []string{"--lg=sl-si", "--payment"}, []string{"voice: en-gb"}},
		{"nearest", []string{"--lg=fil-ph"}, []string{"voice: es-419 (the nearest)"}},
	} {
		out := filepath.Join(in.dir, "call.wav")
		stdout := in.ok(append([]string{"message", "preview", "CONFIG", "--out=" + out}, tt.args...)...)
		for _, line := range append(tt.want, "audio: "+out+" (") {
			if !strings.Contains("\n"+stdout, "\n"+line) {
				t.Errorf("%s: line %q is missing in %q", tt.name, line, stdout)
			}
		}
		wav, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if sound, err := audio.ParseWAV(wav); err != nil || sound.Duration() < 5*time.Second || sound.Peak() == 0 {
			t.Errorf("%s: %v of sound, %v", tt.name, sound.Duration(), err)
		}
	}
}

func TestMessagePreviewRefuses(t *testing.T) {
	t.Parallel()
	in := install(t)
	preview := func(args ...string) []string { return append([]string{"message", "preview"}, args...) }
	in.fails(2, "--lg", preview()...)
	in.fails(2, "--all", preview("--lg=en-gb", "--all")...)
	in.fails(2, `--lg: "xx-xx"`, preview("--lg=xx-xx")...)
	in.fails(2, `did you mean fr-fr?`, preview("--lg=fr-fe")...)
	in.fails(2, `--lg: "he-il"`, preview("--lg=he-il", "--payment")...)
	in.fails(2, `--lg: "en-us"`, preview("--lg=en-us", "--payment")...)
	in.fails(2, "--pin: ", preview("--lg=en-gb", "--pin=123")...)
	in.fails(2, "--brand: ", preview("--lg=en-gb", "--brand=evil.com")...)
	in.fails(2, "--payee: ", preview("--lg=en-gb", "--payment", "--payee="+strings.Repeat("x", 19))...)
	in.fails(2, "--valid-for: ", preview("--lg=en-gb", "--valid-for=2h")...)
	in.fails(2, "--amount: ", preview("--lg=en-gb", "--payment", "--amount=1,50")...)
	in.fails(1, "--out: ", preview("--lg=en-gb", "--out="+filepath.Join(in.dir, "no/such.wav"))...)
}

// TestMessagePreviewAll checks that the table has a row for each locale of both lists.
func TestMessagePreviewAll(t *testing.T) {
	t.Parallel()
	stdout := install(t).ok("message", "preview", "--all", "--brand=A|B")
	verification, payment, _ := strings.Cut(stdout, "## Payment\n")
	for _, tt := range []struct{ title, table, row string }{
		{"verification", verification, "| `en-gb` | A\\|B code: 123456. Valid for 5 minutes. | GSM7 | 1 | Please enter your A\\|B activation code "},
		{"payment", payment, "| `en-gb` | Code 123456 confirms your payment of €48.50 to Acme. Valid for 5 minutes. | GSM7 | 1 | To confirm your payment "},
	} {
		if !strings.Contains(tt.table, "\n"+tt.row) {
			t.Errorf("%s: no row %q in\n%s", tt.title, tt.row, tt.table)
		}
	}
	if got, want := strings.Count(verification, "\n| `"), 69; got != want {
		t.Errorf("%d locales of verifications, want %d", got, want)
	}
	if got, want := strings.Count(payment, "\n| `"), 21; got != want {
		t.Errorf("%d locales of payments, want %d", got, want)
	}
}

// TestLocalesAreDocumented compares docs/reference/locales.md with the catalog.
func TestLocalesAreDocumented(t *testing.T) {
	t.Parallel()
	messages, err := message.New()
	if err != nil {
		t.Fatal(err)
	}
	speaker, err := tts.New(tts.Config{ClipsOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	countries := map[string][]string{}
	for _, kind := range []message.Kind{message.Verification, message.Payment} {
		for _, code := range messages.Countries() {
			locale, _ := messages.Locale(kind, "", message.Destination{Country: code})
			byDefault := kind == message.Payment && locale == "en-gb"
			if !byDefault && !slices.Contains(countries[locale], code) {
				countries[locale] = append(countries[locale], code)
			}
		}
	}
	for _, codes := range countries {
		slices.Sort(codes)
	}
	asked := map[string]string{}
	for _, locale := range messages.All() {
		asked[locale] = ""
	}
	for _, locale := range messages.Locales(message.Verification) {
		asked[locale] = "start"
	}
	for _, locale := range messages.Locales(message.Payment) {
		asked[locale] = strings.TrimPrefix(asked[locale]+", psd2", ", ")
	}
	var want []string
	for locale, where := range asked {
		in := message.Input{Locale: locale}
		want = append(want, strings.Join([]string{
			locale, where, voiceOf(speaker, messages.Call(in).Locale), strings.Join(countries[locale], " "),
		}, "; "))
	}
	var got []string
	for _, row := range rows(sections(t, "docs/reference/locales.md", "## ")["The locales"]) {
		got = append(got, strings.Join([]string{row[0], row[2], row[3], row[4]}, "; "))
	}
	compare(t, got, want)
}
