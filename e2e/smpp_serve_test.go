package e2e

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// installation is a directory for "countersign serve" with the configuration, the key and the
// database.
type installation struct{ dir string }

// install creates an installation with the carriers and routes of settings, and an account. flags
// are additional flags of "account create".
func install(t *testing.T, settings string, flags ...string) installation {
	t.Helper()
	i := installation{t.TempDir()}
	if !strings.Contains(settings, "ops_listen:") {
		settings += "\nops_listen: \"\"\n"
	}
	if !strings.Contains(settings, "fraud:") { // tests send to few numbers, which fraud rules would block
		settings += `
fraud:
  caps: {sends: [], account_sends: []}
  rules: {conversion: {mode: off}, sequence: {mode: off}, unverified: {mode: off}, prefix: {mode: off}}
  voice: {mode: off, prefix_calls: 0}
`
	}
	config := fmt.Sprintf("listen: 127.0.0.1:0\ndatabase: sqlite:%s\nkey_file: %s\nlog: {level: debug}\nlimits: {requests_per_second: 1000}\n%s",
		i.database(), filepath.Join(i.dir, "key"), settings)
	if err := os.WriteFile(i.config(), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	i.prepare(t)
	create := append([]string{"account", "create", "Tests", "--key", apiKey, "--secret", apiSecret, "--credit", "100"}, flags...)
	if out, err := i.run(t, create...); err != nil {
		t.Fatalf("create an account: %v\n%s", err, out)
	}
	return i
}

// prepare creates the configured database, and a key file if there is none.
func (i installation) prepare(t *testing.T) {
	t.Helper()
	if out, err := i.run(t, "migrate", "up"); err != nil {
		t.Fatalf("create the database: %v\n%s", err, out)
	}
	key := make([]byte, 32)
	rand.Read(key) // never fails (crypto/rand)
	f, err := os.OpenFile(filepath.Join(i.dir, "key"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return
	}
	if err == nil {
		_, err = fmt.Fprintf(f, "%x\n", key)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (i installation) config() string   { return filepath.Join(i.dir, "countersign.yaml") }
func (i installation) database() string { return filepath.Join(i.dir, "countersign.db") }

// run runs another command of the program, and returns its output.
func (i installation) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), countersign(t), append(args, "--config", i.config())...)
	cmd.Env = environment()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// launch starts the server without waiting for it.
func (i installation) launch(t *testing.T) *server {
	t.Helper()
	return launch(t, "serve", "--config", i.config())
}

// serve starts the server, waits until it listens, and stops it at the end of the test.
func (i installation) serve(t *testing.T) *server {
	t.Helper()
	s := i.launch(t)
	t.Cleanup(func() { s.end(t) })
	s.awaitURL(t)
	return s
}

// viaSMPP returns the configuration of a carrier, with more settings such as "binds: 2".
func viaSMPP(name, address string, more ...string) string {
	return fmt.Sprintf("  - {name: %s, type: smpp, smpp: {addresses: [%q], system_id: acme, password: %q%s}}\n",
		name, address, smppPassword, strings.Join(append([]string{""}, more...), ", "))
}

// smppPassword is the password for SMSCs. No other output may contain it.
const smppPassword = "pA55word"

// found returns the verification as search returns it.
func (s *server) found(t *testing.T, id string) fields {
	t.Helper()
	return s.ask(t, "/verify/search/json", "request_id", id)
}
