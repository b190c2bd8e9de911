package espeak_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"countersign/internal/deliver/tts/internal/espeak"
)

func fake(t *testing.T, script string) espeak.Program {
	t.Helper()
	path := filepath.Join(t.TempDir(), "espeak-ng")
	// No process is started while the file is open: it would inherit it, and the
	// kernel runs no file that is open for writing.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return espeak.Program{Path: path}
}

func TestOutputIsBounded(t *testing.T) {
	t.Parallel()
	started := time.Now()
	_, err := fake(t, "exec /bin/cat /dev/zero").Say(t.Context(), "en-gb", "hello")
	if !errors.Is(err, espeak.ErrTooLong) {
		t.Errorf("got %v, want %v", err, espeak.ErrTooLong)
	}
	if d := time.Since(started); d > 10*time.Second {
		t.Errorf("took %v, want the process killed when it has said too much", d)
	}
}

func TestSecretsStayHere(t *testing.T) {
	t.Setenv("COUNTERSIGN_TEST_KEY", "secret")
	_, err := fake(t, `test -z "$COUNTERSIGN_TEST_KEY" || exec /bin/cat /dev/zero`).Say(t.Context(), "en-gb", "hello")
	if errors.Is(err, espeak.ErrTooLong) {
		t.Error("espeak-ng was given the environment of the server")
	}
}

func TestErrorsDoNotRepeatTheText(t *testing.T) {
	t.Parallel()
	_, err := fake(t, "/bin/cat >&2; exit 3").Say(t.Context(), "en-gb", "Acme")
	if got, want := fmt.Sprint(err), "espeak: voice en-gb: exit status 3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
