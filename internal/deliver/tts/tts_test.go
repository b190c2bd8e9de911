package tts_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"countersign/internal/deliver/tts"
	"countersign/internal/deliver/tts/audio"
	"countersign/internal/message"
	"countersign/internal/verify"
)

func newSpeaker(t *testing.T, cfg tts.Config) *tts.Speaker {
	t.Helper()
	s, err := tts.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// withEspeak returns a speaker with espeak-ng. It skips the test if that is not installed.
func withEspeak(t *testing.T) *tts.Speaker {
	t.Helper()
	s := newSpeaker(t, tts.Config{Timeout: time.Minute})
	if s.Program() == "" {
		t.Skip("espeak-ng is not on the PATH")
	}
	return s
}

func speak(t *testing.T, s *tts.Speaker, script message.Script) audio.Samples {
	t.Helper()
	sound, err := s.Speak(t.Context(), script)
	if err != nil {
		t.Fatal(err)
	}
	limit := tts.MaxDuration
	if script.Payment {
		limit = tts.MaxPaymentDuration
	}
	if got := sound.Duration(); got > limit {
		t.Errorf("got %v of sound, want at most %v", got, limit)
	}
	return sound
}

func clip(t *testing.T, set string, c rune) audio.Samples {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("clips", set, string(c)+".ulaw"))
	if err != nil {
		t.Fatal(err)
	}
	return audio.FromMuLaw(b)
}

// spelt returns the expected audio of a PIN: its clips, 800 ms from start to start, with
// at least 250 ms of silence after each.
func spelt(t *testing.T, set, pin string) audio.Samples {
	t.Helper()
	var s audio.Samples
	for _, c := range pin {
		sound := clip(t, set, c)
		s = slices.Concat(s, sound, audio.Silence(max(250*time.Millisecond, 800*time.Millisecond-sound.Duration())))
	}
	return s
}

// hurried returns the expected audio of a PIN in a shortened call.
func hurried(t *testing.T, set, pin string) audio.Samples {
	t.Helper()
	var s audio.Samples
	for _, c := range pin {
		s = slices.Concat(s, clip(t, set, c), audio.Silence(150*time.Millisecond))
	}
	return s
}

