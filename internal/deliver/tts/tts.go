// Package tts turns the script of a call into sound.
//
// Words are spoken by a program, espeak-ng or the operator's own, if there is one.
// PINs are put together from recorded clips that are part of the binary, so that a
// call can always be made: on a bare machine, or when the program fails or is late,
// the words are left out and the PIN is still said. A PIN of digits never leaves
// the process.
//
// The package must not know who is called, nor how sound travels.
package tts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"slices"
	"time"

	"golang.org/x/sync/singleflight"

	"countersign/internal/deliver/tts/audio"
	"countersign/internal/deliver/tts/internal/speech"
	"countersign/internal/message"
)

//go:generate go run ./internal/mkclips -dir clips

// The longest announcements. One that would be longer is shortened, see [brevity].
const (
	MaxDuration        = 30 * time.Second
	MaxPaymentDuration = 40 * time.Second // payee and amount are part of it
)

const (
	afterText     = 300 * time.Millisecond // lets the listener notice that a PIN begins
	insteadOfText = 700 * time.Millisecond // keeps the PIN apart from its repetition

	// A listener needs the same time for each character, however short its clip is.
	characterPace  = 800 * time.Millisecond // from start to start, at least
	afterCharacter = 250 * time.Millisecond // at least
	briefPause     = 150 * time.Millisecond // in an announcement that would be too long
)

// ErrUnspeakable means that a script has a PIN that can be spoken neither by
// a program nor from clips. A call without it would be worth nothing.
var ErrUnspeakable = errors.New("tts: no way to speak the PIN")

// Config is how a [Speaker] works. Its zero value is fit for use.
type Config struct {
	// Espeak is the path of espeak-ng; "" looks for it on the PATH, and makes do
	// with clips if it is not there.
	Espeak    string
	ClipsOnly bool // never start a program

	// Command, if not empty, speaks in the place of espeak-ng: a program and its
	// arguments, in which "{voice}" and "{locale}" are filled in. It reads text in
	// UTF-8 from standard input and writes WAV to standard output.
	Command []string
	Voices  map[string]string // by locale, as Command calls them; otherwise the locale

	// Digits are variants of digits by locale, such as "meia" for pt-br. The empty map
	// has the usual digits of each.
	Digits map[string]string

	Timeout   time.Duration // for all the words of one announcement; 0 is 3 s
	Processes int           // most processes at a time; 0 is 4
	Memory    uint64        // address space of each, in bytes; 0 is 1 GiB

	// CacheBytes bounds the sound that is kept in memory; 0 is 8 MiB, some three
	// hundred sentences. Sentences are kept without the PIN.
	CacheBytes int

	// Recordings finds the sound of a [message.Part] by its id, as G.711 μ-law; nil if
	// there are none.
	Recordings func(ctx context.Context, id string) ([]byte, error)

	Logger *slog.Logger // hears of failures of the program; nil for silence
}

// Speaker speaks scripts. It may be used by many goroutines.
type Speaker struct {
	program   *speech.Program // nil to speak from clips alone
	timeout   time.Duration
	processes chan struct{} // holds one token for each running process
	cache     *cache
	flights   singleflight.Group // of what is being spoken, so that it is spoken once
	voices    map[string]voice   // by locale
	command   bool               // program is the operator's, so its voices go by names
	names     map[string]string  // of the voices of a command, by locale
	recorded  func(ctx context.Context, id string) ([]byte, error)
	logger    *slog.Logger
}

