package speech_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver/tts/audio"
	"countersign/internal/deliver/tts/internal/speech"
)

var english = speech.Voice{Name: "en-gb", Locale: "en-gb"}

func fake(t *testing.T, script string) speech.Program {
	t.Helper()
	path := filepath.Join(t.TempDir(), "speak")
	// The lock prevents a fork while the file is open: a child would inherit it, and the
	// kernel does not execute a file that is open for writing.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return speech.Program{Path: path}
}

func TestOutputIsBounded(t *testing.T) {
	t.Parallel()
	started := time.Now()
	_, err := fake(t, "exec /bin/cat /dev/zero").Say(t.Context(), english, "hello")
	if !errors.Is(err, speech.ErrTooLong) {
		t.Errorf("got %v, want %v", err, speech.ErrTooLong)
	}
	if d := time.Since(started); d > 10*time.Second {
		t.Errorf("took %v, want the process killed at the output limit", d)
	}
}

func TestSecretsStayHere(t *testing.T) {
	t.Setenv("COUNTERSIGN_TEST_KEY", "secret")
	_, err := fake(t, `test -z "$COUNTERSIGN_TEST_KEY" || exec /bin/cat /dev/zero`).Say(t.Context(), english, "hello")
	if errors.Is(err, speech.ErrTooLong) {
		t.Error("the program received the environment of the server")
	}
}

func TestErrorsDoNotRepeatTheText(t *testing.T) {
	t.Parallel()
	_, err := fake(t, "/bin/cat >&2; exit 3").Say(t.Context(), english, "Acme")
	if got, want := fmt.Sprint(err), "speech: voice en-gb: exit status 3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestMemoryIsBounded: a program that allocates more than the limit fails.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("memory is bounded on Linux")
	}
	for memory, want := range map[uint64]error{
		0:        speech.ErrTooLong, // 256 MiB were allocated
		64 << 20: nil,
	} {
		program := fake(t, "/bin/cat >/dev/null\n"+ // read the text first
			"/usr/bin/head -c 256M /dev/zero | /usr/bin/tail -c 256M >/dev/null 2>&1 && exec /bin/cat /dev/zero\nexit 3")
		program.Memory = memory
		_, err := program.Say(t.Context(), english, "hello")
		if got := errors.Is(err, speech.ErrTooLong); err == nil || got != (want != nil) {
			t.Errorf("with %d bytes: %v", memory, err)
		}
	}
}

// TestDescendantsEndToo: processes started by a script are killed with it.
func TestDescendantsEndToo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := fake(t, "/bin/sleep 600 & echo $! > "+dir+"/pid; wait")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	said := make(chan error, 1)
	go func() {
		_, err := program.Say(ctx, english, "hello")
		said <- err
	}()
	var pid int
	await.Until(t, "written the id of the descendant", func() bool {
		b, err := os.ReadFile(filepath.Join(dir, "pid"))
		if err != nil || !strings.HasSuffix(string(b), "\n") {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(b)))
		return err == nil
	})
	cancel()
	if err := <-said; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	await.Until(t, "ended the descendant", func() bool { // a zombie until init reaps it
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

// TestArguments: voice and locale replace their placeholders; the text is on stdin.
func TestArguments(t *testing.T) {
	t.Parallel()
	wav := filepath.Join(t.TempDir(), "sound.wav")
	if err := os.WriteFile(wav, audio.Samples(slices.Repeat([]int16{4000, -4000}, 400)).WAV(), 0o600); err != nil {
		t.Fatal(err)
	}
	program := fake(t, `[ "$*" = "--model de_DE-thorsten.onnx --lang de-de" ] && [ "$(/bin/cat)" = "--help" ] && exec /bin/cat '`+wav+"'")
	program.Args = []string{"--model", speech.VoiceArg + ".onnx", "--lang", speech.LocaleArg}
	sound, err := program.Say(t.Context(), speech.Voice{Name: "de_DE-thorsten", Locale: "de-de"}, "--help")
	if err != nil || len(sound) == 0 {
		t.Errorf("%v of sound, %v", sound.Duration(), err)
	}
}

// TestShaddaBeforeVowel: the program receives each shadda before its vowel. espeak-ng
// ignores it after the vowel, where Unicode normal forms have it.
func TestShaddaBeforeVowel(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"أُكَرِّرُ":     "أُكَر\u0651ِرُ",
		"لِمُدَّةِ":     "لِمُد\u0651َةِ",
		"Acme ${}":      "Acme ${}",
		"ر\u0651\u064e": "ر\u0651\u064e", // already correct
	} {
		program := fake(t, `/bin/cat >"$0.heard"`)
		espeak := speech.Espeak(program.Path, 0)
		_, _ = espeak.Say(t.Context(), english, text) // fails: the script writes no WAV
		heard, err := os.ReadFile(program.Path + ".heard")
		if err != nil {
			t.Fatal(err)
		}
		if string(heard) != want {
			t.Errorf("%+q: the program reads %+q, want %+q", text, heard, want)
		}
	}
}