// yourCode returns the expected start of a call without spoken words.
func yourCode(t *testing.T, set string) audio.Samples {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("clips", set, "code.ulaw"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(audio.FromMuLaw(b), audio.Silence(300*time.Millisecond))
}

// count returns the number of occurrences of part in s.
func count(s, part audio.Samples) (n int) {
	for i := 0; i+len(part) <= len(s); i++ {
		if slices.Equal(s[i:i+len(part)], part) {
			n++
		}
	}
	return n
}

func call(t *testing.T, locale, brand, code string) message.Script {
	t.Helper()
	c, err := message.New()
	if err != nil {
		t.Fatal(err)
	}
	pin, ok := verify.ParsePIN(code)
	if !ok {
		t.Fatalf("%q is not a PIN", code)
	}
	return c.Call(message.Input{Locale: locale, Brand: brand, PIN: pin, ValidFor: 5 * time.Minute})
}

func TestClips(t *testing.T) {
	t.Parallel()
	const digits, letters = "0123456789", "abcdefghijklmnopqrstuvwxyz"
	sets, err := os.ReadDir("clips")
	if err != nil {
		t.Fatal(err)
	}
	if len(sets) < 63 {
		t.Errorf("%d sets of clips, want 63", len(sets))
	}
	for _, dir := range sets {
		set, characters := dir.Name(), digits
		if set == "en" {
			characters += letters
		}
		seen := map[string]rune{}
		for _, c := range characters {
			s := clip(t, set, c)
			if d := s.Duration(); d < 150*time.Millisecond || d > 1200*time.Millisecond {
				t.Errorf("%s %c: %v long, want 150 ms to 1.2 s", set, c, d)
			}
			if db := 20 * math.Log10(s.RMS()); db < -23 || db > -17 {
				t.Errorf("%s %c: loudness %.1f dB, want -23 to -17", set, c, db)
			}
			if s.Peak() > 0.95 {
				t.Errorf("%s %c: peak %.2f, want no clipping", set, c, s.Peak())
			}
			sound := fmt.Sprint(s)
			if other, ok := seen[sound]; ok {
				t.Errorf("%s: %c and %c sound the same", set, other, c)
			}
			seen[sound] = c
		}
	}
}

func TestSpeakFromClips(t *testing.T) {
	t.Parallel()
	s := newSpeaker(t, tts.Config{ClipsOnly: true})
	if got := s.Program(); got != "" {
		t.Errorf("espeak-ng: got %q, want none", got)
	}
	for _, tt := range []struct{ locale, pin, set, code string }{
		{"en-us", "0123456789", "en", ""},
		{"en-gb", "4711", "en", ""},
		{"en-gb", "aB3z", "en", ""},
		{"fr-ca", "2468", "fr", ""},
		{"de-de", "13579", "de", ""},
		{"es-mx", "8080", "es", ""},
		{"ko-kr", "90210", "ko", ""},
		{"yue-cn", "31415", "yue", ""},
		{"zh-cn", "11653", "cmn", ""},
		{"zh-tw", "11653", "cmn-tw", ""},
		{"th-th", "92653", "th", "en"},
		{"he-il", "92653", "he", "en"},
		{"pt-br", "58979", "pt-br", ""},
		{"xx-xx", "1234", "en", ""},
	} {
		got := speak(t, s, message.Script{Locale: tt.locale, Parts: []message.Part{
			{Pause: time.Second}, {Text: "Your code is"}, {Spell: tt.pin}, {Text: ", I repeat"}, {Spell: tt.pin},
		}})
		pin, pause := spelt(t, tt.set, strings.ToLower(tt.pin)), audio.Silence(700*time.Millisecond)
		want := slices.Concat(audio.Silence(time.Second), yourCode(t, cmp.Or(tt.code, tt.set)), pin, pause, pin)
		if !slices.Equal(got, want) {
			t.Errorf("%s, PIN %s: got %v of other sound, want %v", tt.locale, tt.pin, got.Duration(), want.Duration())
		}
	}
}

func TestSpeakWords(t *testing.T) {
	t.Parallel()
	s := withEspeak(t)
	for locale, set := range map[string]string{
		"en-us": "en", "en-gb": "en", "en-au": "en", "fr-fr": "fr", "de-de": "de", "es-es": "es-es", "es-us": "es", "ko-kr": "ko",
	} {
		script := call(t, locale, "Acme", "4071")
		got := speak(t, s, script)
		if n := count(got, spelt(t, set, "4071")); n != 2 {
			t.Errorf("%s: PIN found %d times, want 2", locale, n)
		}
		bare := speak(t, newSpeaker(t, tts.Config{ClipsOnly: true}), script)
		if extra := got.Duration() - bare.Duration(); extra < 2*time.Second {
			t.Errorf("%s: words take %v more than pauses, want at least 2 s", locale, extra)
		}
		if got.Peak() > 0.95 {
			t.Errorf("%s: peak %.2f, want no clipping", locale, got.Peak())
		}
		if again := speak(t, s, script); !slices.Equal(again, got) {
			t.Errorf("%s: sounds different the second time", locale)
		}
	}
}

func TestEveryLocaleHasAVoice(t *testing.T) {
	t.Parallel()
	c, err := message.New()
	if err != nil {
		t.Fatal(err)
	}
	locales := c.All()
	table, err := os.ReadFile("voices.txt")
	if err != nil {
		t.Fatal(err)
	}
	fromClips := newSpeaker(t, tts.Config{ClipsOnly: true})
	for _, locale := range locales {
		if !strings.Contains(string(table), "\n"+locale+" ") {
			t.Errorf("%s has no voice", locale)
		}
		row := regexp.MustCompile(`(?m)^` + locale + ` +\S+ +(\S+)`).FindStringSubmatch(string(table))
		if row == nil {
			t.Errorf("%s has no clips", locale)
			continue
		}
		pin := speak(t, fromClips, message.Script{Locale: locale, Parts: []message.Part{{Spell: "0123456789"}}})
		if !slices.Equal(pin, spelt(t, row[1], "0123456789")) {
			t.Errorf("%s does not spell with the clips of %s", locale, row[1])
		}
	}
	speaker := withEspeak(t)
	for _, locale := range locales {
		// Words are silent if espeak-ng lacks the voice.
		got := speak(t, speaker, message.Script{Locale: locale, Parts: []message.Part{{Text: "123"}}})
		if _, remark := speaker.Voice(locale); (got.Peak() == 0) != (remark == "digits only") {
			t.Errorf("%s (%s): peak %.2f", locale, remark, got.Peak())
		}
	}
}

// TestEveryLocaleIsSpoken: the longest calls, with names that voices spell, are within
// their limit, and contain code, brand, payee and amount. A voice without the script of its
// language names each letter, which takes too long.
func TestEveryLocaleIsSpoken(t *testing.T) {
	t.Parallel()
	speaker := withEspeak(t)
	c, err := message.New()
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"Deutsche Kreditbnk", "Wwwwww Wwwww Wwwww"}
	for n, locale := range c.All() {
		if n%everyLocale != 0 {
			continue
		}
		t.Run(locale, func(t *testing.T) {
			t.Parallel()
			for i, name := range names {
				for _, code := range []string{"777777", "7777777777"} {
					pin, _ := verify.ParsePIN(code)
					checkSpoken(t, speaker, c, message.Input{Locale: locale, PIN: pin, ValidFor: 57 * time.Minute, Brand: name}, name)
					if i == 1 && slices.Contains(c.Locales(message.Payment), locale) {
						pay := &verify.Payment{Payee: name, Amount: "9999.77"}
						checkSpoken(t, speaker, c, message.Input{Locale: locale, PIN: pin, ValidFor: 57 * time.Minute, Payment: pay}, name)
					}
				}
			}
		})
	}
}

