// Package speech has text spoken by a program that runs as a process of its own,
// espeak-ng or another: its crashes and hangs stay on its side, and so does its
// licence. A process is bounded in time, in memory and in what it may write.
//
// The package must not know what the text is for.
package speech

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"countersign/internal/deliver/tts/audio"
)

const (
	// wordsPerMinute is slower than espeak-ng's 175: a telephone swallows half of
	// the consonants.
	wordsPerMinute = 145

	// outputLimit is a minute at 48,000 samples a second. Text that takes longer is
	// not an announcement.
	outputLimit = 60 * 48_000 * 2

	// waitDelay is how long a killed process may keep its pipes open.
	waitDelay = time.Second
)

// ErrTooLong means that speaking the text would take more than a minute.
var ErrTooLong = errors.New("speech: text too long")

// What stands in the arguments of a program for the voice, and for the locale of
// the text ("en-gb").
const (
	VoiceArg  = "{voice}"
	LocaleArg = "{locale}"
)

// Program is an installed program that reads text in UTF-8 from its standard input
// and writes a WAV file to its standard output. The text is no argument, so it
// cannot be taken for an option.
type Program struct {
	Path string
	Args []string // with VoiceArg and LocaleArg where they belong

	// Memory bounds the address space, in bytes; 0 is no bound. It is kept on Linux.
	Memory uint64

	// prepare changes a text for the program; nil for no change.
	prepare func(string) string
}

// vowelled matches an Arabic short vowel or its doubled form, and a shadda after it.
var vowelled = regexp.MustCompile("([\u064b-\u0650])\u0651")

// shaddaFirst puts the shadda of an Arabic letter before its vowel. Unicode's normal
// forms have the vowel first, and espeak-ng ignores it there.
func shaddaFirst(text string) string { return vowelled.ReplaceAllString(text, "\u0651$1") }

// Espeak is the espeak-ng at path. "-b 1" says that the text is UTF-8; without "-m"
// there is no SSML.
func Espeak(path string, memory uint64) Program {
	args := []string{"-v", VoiceArg, "-s", strconv.Itoa(wordsPerMinute), "-b", "1", "--stdin", "--stdout"}
	return Program{Path: path, Args: args, Memory: memory, prepare: shaddaFirst}
}

// Voice is how a text is to sound.
type Voice struct {
	Name   string // as the program calls it
	Locale string
}

// Say speaks text. Silence around the speech is cut off, and the loudness is always
// the same. Text in which there is nothing to say is no sound.
func (p Program) Say(ctx context.Context, voice Voice, text string) (audio.Samples, error) {
	text = plain(text)
	if p.prepare != nil {
		text = p.prepare(text)
	}
	if !strings.ContainsFunc(text, speakable) {
		return nil, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := &limitedBuffer{limit: outputLimit, full: cancel}
	err := p.run(ctx, voice, text, out)
	if out.overflown {
		return nil, ErrTooLong
	}
	if err != nil {
		if ctx.Err() != nil { // says more than "signal: killed"
			err = ctx.Err()
		}
		// Its stderr is left out: it may repeat the text.
		return nil, fmt.Errorf("speech: voice %s: %w", voice.Name, err)
	}
	samples, err := audio.ParseWAV(out.buf.Bytes())
	if err != nil {
		return nil, fmt.Errorf("speech: voice %s: %w", voice.Name, err)
	}
	return samples.Trim().Level(), nil
}

// run is one process. It leads a group of its own, which is killed as one: a script
// may have started others.
func (p Program) run(ctx context.Context, voice Voice, text string, out *limitedBuffer) error {
	fill := strings.NewReplacer(VoiceArg, voice.Name, LocaleArg, voice.Locale)
	args := slices.Clone(p.Args)
	for i := range args {
		args[i] = fill.Replace(args[i])
	}
	cmd := exec.CommandContext(ctx, p.Path, args...) //nolint:gosec // the operator's command, configured voices, no shell
	cmd.Env = environment()
	cmd.Stdin = strings.NewReader(text)
	cmd.Stdout = out
	cmd.WaitDelay = waitDelay
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := limit(cmd.Process.Pid, p.Memory); err != nil {
		return errors.Join(fmt.Errorf("bound its memory: %w", err), cmd.Cancel(), cmd.Wait())
	}
	return cmd.Wait()
}

// plain takes from text what a program may obey instead of saying it: "[[…]]" is
// phonemes to espeak-ng, and control-A begins a command. Punctuation at its
// beginning goes, too: it ends what came before, and espeak-ng says its name where
// no word precedes it ("।" in Hindi).
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == '[' || r == ']' || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
	return strings.TrimLeftFunc(text, func(r rune) bool { return unicode.In(r, unicode.Po, unicode.Z) })
}

func speakable(r rune) bool { return unicode.In(r, unicode.L, unicode.N, unicode.S) }

// environment is what the program gets to see of ours: where its data may be, but
// not the server's secrets.
func environment() []string {
	env := []string{"LC_ALL=C.UTF-8"}
	for _, name := range []string{"PATH", "HOME", "ESPEAK_DATA_PATH"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// limitedBuffer takes up to limit bytes, then calls full and takes no more. The
// buffer is a field and not embedded: io.Copy would find its ReadFrom, and go
// round the limit.
type limitedBuffer struct {
	buf       bytes.Buffer
	limit     int
	full      func()
	overflown bool
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.buf.Len()+len(p) > b.limit {
		b.overflown = true
		b.full()
		return 0, ErrTooLong
	}
	return b.buf.Write(p)
}
