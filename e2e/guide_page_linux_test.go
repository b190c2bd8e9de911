package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// block is a fenced block of a page.
type block struct {
	section string // heading above it
	file    string // path of the file with this content, or ""
	lang    string // language after the fence; "" for commands
	text    string
}

// fileName matches a line before a block that names its file: "`/etc/x` (remarks):".
var fileName = regexp.MustCompile("`(/[^`]+)`[^`]*:$")

// readPage returns the blocks of a page of docs, such as how-to/administer.md.
func readPage(t *testing.T, name string) []block {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../docs", name))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []block
	var section, before, indent string // indent of the open block, which may be in a list
	var open *block
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && open == nil:
			open = &block{section: section, lang: fence}
			indent = line[:strings.Index(line, "`")]
			if m := fileName.FindStringSubmatch(before); m != nil {
				open.file = m[1]
			}
		case isFence:
			blocks, open = append(blocks, *open), nil
		case open != nil:
			open.text += strings.TrimPrefix(line, indent) + "\n"
		case strings.HasPrefix(line, "## "):
			section = line[3:]
		}
		if strings.TrimSpace(line) != "" {
			before = strings.TrimSpace(line)
		}
	}
	if len(blocks) == 0 {
		t.Fatalf("%s has no blocks", name)
	}
	return blocks
}

// in returns the blocks of a section, at least one.
func in(t *testing.T, blocks []block, section string) (list []block) {
	t.Helper()
	for _, b := range blocks {
		if b.section == section {
			list = append(list, b)
		}
	}
	if len(list) == 0 {
		t.Fatalf("no blocks in section %q", section)
	}
	return list
}

// withSettings returns config with the top-level settings of settings, which replace those of the
// same names.
func withSettings(config, settings string) string {
	name := func(line string) string { before, _, _ := strings.Cut(line, ":"); return before }
	replaced := map[string]bool{}
	for line := range strings.Lines(settings) {
		replaced[name(line)] = true
	}
	var kept strings.Builder
	keep := true
	for line := range strings.Lines(config) {
		if !strings.HasPrefix(line, " ") {
			keep = !replaced[name(line)]
		}
		if keep {
			kept.WriteString(line)
		}
	}
	return kept.String() + settings
}