func checkSpoken(t *testing.T, speaker *tts.Speaker, c *message.Catalog, in message.Input, name string) {
	t.Helper()
	script := c.Call(in)
	sound, spoken, err := speaker.Announce(t.Context(), script)
	if err != nil {
		t.Fatal(err)
	}
	limit, want := tts.MaxDuration, []string{name, strings.Join(strings.Split(in.PIN.Reveal(), ""), ", ")}
	if in.Payment != nil {
		limit = tts.MaxPaymentDuration
		want = append(want, "9999", "77")
	}
	words := spoken.Words()
	for _, w := range want {
		if !strings.Contains(words, w) {
			t.Errorf("%s: the text %q lacks %q", in.Locale, words, w)
		}
	}
	if sound.Duration() > limit {
		t.Errorf("%s: %v, want at most %v: %q", in.Locale, sound.Duration(), limit, words)
	}
}

func TestVoice(t *testing.T) {
	t.Parallel()
	espeak := newSpeaker(t, tts.Config{ClipsOnly: true})
	command := newSpeaker(t, tts.Config{Command: []string{"/bin/sh"}, Voices: map[string]string{"en-au": "kylie", "eu-fr": "basque"}})
	for _, tt := range []struct {
		speaker *tts.Speaker
		locale  string
		want    string
		remark  string
	}{
		{espeak, "de-de", "de", ""},
		{espeak, "en-au", "en-gb", "the nearest"},
		{espeak, "fil-ph", "es-419", "the nearest"},
		{espeak, "th-th", "th", "digits only"},
		{espeak, "xx-xx", "en-us", ""},
		{espeak, "", "en-us", ""},
		{espeak, "de-at", "de", "the nearest"},
		{command, "eu-es", "eu-es", ""},
		{command, "eu-fr", "basque", ""},
		{command, "", "en-us", ""},
		{command, "en-au", "kylie", ""},
		{command, "th-th", "th-th", ""},
		{command, "fil-ph", "fil-ph", ""},
	} {
		if got, remark := tt.speaker.Voice(tt.locale); got != tt.want || remark != tt.remark {
			t.Errorf("%s: got %s, %q; want %s, %q", tt.locale, got, remark, tt.want, tt.remark)
		}
	}
}

