// Command mkclips records the clips that are embedded in the binary: the digits
// in each language, and the letters in English. It needs espeak-ng and writes
// the same bytes every time; run it with "go generate" in the package above.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"countersign/internal/deliver/tts/internal/espeak"
)

const (
	digits  = "0123456789"
	letters = "abcdefghijklmnopqrstuvwxyz"
)

func main() {
	dir := flag.String("dir", "clips", "`directory` to write the clips to")
	flag.Parse()
	if err := run(context.Background(), *dir); err != nil {
		fmt.Fprintln(os.Stderr, "mkclips:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string) error {
	path, err := exec.LookPath("espeak-ng")
	if err != nil {
		return err
	}
	program := espeak.Program{Path: path}
	for _, set := range []struct{ name, voice, characters string }{
		{"de", "de", digits},
		{"en", "en-us", digits + letters},
		{"es", "es-419", digits}, // Latin America's, which Spain understands as well
		{"fr", "fr-fr", digits},
		{"ko", "ko", digits},
	} {
		if err := os.MkdirAll(filepath.Join(dir, set.name), 0o755); err != nil {
			return err
		}
		for _, c := range strings.Split(set.characters, "") {
			samples, err := program.Say(ctx, set.voice, c)
			if err != nil {
				return err
			}
			file := filepath.Join(dir, set.name, c+".ulaw")
			if err := os.WriteFile(file, samples.MuLaw(), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
