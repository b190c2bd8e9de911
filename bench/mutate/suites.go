package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// listed is what "go list -json" prints of a package, as far as it matters here.
type listed struct {
	ImportPath   string
	Dir          string
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Standard     bool
}

// list returns the packages that match patterns.
func list(ctx context.Context, patterns ...string) ([]listed, error) {
	args := append([]string{"list", "-json=ImportPath,Dir,GoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports,Standard"}, patterns...)
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // the developer names the packages
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w: %s", strings.Join(patterns, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	var packages []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		packages = append(packages, p)
	}
}

// dependents returns the packages with tests that contain target, directly or through
// other packages in all.
func dependents(target string, all []listed) []string {
	users := map[string]bool{target: true} // packages that contain target without their tests
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if !users[p.ImportPath] && slices.ContainsFunc(p.Imports, func(i string) bool { return users[i] }) {
				users[p.ImportPath], grown = true, true
			}
		}
	}
	var suites []string
	for _, p := range all {
		tested := len(p.TestGoFiles)+len(p.XTestGoFiles) > 0
		through := slices.ContainsFunc(slices.Concat(p.TestImports, p.XTestImports), func(i string) bool { return users[i] })
		if tested && (users[p.ImportPath] || through) {
			suites = append(suites, p.ImportPath)
		}
	}
	return suites
}

// suite is the tests of one package, as they ran without a mutant.
type suite struct {
	path   string
	took   time.Duration
	blocks map[string][]block // key: import path of the package, a slash, name of the file
}

// block is a stretch of source, in lines and columns from 1.
type block struct {
	line, col, endLine, endCol int
	ran                        bool // whether the suite ran it
}

func (b block) contains(line, col int) bool {
	after := line > b.line || line == b.line && col >= b.col
	before := line < b.endLine || line == b.endLine && col <= b.endCol
	return after && before
}

// reaches reports whether the suite can have run the place of a site of the package at
// path. The profile has no block for the expression of a case and for some conditions:
// such a place counts as run.
func (s suite) reaches(path string, at site) bool {
	known := false
	for _, b := range s.blocks[path+"/"+filepath.Base(at.file)] {
		if !b.contains(at.line, at.col) {
			continue
		}
		if b.ran {
			return true
		}
		known = true
	}
	return !known
}

// longest is the limit of one suite without a mutant.
const longest = 10 * time.Minute

// measure runs the suite at path without a mutant. The result has its duration and
// the blocks of the packages in targets. A failing suite is an error, because every
// mutant would count as killed.
func (r *runner) measure(ctx context.Context, path string, targets []string) (suite, error) {
	profile := filepath.Join(r.dir, "cover.out")
	defer func() { _ = os.Remove(profile) }()
	begin := time.Now()
	out, err := r.test(ctx, longest, nil, "-coverprofile="+profile, "-coverpkg="+strings.Join(targets, ","), path)
	if err != nil {
		return suite{}, fmt.Errorf("test %s without a mutant: %w\n%s", path, err, tail(out))
	}
	text, err := os.ReadFile(profile)
	if err != nil {
		return suite{}, err
	}
	blocks, err := parseProfile(string(text))
	return suite{path: path, took: time.Since(begin), blocks: blocks}, err
}

// parseProfile returns the blocks of a profile by the path of their file. A
// line is "FILE:LINE.COL,LINE.COL STATEMENTS COUNT" (golang.org/x/tools/cover).
func parseProfile(text string) (map[string][]block, error) {
	blocks := make(map[string][]block)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "mode:") {
			continue
		}
		file, rest, ok := strings.Cut(line, ".go:")
		if !ok {
			return nil, fmt.Errorf("coverage profile: line %q has no file", line)
		}
		fields := strings.FieldsFunc(rest, func(c rune) bool { return c == '.' || c == ',' || c == ' ' })
		var n [4]int
		if len(fields) < len(n) {
			return nil, fmt.Errorf("coverage profile: line %q has no position", line)
		}
		for i := range n {
			var err error
			if n[i], err = strconv.Atoi(fields[i]); err != nil {
				return nil, fmt.Errorf("coverage profile: line %q: %w", line, err)
			}
		}
		blocks[file+".go"] = append(blocks[file+".go"], block{n[0], n[1], n[2], n[3], !strings.HasSuffix(line, " 0")})
	}
	return blocks, nil
}

// runner runs the go command.
type runner struct {
	dir    string // for files of a mutant
	memory uint64 // address space of each process, in KiB
}

// test runs "go test" with args, and ends at the first failure of a test.
func (r *runner) test(ctx context.Context, limit time.Duration, overlay map[string]string, args ...string) ([]byte, error) {
	return r.command(ctx, limit, overlay, slices.Concat([]string{"test", "-count=1", "-vet=off", "-failfast", "-timeout=0"}, args)...)
}

// command runs the go command and returns its output. It ends all its processes
// after limit, which is an error. overlay maps the path of a source file to the
// path of its replacement; nil replaces no file.
func (r *runner) command(ctx context.Context, limit time.Duration, overlay map[string]string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	script := fmt.Sprintf(`ulimit -v %d && exec go "$@"`, r.memory)
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", script, "go"}, args...)...) //nolint:gosec // args are arguments of the script, not its text
	cmd.Env = append(os.Environ(), "RAPID_NOFAILFILE=1")                                    // or a killed mutant leaves a file in testdata/rapid
	if overlay != nil {
		text, err := json.Marshal(map[string]any{"Replace": overlay})
		if err != nil {
			return nil, err
		}
		name := filepath.Join(r.dir, "overlay.json")
		if err := os.WriteFile(name, text, 0o600); err != nil {
			return nil, err
		}
		// Through the environment, so that a build inside a test sees the mutant too.
		cmd.Env = append(cmd.Env, "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+name))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("did not end within %s: %w", limit, ctx.Err())
	}
	return out, err
}

// tail returns the last lines of an output.
func tail(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}