// TestTextIsOnlyText: options, phonemes, commands and markup of espeak-ng in a text have
// no effect.
func TestTextIsOnlyText(t *testing.T) {
	t.Parallel()
	s := withEspeak(t)
	text := func(text string) audio.Samples {
		return speak(t, s, message.Script{Locale: "en-gb", Parts: []message.Part{{Text: text}}})
	}
	for _, tt := range []struct{ name, text, like string }{
		{"option", "--help", "help"},
		{"phonemes", "[[h@'loU]]", "  h@'loU  "},
		{"command", "\x0150P hello", " 50P hello"},
		{"line break", "hello\x00\nworld", "hello  world"},
	} {
		got, want := text(tt.text), text(tt.like)
		if got.Peak() == 0 || !slices.Equal(got, want) {
			t.Errorf("%s: %v of sound is not %v of %q", tt.name, got.Duration(), want.Duration(), tt.like)
		}
	}
	// espeak-ng would speak a danda without a preceding word: "purn viram".
	hindi := func(text string) audio.Samples {
		return speak(t, s, message.Script{Locale: "hi-in", Parts: []message.Part{{Text: text}}})
	}
	if got, want := hindi("। यह कोड"), hindi("यह कोड"); got.Peak() == 0 || !slices.Equal(got, want) {
		t.Errorf("punctuation at the beginning: %v of sound is not the %v without", got.Duration(), want.Duration())
	}
	for _, markup := range []string{"Acme<break time='9s'/>", "<speak><prosody rate='x-slow'>Acme</prosody></speak>", "&lt;break&gt;"} {
		if got := text(markup).Duration(); got > 6*time.Second {
			t.Errorf("%s takes %v", markup, got)
		}
	}
	if got := text(" . ,").Peak(); got != 0 {
		t.Errorf("punctuation alone: got a peak of %v, want silence", got)
	}
}

func TestAnnouncementIsBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("nine hundred ", 40)
	endless := strings.Repeat("nine hundred ", 10_000)
	pin := message.Part{Spell: "1234567890"}
	for _, tt := range []struct {
		name  string
		parts []message.Part
		pins  int
	}{
		{"long name", []message.Part{{Text: long}, pin, {Text: long}, pin}, 2},
		{"endless name", []message.Part{{Text: endless}, pin, {Text: "again"}, pin}, 2},
		{"long pause", []message.Part{{Pause: time.Hour}, pin, {Pause: time.Hour}, pin}, 2},
		{"many repetitions", slices.Repeat([]message.Part{pin, {Text: "again"}}, 20), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSpeaker(t, tts.Config{Timeout: time.Minute})
			sound := speak(t, s, message.Script{Locale: "en-us", Parts: tt.parts})
			got := count(sound, spelt(t, "en", pin.Spell)) + count(sound, hurried(t, "en", pin.Spell))
			if got != tt.pins {
				t.Errorf("PIN found %d times, want %d", got, tt.pins)
			}
		})
	}
}

// TestPaymentKeepsItsCode: words beyond the limit, such as a spelt payee, precede the
// code.
func TestPaymentKeepsItsCode(t *testing.T) {
	t.Parallel()
	pin := message.Part{Spell: "1234567890"}
	script := message.Script{Locale: "en-us", Payment: true, Parts: []message.Part{
		{Pause: time.Second}, {Text: strings.Repeat("nine hundred ", 60)}, pin, {Text: "I repeat"}, pin, {Text: "valid"},
	}}
	sound, spoken, err := withEspeak(t).Announce(t.Context(), script)
	if err != nil {
		t.Fatal(err)
	}
	if sound.Duration() < tts.MaxPaymentDuration {
		t.Fatalf("the words take %v, want more than the limit", sound.Duration())
	}
	if n := count(sound, hurried(t, "en", pin.Spell)); n != 1 || !strings.Contains(spoken.Words(), "nine hundred") {
		t.Errorf("PIN found %d times in %q, want words and PIN once", n, spoken.Words())
	}
}

