// Package tts turns the script of a call into sound.
//
// Words are spoken by espeak-ng, if it is installed. PINs are put together from
// recorded clips that are part of the binary, so that a call can always be made:
// on a bare machine, or when espeak-ng fails or is late, the words are left out
// and the PIN is still said. A PIN of digits never leaves the process.
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

	"countersign/internal/deliver/tts/audio"
	"countersign/internal/deliver/tts/internal/espeak"
	"countersign/internal/message"
)

//go:generate go run ./internal/mkclips -dir clips

// MaxDuration bounds an announcement. One that would be longer is said without
// its words, and then, if need be, without its last parts.
const MaxDuration = 30 * time.Second

const (
	afterText      = 300 * time.Millisecond // lets the listener notice that a PIN begins
	afterCharacter = 250 * time.Millisecond // lets the listener write it down
	insteadOfText  = 700 * time.Millisecond // keeps the PIN apart from its repetition
)

// ErrUnspeakable means that a script has a PIN that can be spoken neither by
// espeak-ng nor from clips. A call without it would be worth nothing.
var ErrUnspeakable = errors.New("tts: no way to speak the PIN")

// Config is how a [Speaker] works. Its zero value is fit for use.
type Config struct {
	// Espeak is the path of espeak-ng; "" looks for it on the PATH, and makes do
	// with clips if it is not there.
	Espeak    string
	ClipsOnly bool // never use espeak-ng

	Timeout   time.Duration // for all the words of one announcement; 0 is 3 s
	Processes int           // most espeak-ng processes at a time; 0 is 4

	// CacheBytes bounds the sound that is kept in memory; 0 is 8 MiB, some three
	// hundred sentences. Sentences are kept without the PIN.
	CacheBytes int

	Logger *slog.Logger // hears of failures of espeak-ng; nil for silence
}

// Speaker speaks scripts. It may be used by many goroutines.
type Speaker struct {
	espeak    *espeak.Program // nil to speak from clips alone
	timeout   time.Duration
	processes chan struct{} // holds one token for each running process
	cache     *cache
	voices    map[string]voice // by locale
	logger    *slog.Logger
}

// New makes a Speaker. It fails if the configured espeak-ng is not there.
func New(cfg Config) (*Speaker, error) {
	voices, err := loadVoices()
	if err != nil {
		return nil, fmt.Errorf("tts: voices: %w", err)
	}
	s := &Speaker{
		timeout:   orDefault(cfg.Timeout, 3*time.Second),
		processes: make(chan struct{}, orDefault(cfg.Processes, 4)),
		cache:     newCache(orDefault(cfg.CacheBytes, 8<<20)),
		voices:    voices,
		logger:    cfg.Logger,
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if cfg.ClipsOnly {
		return s, nil
	}
	path, err := exec.LookPath(orDefault(cfg.Espeak, "espeak-ng"))
	switch {
	case err == nil:
		s.espeak = &espeak.Program{Path: path}
	case cfg.Espeak != "":
		return nil, fmt.Errorf("tts: espeak-ng: %w", err)
	}
	return s, nil
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Espeak is the path of the espeak-ng in use, or "" if there is none and only
// PINs are spoken.
func (s *Speaker) Espeak() string {
	if s.espeak == nil {
		return ""
	}
	return s.espeak.Path
}

// Speak speaks a script. It fails only if the PIN cannot be spoken or ctx ends:
// words that cannot be spoken become a pause.
func (s *Speaker) Speak(ctx context.Context, script message.Script) (audio.Samples, error) {
	v := s.voice(script.Locale)
	wordsCtx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()

	pieces := make([]audio.Samples, len(script.Parts))
	for i, p := range script.Parts {
		switch {
		case p.Spell != "":
			spelt, err := s.spell(wordsCtx, v, p.Spell)
			if err != nil {
				return nil, err
			}
			pieces[i] = spelt
		case p.Text != "":
			pieces[i] = s.words(wordsCtx, v, p.Text)
		default:
			pieces[i] = audio.Silence(min(p.Pause, MaxDuration))
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	if duration(pieces) > MaxDuration {
		for i, p := range script.Parts {
			if p.Text != "" {
				pieces[i] = audio.Silence(insteadOfText)
			}
		}
	}
	for duration(pieces) > MaxDuration { // ends in whole PINs, not in half a digit
		pieces = pieces[:len(pieces)-1]
	}
	return slices.Concat(pieces...), nil
}

func duration(pieces []audio.Samples) (sum time.Duration) {
	for _, p := range pieces {
		sum += p.Duration()
	}
	return sum
}

// words speaks text, or is silent if that fails.
func (s *Speaker) words(ctx context.Context, v voice, text string) audio.Samples {
	spoken, err := s.say(ctx, v.espeak, text)
	if err != nil {
		return audio.Silence(insteadOfText)
	}
	return slices.Concat(spoken, audio.Silence(afterText))
}

// spell speaks a PIN character by character: from the clips of the voice, else
// by espeak-ng, else from English clips. Each is asked for by itself, so neither
// espeak-ng nor the cache ever holds a PIN.
func (s *Speaker) spell(ctx context.Context, v voice, pin string) (audio.Samples, error) {
	var spelt audio.Samples
	for _, c := range pin {
		sound := clip(v.clips, c)
		if sound == nil {
			sound, _ = s.say(ctx, v.espeak, string(c))
		}
		if sound == nil {
			sound = clip(englishClips, c)
		}
		if sound == nil {
			return nil, ErrUnspeakable
		}
		spelt = append(spelt, sound...)
		spelt = append(spelt, audio.Silence(afterCharacter)...)
	}
	return spelt, nil
}

var errNoEspeak = errors.New("tts: espeak-ng is not installed")

// say speaks text with espeak-ng. The result is shared: it must not be changed.
func (s *Speaker) say(ctx context.Context, voice, text string) (audio.Samples, error) {
	if s.espeak == nil {
		return nil, errNoEspeak
	}
	key := keyOf(voice, text)
	if sound, ok := s.cache.get(key); ok {
		return sound, nil
	}
	select {
	case s.processes <- struct{}{}:
		defer func() { <-s.processes }()
	case <-ctx.Done():
		return nil, s.failed(voice, ctx.Err())
	}
	sound, err := s.espeak.Say(ctx, voice, text)
	if err != nil {
		return nil, s.failed(voice, err)
	}
	s.cache.put(key, sound)
	return sound, nil
}

// failed reports a failure without the text, which may be part of a PIN. A
// caller who gave up has not seen one.
func (s *Speaker) failed(voice string, err error) error {
	if !errors.Is(err, context.Canceled) {
		s.logger.Warn("espeak-ng failed, words are left out of a call", "voice", voice, "err", err)
	}
	return err
}
