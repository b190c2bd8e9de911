package e2e

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTutorial runs the application of docs/tutorial.md six times for its number, against a demo
// with default limits.
func TestTutorial(t *testing.T) {
	t.Parallel()
	require(t, "node")
	s := start(t, "--unlimited=false")
	page, err := os.ReadFile("../docs/tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```js\n")
	program, _, ok := strings.Cut(rest, "```")
	if !ok || !strings.Contains(program, "http://127.0.0.1:8080") {
		t.Fatal("the tutorial contains no program for the server at http://127.0.0.1:8080")
	}
	dir, err := os.MkdirTemp(".", "tutorial-") // below node_modules, for its imports
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file := filepath.Join(dir, "verify.mjs")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(program, "http://127.0.0.1:8080", s.url)), 0o600); err != nil {
		t.Fatal(err)
	}
	const number, runs = "447700900000", 6
	for i := range runs {
		if out := s.followTutorial(t, file, number, i); !strings.Contains(out, "verified") {
			t.Fatalf("run %d:\n%s", i+1, out)
		}
	}
}

// followTutorial runs the program once: it enters a wrong code and then the right one.
func (s *server) followTutorial(t *testing.T, file, number string, before int) (output string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience) // node loads the SDK for seconds on a busy machine
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", file)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(out)
	said := func(end byte) string { // reads the output up to a prompt, or to the end
		text, err := reader.ReadString(end)
		if err != nil && err != io.EOF {
			t.Error(err)
		}
		return text
	}
	answer := func(line string) {
		if _, err := io.WriteString(in, line+"\n"); err != nil {
			t.Error(err)
		}
	}
	if output = said(':'); strings.Contains(output, "request ") {
		code := s.await(t, number, before+1).pin(t)
		wrong := "0000"
		if code == wrong {
			wrong = "1111"
		}
		answer(wrong)
		output += said(':')
		answer(code)
	}
	_ = in.Close() // an error means that the program has ended
	rest, err := io.ReadAll(reader)
	if err != nil {
		t.Error(err)
	}
	output += string(rest)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the program ended with %v", err)
	}
	return output
}
