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
	"slices"
	"strings"

	"countersign/internal/deliver/tts/internal/speech"
)

const (
	digits  = "0123456789"
	letters = "abcdefghijklmnopqrstuvwxyz"
)

func main() {
	dir := flag.String("dir", "clips", "`directory` to write the clips to")
	voices := flag.String("voices", "voices.txt", "`file` that says which clips each locale has")
	flag.Parse()
	if err := run(context.Background(), *dir, *voices); err != nil {
		fmt.Fprintln(os.Stderr, "mkclips:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir, voices string) error {
	path, err := exec.LookPath("espeak-ng")
	if err != nil {
		return err
	}
	sets, err := clipSets(voices)
	if err != nil {
		return err
	}
	program := speech.Espeak(path, 0)
	for _, set := range sets {
		characters := digits
		if set == "en" {
			characters += letters
		}
		if err := record(ctx, program, filepath.Join(dir, set), voiceOf(set), characters); err != nil {
			return err
		}
	}
	return nil
}

// voiceOf is the voice that a set of clips is recorded with.
func voiceOf(set string) string {
	switch set {
	case "en":
		return "en-us"
	case "es": // Latin America's, which Spain understands as well
		return "es-419"
	case "fr":
		return "fr-fr"
	}
	return set
}

// clipSets lists the directories that the third column of voices names.
func clipSets(voices string) ([]string, error) {
	table, err := os.ReadFile(voices)
	if err != nil {
		return nil, err
	}
	var sets []string
	for line := range strings.Lines(string(table)) {
		line, _, _ = strings.Cut(line, "#")
		if columns := strings.Fields(line); len(columns) == 3 && columns[2] != "-" {
			sets = append(sets, columns[2])
		}
	}
	slices.Sort(sets)
	return slices.Compact(sets), nil
}

func record(ctx context.Context, program speech.Program, dir, voice, characters string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, c := range strings.Split(characters, "") {
		samples, err := program.Say(ctx, speech.Voice{Name: voice, Locale: voice}, c)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, c+".ulaw"), samples.MuLaw(), 0o644); err != nil {
			return err
		}
	}
	return nil
}