// TestSpeakWithoutHelp: the PIN is spoken in spite of any failure of espeak-ng.
func TestSpeakWithoutHelp(t *testing.T) {
	t.Parallel()
	for name, program := range map[string]string{
		"fails":          "exit 1",
		"is killed":      "kill -9 $$",
		"hangs":          "exec /bin/sleep 600",
		"writes no WAV":  "echo sorry",
		"writes forever": "while :; do echo 0123456789012345678901234567890123456789; done",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "espeak-ng")
			writeProgram(t, path, program)
			s := newSpeaker(t, tts.Config{Espeak: path, Timeout: 200 * time.Millisecond})
			script := call(t, "fr-fr", "Acme", "7b13")
			got := speak(t, s, script)
			want := speak(t, newSpeaker(t, tts.Config{ClipsOnly: true}), script)
			if !slices.Equal(got, want) {
				t.Errorf("got %v of sound, want the %v of the clips", got.Duration(), want.Duration())
			}
		})
	}
}

// writeProgram writes a shell script. The lock prevents a fork during the write: a child
// would inherit the open file, and the kernel does not execute a file open for writing.
func writeProgram(t *testing.T, path, script string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// recorder returns a fake espeak-ng and the texts that it received. The fake fails if
// two instances run concurrently.
func recorder(t *testing.T) (path string, heard func() []string) {
	t.Helper()
	dir := t.TempDir()
	path = filepath.Join(dir, "espeak-ng")
	sound := audio.Samples(slices.Repeat([]int16{4000, -4000}, 400)).WAV()
	writeProgram(t, path, `cd '`+dir+`'
/bin/mkdir running || exit 1
(/bin/cat; echo) >> heard
/bin/cat sound.wav
/bin/rmdir running`)
	if err := os.WriteFile(filepath.Join(dir, "sound.wav"), sound, 0o644); err != nil {
		t.Fatal(err)
	}
	return path, func() []string {
		b, err := os.ReadFile(filepath.Join(dir, "heard"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	}
}

func TestPINStaysInTheProcess(t *testing.T) {
	t.Parallel()
	path, heard := recorder(t)
	s := newSpeaker(t, tts.Config{Espeak: path, Timeout: time.Minute})
	// French has no clips of letters, so espeak-ng speaks them, one by one.
	speak(t, s, message.Script{Locale: "fr-fr", Parts: []message.Part{{Text: "Code"}, {Spell: "7a1b9"}, {Text: "fin"}}})
	if got, want := heard(), []string{"Code", "a", "b", "fin"}; !slices.Equal(got, want) {
		t.Errorf("espeak-ng received %q, want %q", got, want)
	}
}

// TestLettersOfDigitsOnlyVoices: a voice with unintelligible words spells no letters.
func TestLettersOfDigitsOnlyVoices(t *testing.T) {
	t.Parallel()
	script := message.Script{Locale: "th-th", Parts: []message.Part{{Spell: "ab"}}}
	if got := speak(t, withEspeak(t), script); !slices.Equal(got, spelt(t, "en", "ab")) {
		t.Errorf("%v of sound is not the English letters", got.Duration())
	}
}

func TestSentencesAreCached(t *testing.T) {
	t.Parallel()
	path, heard := recorder(t)
	const sentence = 2*800 + 256 // bytes, with overhead
	s := newSpeaker(t, tts.Config{Espeak: path, Timeout: time.Minute, CacheBytes: 2 * sentence})
	for _, text := range []string{"one", "two", "one", "three", "one", "two"} { // "three" evicts "two"
		speak(t, s, message.Script{Locale: "en-gb", Parts: []message.Part{{Text: text}}})
	}
	if got, want := heard(), []string{"one", "two", "three", "two"}; !slices.Equal(got, want) {
		t.Errorf("espeak-ng received %q, want %q", got, want)
	}
}

func TestProcessesAreBounded(t *testing.T) {
	t.Parallel()
	path, heard := recorder(t)
	s := newSpeaker(t, tts.Config{Espeak: path, Timeout: time.Minute, Processes: 1})
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			sound, err := s.Speak(t.Context(), message.Script{Parts: []message.Part{{Text: fmt.Sprint("sentence ", i)}}})
			if err != nil || sound.Peak() == 0 {
				t.Errorf("sentence %d: got silence and error %v, want it spoken after the others", i, err)
			}
		})
	}
	wg.Wait()
	if got, want := len(heard()), 10; got != want {
		t.Errorf("%d processes, want %d", got, want)
	}
}

