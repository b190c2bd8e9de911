package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pages returns the pages of the documentation, by path from the root of the repository.
func pages(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	read := func(path string) {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		texts[path] = string(text)
	}
	read("README.md")
	read("internal/config/example.yaml")
	err := fs.WalkDir(os.DirFS(root), "docs", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			read(path)
		}
		return err
	})
	if err != nil || len(texts) < 20 {
		t.Fatalf("%d pages: %v", len(texts), err)
	}
	return texts
}

// TestPathsInPages checks that all pages use the paths of the guide: one name of the
// configuration, and no file written by the server outside its state directory.
func TestPathsInPages(t *testing.T) {
	t.Parallel()
	const file = "/etc/countersign/countersign.yaml"
	option := regexp.MustCompile(`--config[ =]([^ ,'\x60)\n]+)`)
	yaml := regexp.MustCompile(`[\w./-]*\b(?:countersign|config)\.ya?ml`)
	system := regexp.MustCompile(`/(?:etc|run|var|srv|usr/local/etc)/[\w./-]*(?:countersign|secrets)[\w./-]*`)
	allowed := regexp.MustCompile(`^(?:` + strings.Join([]string{
		`/etc/countersign(?:/|/countersign\.yaml|/key(?:\.new|\.old)?|/[\w-]+\.(?:pem|key|password)|/[a-z]+-[a-z]+\.json|/pgpass)?`,
		`/var/lib/countersign(?:/|/countersign\.db|/admin-token)?`,
		`/var/lib/countersign/key`, // default of key_file
		`/var/backups/countersign(?:/|/[0-9-]+\.db)?`,
		`/etc/systemd/system/countersign[\w.-]*(?:/port\.conf)?`,
		`/etc/(?:bash_completion\.d/countersign|fish/completions/countersign\.fish)`,
	}, "|") + `)$`)
	for page, text := range pages(t) {
		for _, m := range option.FindAllStringSubmatch(text, -1) {
			if m[1] != file && m[1] != "FILE" {
				t.Errorf("%s: --config %s, want %s", page, m[1], file)
			}
		}
		for _, path := range yaml.FindAllString(text, -1) {
			if path != file && path != "countersign.yaml" && path != "../../internal/config/example.yaml" {
				t.Errorf("%s: configuration %s, want %s", page, path, file)
			}
		}
		for _, path := range system.FindAllString(text, -1) {
			if path = strings.TrimRight(path, "."); !allowed.MatchString(path) {
				t.Errorf("%s: %s is not a path of docs/how-to/run-in-production.md", page, path)
			}
		}
		for _, setting := range []string{"token_file: ", "database: sqlite:/"} {
			for _, rest := range strings.Split(text, setting)[1:] {
				if !strings.HasPrefix(rest, "/var/lib/countersign/") && !strings.HasPrefix(rest, "var/lib/countersign/") {
					t.Errorf("%s: %s%.30q: the unit lets the server write /var/lib/countersign only", page, setting, rest)
				}
			}
		}
	}
}

// TestPagesInstall checks that a page about the program without an installation, for
// tests and rehearsals, begins with the installation of the program.
func TestPagesInstall(t *testing.T) {
	t.Parallel()
	rehearsal := regexp.MustCompile(`(?m)^(?:\$ )?countersign (demo|smsc|phone|sms|call) `)
	var found []string
	for page, text := range pages(t) {
		first := rehearsal.FindStringIndex(text)
		if first == nil || page == "README.md" || strings.HasPrefix(page, "docs/reference/") {
			continue
		}
		found = append(found, page)
		before := text[:first[0]]
		if !strings.Contains(before, "go install ./cmd/countersign") && !strings.Contains(before, "(test-an-application.md#install-the-program)") {
			t.Errorf("%s uses %q before countersign is installed", page, text[first[0]:first[1]])
		}
	}
	if !slices.Contains(found, "docs/how-to/test-an-application.md") || len(found) < 5 {
		t.Errorf("pages that use the program: %v", found)
	}
}
