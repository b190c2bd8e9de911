package atomicfile_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"countersign/internal/atomicfile"
	"countersign/internal/await"
)

func TestWrite(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before func(t *testing.T, name string) // prepares the directory
		write  func(name string, data []byte, perm fs.FileMode) error
		want   string
		mode   fs.FileMode
		err    error
	}{
		"replaces nothing":   {nothing, atomicfile.WriteFile, "new", 0o640, nil},
		"keeps the mode":     {file("", "old", 0o604), atomicfile.WriteFile, "new", 0o604, nil},
		"new":                {nothing, atomicfile.WriteNew, "new", 0o640, nil},
		"never overwrites":   {file("", "old", 0o600), atomicfile.WriteNew, "old", 0o600, fs.ErrExist},
		"leftover":           {file(atomicfile.Suffix, "leftover of a killed process", 0o666), atomicfile.WriteNew, "new", 0o640, nil},
		"leftover, replaced": {file(atomicfile.Suffix, "leftover of a killed process", 0o666), atomicfile.WriteFile, "new", 0o640, nil},
		"symlink at the leftover": {func(t *testing.T, name string) {
			must(t, os.Symlink("/etc/passwd", name+atomicfile.Suffix))
		}, atomicfile.WriteFile, "new", 0o640, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			name := filepath.Join(t.TempDir(), "file")
			c.before(t, name)
			if err := c.write(name, []byte("new"), 0o640); !errors.Is(err, c.err) {
				t.Fatalf("got %v, want %v", err, c.err)
			}
			if got := read(t, name); got != c.want {
				t.Errorf("the file has %q, want %q", got, c.want)
			}
			if info, err := os.Stat(name); err != nil || info.Mode().Perm() != c.mode {
				t.Errorf("mode %v (%v), want %v", info.Mode(), err, c.mode)
			}
			if _, err := os.Lstat(name + atomicfile.Suffix); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a partial file remains: %v", err)
			}
		})
	}
}

// TestLeftoverIsSecondName: a process killed between link and remove leaves the complete
// file under both names. The next writer must not truncate it.
func TestLeftoverIsSecondName(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "key")
	file("", "the key", 0o600)(t, name)
	must(t, os.Link(name, name+atomicfile.Suffix))
	f, err := atomicfile.Replace(name, 0o600)
	must(t, err)
	must(t, f.Close())
	if got := read(t, name); got != "the key" {
		t.Errorf("the file has %q", got)
	}
}

func TestUncommitted(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "file")
	file("", "old", 0o600)(t, name)
	f, err := atomicfile.Replace(name, 0o600)
	must(t, err)
	_, err = f.WriteString("half of it")
	must(t, err)
	if got := read(t, name); got != "old" {
		t.Errorf("before the commit the file has %q", got)
	}
	must(t, f.Close())
	if got := read(t, name); got != "old" {
		t.Errorf("the file has %q", got)
	}
	if _, err := os.Stat(name + atomicfile.Suffix); err == nil {
		t.Error("a partial file remains")
	}
}

func TestTwoWriters(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "file")
	first, err := atomicfile.Create(name, 0o600)
	must(t, err)
	if _, err := atomicfile.Create(name, 0o600); !errors.Is(err, atomicfile.ErrBusy) {
		t.Errorf("a second writer: %v, want ErrBusy", err)
	}
	_, err = first.WriteString("first")
	must(t, err)
	must(t, first.Commit())
	must(t, first.Close())
	if got := read(t, name); got != "first" {
		t.Errorf("the file has %q", got)
	}
}

// TestCreatedMeanwhile: Commit does not overwrite a file created after Create.
func TestCreatedMeanwhile(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "file")
	f, err := atomicfile.Create(name, 0o600)
	must(t, err)
	file("", "theirs", 0o600)(t, name)
	if err := f.Commit(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Commit: %v, want ErrExist", err)
	}
	must(t, f.Close())
	if got := read(t, name); got != "theirs" {
		t.Errorf("the file has %q", got)
	}
}

func TestSymlinkStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	file("", "old", 0o600)(t, target)
	must(t, os.Symlink("target", link))
	must(t, atomicfile.WriteFile(link, []byte("new"), 0o600))
	if to, err := os.Readlink(link); err != nil || to != "target" || read(t, target) != "new" {
		t.Errorf("link to %q (%v), target holds %q", to, err, read(t, target))
	}
}

func TestDevices(t *testing.T) {
	t.Parallel()
	must(t, atomicfile.WriteFile("/dev/null", []byte("new"), 0o600))
	must(t, atomicfile.WriteNew("/dev/null", []byte("new"), 0o600))
	pipe := filepath.Join(t.TempDir(), "pipe")
	must(t, syscall.Mkfifo(pipe, 0o600))
	cat := exec.CommandContext(t.Context(), "cat", pipe)
	var out bytes.Buffer
	cat.Stdout = &out
	must(t, cat.Start())
	must(t, atomicfile.WriteFile(pipe, []byte("through the pipe"), 0o600))
	must(t, cat.Wait())
	if out.String() != "through the pipe" {
		t.Errorf("got %q", out.String())
	}
}

// TestKilled kills writers at random times: the file has the complete old or the complete
// new content.
func TestKilled(t *testing.T) {
	t.Parallel()
	if name := os.Getenv("ATOMICFILE_WRITE"); name != "" {
		for {
			must(t, atomicfile.WriteFile(name, bytes.Repeat([]byte("new\n"), 1<<18), 0o600))
		}
	}
	name := filepath.Join(t.TempDir(), "file")
	file("", "old", 0o600)(t, name)
	for range 5 {
		writer := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$")
		writer.Env = append(os.Environ(), "ATOMICFILE_WRITE="+name)
		must(t, writer.Start())
		await.Until(t, "writing", func() bool {
			info, err := os.Stat(name + atomicfile.Suffix)
			return err == nil && info.Size() > 0
		})
		must(t, writer.Process.Kill())
		_ = writer.Wait()
		if got := read(t, name); got != "old" && len(got) != 4<<18 {
			t.Fatalf("the file has %d bytes", len(got))
		}
	}
	must(t, atomicfile.WriteFile(name, []byte("whole"), 0o600))
	if got := read(t, name); got != "whole" {
		t.Errorf("after the kills the file has %d bytes", len(got))
	}
}

func nothing(*testing.T, string) {}

func file(suffix, text string, mode fs.FileMode) func(*testing.T, string) {
	return func(t *testing.T, name string) {
		t.Helper()
		must(t, os.WriteFile(name+suffix, []byte(text), mode))
		must(t, os.Chmod(name+suffix, mode))
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	must(t, err)
	return string(text)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
