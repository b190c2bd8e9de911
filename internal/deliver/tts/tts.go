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

// MaxDuration bounds an announcement. One that would be longer is said without
// its words, and then, if need be, without its last parts.
const MaxDuration = 30 * time.Second

const (
	afterText      = 300 * time.Millisecond // lets the listener notice that a PIN begins
	afterCharacter = 250 * time.Millisecond // lets the listener write it down
	insteadOfText  = 700 * time.Millisecond // keeps the PIN apart from its repetition
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
	recorded  func(ctx context.Context, id string) ([]byte, error)
	logger    *slog.Logger
}

// New makes a Speaker. It fails if a program is configured that is not there.
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
		recorded:  cfg.Recordings,
		logger:    cfg.Logger,
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if cfg.ClipsOnly {
		return s, nil
	}
	if len(cfg.Command) > 0 {
		rename(voices, cfg.Voices)
	}
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
			spelt, err := s.spell(wordsCtx, v, p)
			if err != nil {
				return nil, err
			}
			pieces[i] = spelt
		case p.Recording != "":
			pieces[i] = s.recording(wordsCtx, p.Recording)
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
			switch {
			case p.Text != "":
				pieces[i] = audio.Silence(insteadOfText)
			case p.Pause > 0: // or the PIN might be what is left out
				pieces[i] = audio.Silence(min(p.Pause, insteadOfText))
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
	spoken, err := s.say(ctx, v.program, text)
	if err != nil {
		return audio.Silence(insteadOfText)
	}
	return slices.Concat(spoken, audio.Silence(afterText))
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
// the voice, else by the program, else from English clips. Each is asked for by
// itself, so neither the program nor the cache ever holds a PIN.
func (s *Speaker) spell(ctx context.Context, v voice, p message.Part) (audio.Samples, error) {
	var spelt audio.Samples
	for _, c := range p.Spell {
		var sound audio.Samples
		if p.Digits != nil && c >= '0' && c <= '9' {
			sound = s.recording(ctx, p.Digits[c-'0'])
		}
		if sound == nil {
			sound = clip(v.clips, c)
		}
		if sound == nil {
			sound, _ = s.say(ctx, v.program, string(c))
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
