package e2e

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// client is a program in clients/ that makes calls for a test, by the protocol of
// clients/lines.mjs.
type client struct {
	mu      sync.Mutex
	calls   io.WriteCloser
	answers *bufio.Reader
	log     *journal
}

// run starts the client in file, with settings as its environment, and ends it after the test.
func run(t *testing.T, file string, settings ...string) *client {
	t.Helper()
	interpreter := "node"
	if filepath.Ext(file) == ".pl" {
		interpreter = "perl"
	}
	require(t, interpreter)
	cmd := exec.Command(interpreter, filepath.Join("clients", file))
	cmd.Env = append(os.Environ(), settings...)
	calls, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c := &client{calls: calls, answers: bufio.NewReader(answers), log: newJournal()}
	cmd.Stderr = c.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := calls.Close(); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", file, err, c.log)
		}
	})
	return c
}

// fields are the fields of a JSON object.
type fields map[string]any

// call makes a call of the client and returns its result. It fails the test on an error.
func (c *client) call(t *testing.T, name string, args ...any) fields {
	t.Helper()
	result, failure := c.try(t, name, args...)
	if failure != "" {
		t.Fatalf("%s%v: %s", name, args, failure)
	}
	return result
}

// try makes a call of the client and returns its result, or the error that it threw.
func (c *client) try(t *testing.T, name string, args ...any) (result fields, failure string) {
	t.Helper()
	if args == nil {
		args = []any{}
	}
	line, err := json.Marshal(map[string]any{"call": name, "args": args})
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.calls.Write(append(line, '\n')); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, c.log)
	}
	line, err = c.answers.ReadBytes('\n')
	if err != nil {
		t.Fatalf("%s: the client ended: %v\n%s", name, err, c.log)
	}
	var answer struct {
		Result fields
		Error  *struct{ Message string }
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		t.Fatalf("%s: %v in %s", name, err, line)
	}
	if answer.Error != nil {
		return nil, answer.Error.Message
	}
	return answer.Result, ""
}

// want reports fields that differ from the expected ones, given as name, value, name, value
// and so on.
func (f fields) want(t *testing.T, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if name, want := pairs[i], pairs[i+1]; f[name] != want {
			t.Errorf("got %s %v, want %q, in %v", name, f[name], want, f)
		}
	}
}

// text returns a field, which must be a string that is not empty.
func (f fields) text(t *testing.T, name string) string {
	t.Helper()
	s, _ := f[name].(string)
	if s == "" {
		t.Fatalf("no text %s in %v", name, f)
	}
	return s
}

// list returns a field, which must be a list of objects.
func (f fields) list(t *testing.T, name string) []fields {
	t.Helper()
	items, ok := f[name].([]any)
	if !ok {
		t.Fatalf("no list %s in %v", name, f)
	}
	list := make([]fields, len(items))
	for i, item := range items {
		object, ok := item.(map[string]any)
		if !ok {
			t.Fatalf("%s[%d] is not an object in %v", name, i, f)
		}
		list[i] = object
	}
	return list
}
