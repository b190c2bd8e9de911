// Package espeak speaks text with the program espeak-ng, which runs as a process
// of its own: its crashes and hangs stay on its side, and so does its licence.
//
// The package must not know what the text is for.
package espeak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
	"unicode"

	"countersign/internal/deliver/tts/audio"
)

const (
	// wordsPerMinute is slower than espeak-ng's 175: a telephone swallows half of
	// the consonants.
	wordsPerMinute = 145

	// outputLimit is a minute at espeak-ng's rate. Text that takes longer is not
	// an announcement.
	outputLimit = 60 * 22_050 * 2

	// waitDelay is how long a killed process may keep its pipes open.
	waitDelay = time.Second
)

// ErrTooLong means that speaking the text would take more than a minute.
var ErrTooLong = errors.New("espeak: text too long")

// Program is an installed espeak-ng.
type Program struct {
	Path string
}

// Say speaks text in a voice of espeak-ng ("en-gb"). Silence around the speech
// is cut off, and the loudness is always the same. Text in which there is
// nothing to say is no sound.
func (p Program) Say(ctx context.Context, voice, text string) (audio.Samples, error) {
	text = plain(text)
	if !strings.ContainsFunc(text, speakable) {
		return nil, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The text goes through stdin, so it cannot be taken for an option; "-b 1"
	// says that it is UTF-8. Without "-m" there is no SSML.
	args := []string{"-v", voice, "-s", strconv.Itoa(wordsPerMinute), "-b", "1", "--stdin", "--stdout"}
	cmd := exec.CommandContext(ctx, p.Path, args...) //nolint:gosec // the operator's path, our voices, no shell
	cmd.Env = environment()
	cmd.Stdin = strings.NewReader(text)
	cmd.WaitDelay = waitDelay
	out := &limitedBuffer{limit: outputLimit, full: cancel}
	cmd.Stdout = out
	err := cmd.Run()
	if out.overflown {
		return nil, ErrTooLong
	}
	if err != nil {
		if ctx.Err() != nil { // says more than "signal: killed"
			err = ctx.Err()
		}
		// Its stderr is left out: it may repeat the text.
		return nil, fmt.Errorf("espeak: voice %s: %w", voice, err)
	}
	samples, err := audio.ParseWAV(out.buf.Bytes())
	if err != nil {
		return nil, fmt.Errorf("espeak: voice %s: %w", voice, err)
	}
	return samples.Trim().Level(), nil
}

// plain takes from text what espeak-ng would obey instead of saying it:
// "[[…]]" is phonemes to it, and control-A begins a command.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '[' || r == ']' || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
}

func speakable(r rune) bool { return unicode.In(r, unicode.L, unicode.N, unicode.S) }

// environment is what espeak-ng gets to see of ours: where its data is, but not
// the server's secrets.
func environment() []string {
	const dataPath = "ESPEAK_DATA_PATH"
	env := []string{"LC_ALL=C.UTF-8"}
	if v, ok := os.LookupEnv(dataPath); ok {
		env = append(env, dataPath+"="+v)
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