// TestSpokenOnce: concurrent calls with the same text share one process.
func TestSpokenOnce(t *testing.T) {
	t.Parallel()
	path, heard := recorder(t)
	s := newSpeaker(t, tts.Config{Espeak: path, Timeout: time.Minute})
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if sound := speak(t, s, message.Script{Locale: "en-gb", Parts: []message.Part{{Text: "hello"}}}); sound.Peak() == 0 {
				t.Error("got silence")
			}
		})
	}
	wg.Wait()
	if got := heard(); len(got) != 1 {
		t.Errorf("espeak-ng received %q, want one text", got)
	}
}

// TestCommand: the operator's program speaks the words with the configured voices; codes
// are still played from clips.
func TestCommand(t *testing.T) {
	t.Parallel()
	path, heard := recorder(t)
	speaks := filepath.Join(t.TempDir(), "speak")
	writeProgram(t, speaks, `(echo "$1 $2: $(/bin/cat)") | '`+path+`'`)
	s := newSpeaker(t, tts.Config{
		Command: []string{speaks, "{voice}.onnx", "{locale}"},
		Voices:  map[string]string{"de-de": "thorsten"},
		Timeout: time.Minute,
	})
	if got := s.Program(); got != speaks {
		t.Errorf("program %s", got)
	}
	for _, locale := range []string{"de-de", "fr-fr"} {
		sound := speak(t, s, message.Script{Locale: locale, Parts: []message.Part{{Text: "Code"}, {Spell: "12"}}})
		if count(sound, spelt(t, locale[:2], "12")) != 1 {
			t.Errorf("%s: the code is missing", locale)
		}
	}
	if got, want := slices.DeleteFunc(heard(), func(s string) bool { return s == "" }),
		[]string{"thorsten.onnx de-de: Code", "fr-fr.onnx fr-fr: Code"}; !slices.Equal(got, want) {
		t.Errorf("the program received %q, want %q", got, want)
	}
	if _, err := tts.New(tts.Config{Command: []string{filepath.Join(t.TempDir(), "none")}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing program: %v", err)
	}
}

func TestSpeakEndsWithContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newSpeaker(t, tts.Config{}).Speak(ctx, call(t, "en-us", "Acme", "1234"))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestUnspeakablePIN(t *testing.T) {
	t.Parallel()
	_, err := newSpeaker(t, tts.Config{}).Speak(t.Context(), message.Script{Parts: []message.Part{{Spell: "12-34"}}})
	if !errors.Is(err, tts.ErrUnspeakable) {
		t.Errorf("got %v, want %v", err, tts.ErrUnspeakable)
	}
}

func TestNewRefusesMissingEspeak(t *testing.T) {
	t.Parallel()
	_, err := tts.New(tts.Config{Espeak: filepath.Join(t.TempDir(), "espeak-ng")})
	if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("got %v, want an error for a missing file", err)
	}
}
