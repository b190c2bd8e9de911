// Command mkclips records the clips embedded in the binary: the digits and "your code" in
// each language, and the letters in English. It requires espeak-ng. Its output is
// reproducible. Run it with "go generate" in package tts. It does not delete unused clips.
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
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
	dir := flag.String("dir", "clips", "`directory` to write the clips to; its parent has the tables")
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
	sets, err := clipSets(filepath.Dir(filepath.Clean(dir)))
	if err != nil {
		return err
	}
	program := speech.Espeak(path, 0)
	for _, set := range sets {
		if err := set.record(ctx, program, filepath.Join(dir, set.name)); err != nil {
			return fmt.Errorf("clips %s: %w", set.name, err)
		}
	}
	return nil
}

// clipSet is a directory of clips.
type clipSet struct {
	name, voice string
	texts       map[string]string // text to record, by name of the clip
}

func newClipSet(name string) clipSet {
	set := clipSet{name: name, voice: voiceOf(name), texts: map[string]string{}}
	characters := digits
	if name == "en" {
		characters += letters
	}
	for _, c := range strings.Split(characters, "") {
		set.texts[c] = c
	}
	return set
}

// voiceOf returns the default voice for recording a set of clips.
func voiceOf(set string) string {
	switch set {
	case "en":
		return "en-us"
	case "es":
		return "es-419"
	case "es-es":
		return "es"
	case "fr":
		return "fr-fr"
	}
	return set
}

// clipSets returns the sets of clips in the tables in dir, by name: the third columns of
// voices.txt and variants.txt. digits.txt has the words of some digits, code.txt the
// words for "your code".
func clipSets(dir string) ([]clipSet, error) {
	byName := map[string]clipSet{}
	add := func(columns []string) error {
		byName[columns[2]] = newClipSet(columns[2])
		return nil
	}
	for _, table := range []struct {
		name string
		row  func(columns []string) error
	}{
		{"voices.txt", add},
		{"variants.txt", add},
		{"digits.txt", func(columns []string) error {
			set, ok := byName[columns[0]]
			if !ok || len(columns) != 2+len(digits) {
				return fmt.Errorf("%q: want the clips of a locale, a voice and ten words", columns)
			}
			set.voice = columns[1]
			for i, word := range columns[2:] {
				set.texts[digits[i:i+1]] = word
			}
			byName[set.name] = set
			return nil
		}},
		{"code.txt", func(columns []string) error {
			set, ok := byName[columns[0]]
			if !ok {
				return fmt.Errorf("clips %q are not used by any locale", columns[0])
			}
			set.texts["code"] = strings.Join(columns[1:], " ")
			return nil
		}},
	} {
		if err := readTable(filepath.Join(dir, table.name), table.row); err != nil {
			return nil, err
		}
	}
	return slices.SortedFunc(maps.Values(byName), func(a, b clipSet) int { return strings.Compare(a.name, b.name) }), nil
}

// readTable reads a table with at least two columns per line; "#" starts a comment.
func readTable(file string, row func(columns []string) error) error {
	table, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(table)) {
		line, _, _ = strings.Cut(line, "#")
		columns := strings.Fields(line)
		if len(columns) == 0 {
			continue
		}
		if len(columns) < 2 {
			return fmt.Errorf("%s: %q has %d columns, want 2 or more", file, line, len(columns))
		}
		if err := row(columns); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

func (set clipSet) record(ctx context.Context, program speech.Program, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for c, text := range set.texts {
		samples, err := program.Say(ctx, speech.Voice{Name: set.voice, Locale: set.voice}, text)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, c+".ulaw"), samples.MuLaw(), 0o644); err != nil {
			return err
		}
	}
	return nil
}
