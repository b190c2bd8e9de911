// Package tts synthesises the script of a call.
//
// Words are spoken by a program, espeak-ng or the operator's own, if it is installed.
// PINs consist of recorded clips in the binary, so a call can always be made. Without a
// program, or if it fails or times out, the words are left out and the PIN is still
// spoken. A PIN of digits never leaves the process.
//
// The package must not depend on recipients or on the transport of audio.
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

// Maximum durations of announcements. Longer ones are shortened, see [brevity].
const (
	MaxDuration        = 30 * time.Second
	MaxPaymentDuration = 40 * time.Second // includes payee and amount
)

const (
	afterText     = 300 * time.Millisecond // separates words from the following PIN
	insteadOfText = 700 * time.Millisecond // separates the PIN from its repetition

	// A listener needs the same time for each character, regardless of its clip.
	characterPace  = 800 * time.Millisecond // minimum from start to start
	afterCharacter = 250 * time.Millisecond // minimum pause
	briefPause     = 150 * time.Millisecond // pause in a shortened announcement
)

// ErrUnspeakable means that neither a program nor clips can speak the PIN of a script.
// The call is not made, since it would be useless without the PIN.
var ErrUnspeakable = errors.New("tts: no way to speak the PIN")

// Config configures a [Speaker]. The zero value is valid.
type Config struct {
	// Espeak is the path of espeak-ng. "" searches the PATH and uses only clips if
	// espeak-ng is not installed.
	Espeak    string
	ClipsOnly bool // never start a program

	// Command, if not empty, replaces espeak-ng: a program and its arguments, in which
	// "{voice}" and "{locale}" are replaced. It reads text in UTF-8 from standard input
	// and writes WAV to standard output.
	Command []string
	Voices  map[string]string // Command's names of voices, by locale; default the locale

	// Digits maps a locale to a variant of its digits, such as "meia" for pt-br. Other
	// locales use their usual digits.
	Digits map[string]string

	Timeout   time.Duration // for all words of an announcement; 0 means 3 s
	Processes int           // concurrent processes; 0 means 4
	Memory    uint64        // address space per process, in bytes; 0 means 1 GiB

	// CacheBytes bounds the cached audio; 0 means 8 MiB, about 300 sentences. Sentences
	// are cached without the PIN.
	CacheBytes int

	// Recordings returns the recording with the id in a [message.Part], as G.711 μ-law;
	// nil if recordings are not used.
	Recordings func(ctx context.Context, id string) ([]byte, error)

	Logger *slog.Logger // logs failures of the program; may be nil
}

// Speaker speaks scripts. It is safe for concurrent use.
type Speaker struct {
	program   *speech.Program // nil if only clips are used
	timeout   time.Duration
	processes chan struct{} // semaphore; holds a value for each process
	cache     *cache
	flights   singleflight.Group // utterances in progress
	voices    map[string]voice   // voices by locale
	command   bool               // program is the operator's command
	names     map[string]string  // voice names of the command, by locale
	recorded  func(ctx context.Context, id string) ([]byte, error)
	logger    *slog.Logger
}

// New returns a Speaker. It returns an error if a configured program is not installed or
// cfg.Digits has an unknown locale or variant.
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

// program returns the program for words; nil if no program is configured and espeak-ng
// is not installed.
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
		return nil, nil //nolint:nilnil // a program is optional
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

// Program returns the path of the program for words, or "" if only PINs are spoken.
func (s *Speaker) Program() string {
	if s.program == nil {
		return ""
	}
	return s.program.Path
}

// brevity is a level of shortening. Each level but withoutWords includes the previous
// ones. The PIN, and the payee and amount of a payment, are never left out.
type brevity int

const (
	whole         brevity = iota // the script is unchanged
	noLife                       // without the words after the last PIN: its validity
	noGreeting                   // without the first sentence
	noLead                       // without the pause before the first words
	shortPauses                  // other pauses are briefPause
	once                         // without the repetition
	withoutWords                 // with the repetition, without words; not for a payment
	brevityLevels                // number of levels
)

// Speak speaks a script. Words that cannot be spoken are replaced by the recorded words
// "your code" before a PIN, and by a pause elsewhere. An announcement longer than
// [MaxDuration], or [MaxPaymentDuration], is shortened, but always contains payee,
// amount and PIN. The error is [ErrUnspeakable] or the error of ctx.
func (s *Speaker) Speak(ctx context.Context, script message.Script) (audio.Samples, error) {
	sound, _, err := s.Announce(ctx, script)
	return sound, err
}

// Announce is like [Speaker.Speak], and also returns the script after shortening.
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
	// A payee spelt letter by letter or an operator's text may still be too long. Parts
	// before the code remain, because a payer must hear them.
	for needed := slices.IndexFunc(spoken.Parts, isPIN) + 1; duration(pieces) > limit && len(pieces) > max(1, needed); {
		pieces = pieces[:len(pieces)-1] // drop whole parts, never half a PIN
		spoken.Parts = spoken.Parts[:len(pieces)]
	}
	return slices.Concat(pieces...), spoken, nil
}

func isPIN(p message.Part) bool { return p.Spell != "" }

// shorten returns the parts of a script at a level.
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

// render speaks parts, one piece per part. If the words before the first PIN cannot be
// spoken, it uses the recorded "your code".
func (s *Speaker) render(ctx context.Context, v voice, parts []message.Part, level brevity) ([]audio.Samples, error) {
	pieces := make([]audio.Samples, 0, len(parts)+1)
	named := false // a PIN or an operator's recording was rendered
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

// words speaks text. It returns false if that fails or the voice has digits only.
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

// recording returns the recording with an id. It returns nil, which is silent, if it is
// not available, since the PIN matters more.
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
		s.logger.Warn("recording not available, leaving it out of a call", "recording", id, "err", err)
		return nil
	}
	sound := audio.FromMuLaw(b)
	s.cache.put(key, sound)
	return sound
}

// spell speaks a PIN character by character. The sources in order are recordings, the
// clips of the voice, the program if its words are intelligible, and English clips. Each
// character is spoken separately, so the program and the cache never hold a whole PIN.
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

var errNoProgram = errors.New("tts: no program for words is installed")

// say speaks text with the program. Concurrent calls with the same text share one
// process. The result is shared and must not be modified.
func (s *Speaker) say(ctx context.Context, voice speech.Voice, text string) (audio.Samples, error) {
	if s.program == nil {
		return nil, errNoProgram
	}
	key := keyOf(voice, text)
	if sound, ok := s.cache.get(key); ok {
		return sound, nil
	}
	flight := s.flights.DoChan(string(key[:]), func() (any, error) {
		// Other callers may still wait after the first was canceled.
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

// start acquires a slot, runs the program and caches the result. It logs failures
// without the text, which may be a character of a PIN.
func (s *Speaker) start(ctx context.Context, key key, voice speech.Voice, text string) (sound audio.Samples, err error) {
	defer func() {
		if err != nil {
			s.logger.Warn("text-to-speech failed, leaving words out of a call", "program", s.program.Path, "voice", voice.Name, "err", err)
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