// New makes a Speaker. It fails if a program is configured that is not there.
func New(cfg Config) (*Speaker, error) {
	voices, err := loadVoices()
	if err != nil {
		return nil, fmt.Errorf("tts: voices: %w", err)
	}
	if err := chooseDigits(voices, cfg.Digits); err != nil {
		return nil, fmt.Errorf("tts: digits: %w", err)
	}
	s := &Speaker{
		timeout:   orDefault(cfg.Timeout, 3*time.Second),
		processes: make(chan struct{}, orDefault(cfg.Processes, 4)),
		cache:     newCache(orDefault(cfg.CacheBytes, 8<<20)),
		voices:    voices,
		recorded:  cfg.Recordings,
		logger:    cfg.Logger,
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if cfg.ClipsOnly {
		return s, nil
	}
	s.command, s.names = len(cfg.Command) > 0, cfg.Voices
	s.program, err = cfg.program()
	return s, err
}

// program finds what speaks; nil if nothing was named and espeak-ng is not there.
func (cfg *Config) program() (*speech.Program, error) {
	memory := orDefault(cfg.Memory, 1<<30)
	if len(cfg.Command) > 0 {
		path, err := exec.LookPath(cfg.Command[0])
		if err != nil {
			return nil, fmt.Errorf("tts: command: %w", err)
		}
		return &speech.Program{Path: path, Args: cfg.Command[1:], Memory: memory}, nil
	}
	path, err := exec.LookPath(orDefault(cfg.Espeak, "espeak-ng"))
	if err != nil {
		if cfg.Espeak != "" {
			return nil, fmt.Errorf("tts: espeak-ng: %w", err)
		}
		return nil, nil //nolint:nilnil // calls can be made without
	}
	program := speech.Espeak(path, memory)
	return &program, nil
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Program is the path of the program that speaks, or "" if there is none and only
// PINs are spoken.
func (s *Speaker) Program() string {
	if s.program == nil {
		return ""
	}
	return s.program.Path
}

// brevity is how much of a script is left out. Each level but the last leaves out
// what those before it do. The PIN, and payee and amount of a payment, stay.
type brevity int

const (
	whole         brevity = iota
	noLife                // the words after the last PIN: how long it is valid
	noGreeting            // the first sentence
	noLead                // the pause before the first words
	shortPauses           // other pauses are briefPause
	once                  // the repetition
	withoutWords          // the words instead of the repetition; not in a payment
	brevityLevels         // their number
)

// Speak speaks a script. Words that cannot be spoken become the recorded words "your
// code" before a PIN, and a pause elsewhere. An announcement beyond [MaxDuration], or
// [MaxPaymentDuration], is shortened, but not below payee, amount and PIN. The error
// is [ErrUnspeakable], or that of ctx.
func (s *Speaker) Speak(ctx context.Context, script message.Script) (audio.Samples, error) {
	sound, _, err := s.Announce(ctx, script)
	return sound, err
}

// Announce is [Speaker.Speak]. It also returns the script as it is spoken, which is
// shorter than script if the announcement would be too long.
func (s *Speaker) Announce(ctx context.Context, script message.Script) (audio.Samples, message.Script, error) {
	v := s.voice(script.Locale)
	wordsCtx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()

	limit, levels := MaxDuration, brevityLevels
	if script.Payment {
		limit, levels = MaxPaymentDuration, withoutWords
	}
	var pieces []audio.Samples
	spoken := script
	for level := whole; level < levels; level++ {
		spoken.Parts = shorten(script.Parts, level)
		var err error
		if pieces, err = s.render(wordsCtx, v, spoken.Parts, level); err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, spoken, err
		}
		if duration(pieces) <= limit {
			return slices.Concat(pieces...), spoken, nil
		}
	}
	// A payee that is spelt letter by letter can be that long, or an operator's text. What
	// precedes the code stays, because a payer must hear it.
	for needed := slices.IndexFunc(spoken.Parts, isPIN) + 1; duration(pieces) > limit && len(pieces) > max(1, needed); {
		pieces = pieces[:len(pieces)-1] // ends in whole PINs, not in half a digit
		spoken.Parts = spoken.Parts[:len(pieces)]
	}
	return slices.Concat(pieces...), spoken, nil
}

func isPIN(p message.Part) bool { return p.Spell != "" }

// shorten returns the parts of a script that a level leaves.
func shorten(parts []message.Part, level brevity) []message.Part {
	first := slices.IndexFunc(parts, isPIN)
	if first < 0 {
		return parts
	}
	last := first
	for i, p := range parts {
		if isPIN(p) {
			last = i
		}
	}
	switch {
	case level == once:
		parts = parts[:first+1]
	case level >= noLife:
		parts = parts[:last+1]
	}
	short := slices.Clone(parts)
	for i, p := range short {
		switch {
		case p.Text != "" && level == withoutWords && i < first:
			short[i] = message.Part{Recording: codeClip}
		case p.Text != "" && level == withoutWords:
			short[i] = message.Part{Pause: briefPause}
		case p.Brief != "" && level >= noGreeting:
			short[i].Text = p.Brief
		case p.Pause > 0 && (level >= shortPauses || level >= noLead && i == 0):
			short[i].Pause = min(p.Pause, briefPause)
		}
	}
	return short
}

// render speaks parts. A PIN comes after words, or after the recorded "your code" if
// these cannot be spoken.
func (s *Speaker) render(ctx context.Context, v voice, parts []message.Part, level brevity) ([]audio.Samples, error) {
	pieces := make([]audio.Samples, 0, len(parts)+1)
	named := false // a PIN was said or announced
	for i, p := range parts {
		switch {
		case p.Spell != "":
			spelt, err := s.spell(ctx, v, p, level)
			if err != nil {
				return nil, err
			}
			pieces = append(pieces, spelt)
			named = true
		case p.Recording == codeClip:
			pieces = append(pieces, v.yourCode())
		case p.Recording != "":
			pieces = append(pieces, s.recording(ctx, p.Recording))
			named = true
		case p.Text != "":
			sound, ok := s.words(ctx, v, p.Text)
			switch {
			case ok:
			case !named && i+1 < len(parts) && parts[i+1].Spell != "":
				sound = v.yourCode()
			default:
				sound = audio.Silence(insteadOfText)
			}
			pieces = append(pieces, sound)
		default:
			pieces = append(pieces, audio.Silence(min(p.Pause, MaxDuration)))
		}
	}
	return pieces, nil
}

func duration(pieces []audio.Samples) (sum time.Duration) {
	for _, p := range pieces {
		sum += p.Duration()
	}
	return sum
}

// words speaks text; false if that fails, or if the voice has digits only.
func (s *Speaker) words(ctx context.Context, v voice, text string) (audio.Samples, bool) {
	if v.digitsOnly {
		return nil, false
	}
	spoken, err := s.say(ctx, v.program, text)
	if err != nil {
		return nil, false
	}
	return slices.Concat(spoken, audio.Silence(afterText)), true
}

// recording finds a sound by its id. One that cannot be had is silence: the PIN is
// what the call is for.
func (s *Speaker) recording(ctx context.Context, id string) audio.Samples {
	if s.recorded == nil {
		return nil
	}
	key := keyOf(speech.Voice{Name: "recording"}, id)
	if sound, ok := s.cache.get(key); ok {
		return sound
	}
	b, err := s.recorded(ctx, id)
	if err != nil {
		s.logger.Warn("a recording is left out of a call", "recording", id, "err", err)
		return nil
	}
	sound := audio.FromMuLaw(b)
	s.cache.put(key, sound)
	return sound
}

// spell speaks a PIN character by character: from recordings, else from the clips of
// the voice, else by the program if its words are intelligible, else from English clips.
// Each character is a request of its own, so neither the program nor the cache ever
// holds a PIN.
func (s *Speaker) spell(ctx context.Context, v voice, p message.Part, level brevity) (audio.Samples, error) {
	var spelt audio.Samples
	for _, c := range p.Spell {
		var sound audio.Samples
		if p.Digits != nil && c >= '0' && c <= '9' {
			sound = s.recording(ctx, p.Digits[c-'0'])
		}
		if sound == nil {
			sound = clip(v.clips, c)
		}
		if sound == nil && !v.digitsOnly {
			sound, _ = s.say(ctx, v.program, string(c))
		}
		if sound == nil {
			sound = clip(englishClips, c)
		}
		if sound == nil {
			return nil, ErrUnspeakable
		}
		spelt = append(spelt, sound...)
		pause := max(afterCharacter, characterPace-sound.Duration())
		if level >= shortPauses {
			pause = briefPause
		}
		spelt = append(spelt, audio.Silence(pause)...)
	}
	return spelt, nil
}

var errNoProgram = errors.New("tts: no program to speak words is installed")

// say has text spoken by the program, once for all who ask for it meanwhile. The
// result is shared: it must not be changed.
func (s *Speaker) say(ctx context.Context, voice speech.Voice, text string) (audio.Samples, error) {
	if s.program == nil {
		return nil, errNoProgram
	}
	key := keyOf(voice, text)
	if sound, ok := s.cache.get(key); ok {
		return sound, nil
	}
	flight := s.flights.DoChan(string(key[:]), func() (any, error) {
		// The others may still wait when the first has given up.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
		defer cancel()
		return s.start(ctx, key, voice, text)
	})
	select {
	case r := <-flight:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(audio.Samples), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// start runs the program when it is its turn, and keeps what it says. A failure is
// reported without the text, which may be part of a PIN.
func (s *Speaker) start(ctx context.Context, key key, voice speech.Voice, text string) (sound audio.Samples, err error) {
	defer func() {
		if err != nil {
			s.logger.Warn("text-to-speech failed, words are left out of a call", "program", s.program.Path, "voice", voice.Name, "err", err)
		}
	}()
	select {
	case s.processes <- struct{}{}:
		defer func() { <-s.processes }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if sound, err = s.program.Say(ctx, voice, text); err != nil {
		return nil, err
	}
	s.cache.put(key, sound)
	return sound, nil
}
