// Package speech speaks text with a separate program, espeak-ng or another. Running it as
// a process isolates its crashes, its hangs and its licence. A process is bounded in
// time, memory and output.
//
// The package must not depend on the purpose of the text.
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
	// wordsPerMinute is below espeak-ng's default of 175, since consonants are hard to
	// hear over a telephone.
	wordsPerMinute = 145

	// outputLimit is one minute at 48,000 samples per second, in bytes. No announcement
	// takes longer.
	outputLimit = 60 * 48_000 * 2

	// waitDelay bounds the wait for the pipes of a killed process.
	waitDelay = time.Second
)

// ErrTooLong means that the output exceeds outputLimit.
var ErrTooLong = errors.New("speech: text too long")

// Placeholders in the arguments of a program for the voice and the locale of the text
// ("en-gb").
const (
	VoiceArg  = "{voice}"
	LocaleArg = "{locale}"
)

// Program is an installed program that reads text in UTF-8 from standard input and
// writes a WAV file to standard output. The text is not an argument, so it cannot be
// parsed as an option.
type Program struct {
	Path string
	Args []string // may contain VoiceArg and LocaleArg

	// Memory bounds the address space, in bytes; 0 means no bound. It is enforced only
	// on Linux.
	Memory uint64

	// prepare edits a text for the program; it may be nil.
	prepare func(string) string
}

// vowelled matches an Arabic short vowel or its doubled form, followed by a shadda.
var vowelled = regexp.MustCompile("([\u064b-\u0650])\u0651")

// shaddaFirst moves the shadda of an Arabic letter before its vowel. In Unicode normal
// forms it follows the vowel, where espeak-ng ignores it.
func shaddaFirst(text string) string { return vowelled.ReplaceAllString(text, "\u0651$1") }

// Espeak returns the espeak-ng at path, with an address space of memory bytes; 0 means
// no bound. "-b 1" selects UTF-8; without "-m", SSML is disabled.
func Espeak(path string, memory uint64) Program {
	args := []string{"-v", VoiceArg, "-s", strconv.Itoa(wordsPerMinute), "-b", "1", "--stdin", "--stdout"}
	return Program{Path: path, Args: args, Memory: memory, prepare: shaddaFirst}
}

// Voice selects the voice of a text.
type Voice struct {
	Name   string // the program's name for the voice
	Locale string
}

// Say speaks text. It trims silence around the speech and normalises the loudness. Text
// without letters, numbers or symbols yields nil. An error is ErrTooLong, or wraps the
// error of ctx or of the process.
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
		if ctx.Err() != nil { // more precise than "signal: killed"
			err = ctx.Err()
		}
		// The error omits stderr, which may repeat the text.
		return nil, fmt.Errorf("speech: voice %s: %w", voice.Name, err)
	}
	samples, err := audio.ParseWAV(out.buf.Bytes())
	if err != nil {
		return nil, fmt.Errorf("speech: voice %s: %w", voice.Name, err)
	}
	return samples.Trim().Level(), nil
}

// run runs one process in a new process group. It kills the whole group, since a script
// may start other processes.
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
		return errors.Join(fmt.Errorf("limit memory of the process: %w", err), cmd.Cancel(), cmd.Wait())
	}
	return cmd.Wait()
}

// plain removes markup that a program may interpret: espeak-ng reads "[[…]]" as
// phonemes, and control-A begins a command. It also removes leading punctuation, since
// espeak-ng speaks its name if no word precedes it ("।" in Hindi).
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

// environment returns the program's environment: the paths of its data, without the
// server's secrets.
func environment() []string {
	env := []string{"LC_ALL=C.UTF-8"}
	for _, name := range []string{"PATH", "HOME", "ESPEAK_DATA_PATH"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// limitedBuffer accepts up to limit bytes. A write beyond that fails and calls full. The
// buffer is not embedded, because io.Copy would use its ReadFrom and bypass the limit.
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
