package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// installation is a configuration in a temporary directory, with a database and a key
// file in data.
type installation struct {
	t       *testing.T
	dir     string
	environ []string
}

func install(t *testing.T) *installation {
	t.Helper()
	in := configure(t)
	if err := os.Mkdir(filepath.Join(in.dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range migrated(t) {
		in.file(name, content)
	}
	return in
}

// migrated returns the files that "migrate up" writes for a new installation, by path.
// The command runs once, since its migrations take longer than most tests.
func migrated(t *testing.T) map[string]string {
	t.Helper()
	template.once.Do(func() {
		in := configure(t)
		in.ok("migrate", "up", "CONFIG")
		files := map[string]string{}
		for _, name := range []string{"data/countersign.db", "data/key"} {
			content, err := os.ReadFile(filepath.Join(in.dir, name))
			if err != nil {
				t.Fatal(err)
			}
			files[name] = string(content)
		}
		template.files = files
	})
	if template.files == nil {
		t.Fatal(`"migrate up" failed in another test`)
	}
	return template.files
}

// template holds the result of migrated.
var template struct {
	once  sync.Once
	files map[string]string
}

// configure returns an installation without database and key file.
func configure(t *testing.T) *installation {
	t.Helper()
	dir := t.TempDir()
	in := &installation{t: t, dir: dir, environ: []string{"PATH=/usr/bin"}}
	in.file("config.yaml", "database: sqlite:"+filepath.Join(dir, "data", "countersign.db")+"\nkey_file: "+filepath.Join(dir, "data", "key")+"\n")
	return in
}

func (in *installation) file(name, text string) (path string) {
	in.t.Helper()
	path = filepath.Join(in.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		in.t.Fatal(err)
	}
	return path
}

// run runs a command. CONFIG in its arguments is replaced with the flag --config.
func (in *installation) run(args ...string) (code int, stdout, stderr string) {
	in.t.Helper()
	var out, errs bytes.Buffer
	for i, a := range args {
		if a == "CONFIG" {
			args[i] = "--config=" + filepath.Join(in.dir, "config.yaml")
		}
	}
	code = run(in.t.Context(), args, in.environ, &out, &errs)
	return code, out.String(), errs.String()
}

// ok runs a command that must succeed with an empty stderr.
func (in *installation) ok(args ...string) (stdout string) {
	in.t.Helper()
	code, stdout, stderr := in.run(args...)
	if code != 0 || stderr != "" {
		in.t.Fatalf("%v: code %d, stderr %q", args, code, stderr)
	}
	return stdout
}

// fails runs a command that must fail with why in its error.
func (in *installation) fails(code int, why string, args ...string) {
	in.t.Helper()
	got, stdout, stderr := in.run(args...)
	if got != code || !strings.Contains(stderr, why) || !strings.HasPrefix(stderr, "error: ") {
		in.t.Errorf("%v: code %d, stderr %q; want %d and %q", args, got, stderr, code, why)
	}
	if stdout != "" {
		in.t.Errorf("%v: a failure writes to stdout: %q", args, stdout)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.fails(2, "frobnicate", "frobnicate")
	in.fails(2, "expected one of", []string{}...)
	in.fails(2, "--nonsense", "version", "--nonsense")
	in.fails(2, "bar", "account")
	in.fails(2, "<key>", "account", "bar")
	if got := in.ok("version"); !regexp.MustCompile(`^countersign \S+\ncommit: .+\nbuild time: .+\ngo version: go1\S+ \S+/\S+\n$`).MatchString(got) {
		t.Errorf("version prints %q", got)
	}
	help := in.ok("--help")
	for _, command := range []string{"demo", "serve", "account create", "account list", "account rotate-secret", "account bar",
		"account unbar", "account credit", "number block", "number unblock", "number list", "price export", "price import", "backup", "version"} {
		if !strings.Contains(help, "\n  "+command+" ") {
			t.Errorf("the help does not name %q:\n%s", command, help)
		}
		if got := in.ok(append(strings.Fields(command), "--help")...); !strings.Contains(got, "Usage: countersign "+command) {
			t.Errorf("the help of %s is %q", command, got)
		}
	}
}

func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.fails(1, "no/such", "account", "list", "--config", filepath.Join(in.dir, "no/such.yaml"))
	bad := in.file("bad.yaml", "nonsense: 1\ndatabase: mysql:x\n")
	in.fails(1, "nonsense", "account", "list", "--config", bad)
	in.fails(1, "scheme", "account", "list", "--config", in.file("mysql.yaml", "database: mysql:x\n"))
	in.fails(1, "listen", "serve", "--config", in.file("listen.yaml", "listen: nowhere\n"))
	in.fails(1, "tls.key", "serve", "CONFIG", "--tls-cert=x")
	in.environ = append(in.environ, "COUNTERSIGN_NONSENSE=1")
	in.fails(1, "COUNTERSIGN_NONSENSE", "account", "list", "CONFIG")
}

// TestDefaultConfigurationFile checks that without --config and COUNTERSIGN_CONFIG the
// file in /etc is read if it exists, and that errors name it.
func TestDefaultConfigurationFile(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.ok("account", "create", "Acme", "--key=acme0001", "CONFIG")
	other := in.file("other.yaml", "database: sqlite:"+filepath.Join(in.dir, "other.db")+"\n")
	etc := filepath.Join(in.dir, "config.yaml")
	for _, tt := range []struct {
		file           string
		args           []string
		environ        []string
		stdout, stderr string
	}{
		{file: etc, stdout: "acme0001\n"},
		{file: etc, environ: []string{"COUNTERSIGN_CONFIG="}, stdout: "acme0001\n"},
		{file: etc, environ: []string{"COUNTERSIGN_CONFIG=" + other}, stderr: "other.db (from " + other + ":1) is missing"},
		{file: other, environ: []string{"COUNTERSIGN_CONFIG=" + etc}, stdout: "acme0001\n"},
		{file: etc, args: []string{"--config=" + other}, environ: []string{"COUNTERSIGN_CONFIG=" + etc}, stderr: "other.db (from " + other + ":1) is missing"},
		{file: other, stderr: "other.db (from " + other + ":1) is missing"},
		{file: in.file("empty.yaml", ""), stderr: "(the default; " + filepath.Join(in.dir, "empty.yaml") + " does not set it) is missing"},
		{file: "/no/such.yaml", stderr: "(the default; there is no configuration file /no/such.yaml) is missing"},
		{file: in.dir, stderr: "config file: read " + in.dir},
	} {
		if _, err := os.Stat("/var/lib/countersign/countersign.db"); err == nil && strings.Contains(tt.stderr, "(the default;") {
			continue // this machine has an installation
		}
		var out, errs bytes.Buffer
		p := newProcess(t.Context(), tt.environ, &out, &errs)
		if p.configFile != "/etc/countersign/countersign.yaml" {
			t.Fatalf("the default is %s", p.configFile)
		}
		p.configFile = tt.file
		code := p.run(append([]string{"account", "list", "--quiet"}, tt.args...))
		if out.String() != tt.stdout || !strings.Contains(errs.String(), tt.stderr) || (code == exitOK) != (tt.stderr == "") {
			t.Errorf("%+v: code %d, stdout %q, stderr %q", tt, code, out.String(), errs.String())
		}
	}
}

// TestEnvironment checks that variables override the file.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	in := install(t)
	other := filepath.Join(in.dir, "other.db")
	in.environ = append(in.environ, "COUNTERSIGN_DATABASE=sqlite:"+other)
	in.ok("migrate", "up", "CONFIG")
	in.ok("account", "create", "Acme", "CONFIG")
	if _, err := os.Stat(other); err != nil {
		t.Errorf("the variable has no effect: %v", err)
	}
}

// TestKeyIsNeverMadeAnew checks that a lost key file is an error and is not replaced.
func TestKeyIsNeverMadeAnew(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.ok("account", "create", "Acme", "CONFIG")
	key := filepath.Join(in.dir, "data", "key")
	was, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	in.fails(1, "exists but its key file", "account", "list", "CONFIG")
	if _, err := os.Stat(key); err == nil {
		t.Error("a new key was made")
	}
	in.file("data/key", strings.Repeat("00", 32))
	in.fails(1, "does not open", "account", "list", "CONFIG")
	in.file("data/key", string(was))
	in.ok("account", "list", "CONFIG")
}

func TestDemoRefuses(t *testing.T) {
	t.Parallel()
	in := install(t)
	const public = "or --public to allow it"
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.com:0", "localhost.example.com:0"} {
		in.fails(1, public, "demo", "--listen", address)
		in.fails(1, public, "demo", "--listen", "127.0.0.1:0", "--ops-listen", address)
	}
	for _, speed := range []string{"0", "-1", "10001"} {
		in.fails(2, "--speed must be from 1 to 10000", "demo", "--listen", "127.0.0.1:0", "--speed="+speed)
	}
	in.fails(2, "--speed", "demo", "--speed=fast")
	in.fails(1, "tls.key", "demo", "--listen", "127.0.0.1:0", "--tls-cert=x")
	in.fails(2, "--log-level", "demo", "--log-level=loud")
}

// writer sends each write to the channel.
type writer chan string

func (w writer) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}

// TestDemo starts demonstrations and stops them.
func TestDemo(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"default":   {},
		"localhost": {"--listen=localhost:0"},
		"IPv6":      {"--listen=[::1]:0"},
		"public":    {"--listen=0.0.0.0:0", "--public"},
		"fastest":   {"--speed=10000", "--unlimited"},
		"tls":       {"--tls"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "IPv6" {
				l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "[::1]:0")
				if err != nil {
					t.Skip("no IPv6 here")
				}
				l.Close()
			}
			dir := t.TempDir()
			args := append([]string{"demo", "--listen=127.0.0.1:0", "--data=" + filepath.Join(dir, "new")}, args...)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			out := make(writer, 10)
			var errs bytes.Buffer
			code := make(chan int, 1)
			go func() { code <- run(ctx, args, nil, out, &errs) }()
			select {
			case greeting := <-out:
				for _, want := range []string{"demo0001", "demosecret0001", "barred01", "broke001", "trial001", "447700900001", "447700900006",
					"447700900007", "447700900015", "447700900040", "/verify/json -d api_key=demo0001", "/phone"} {
					if !strings.Contains(greeting, want) {
						t.Errorf("the greeting lacks %s:\n%s", want, greeting)
					}
				}
				if https := strings.Contains(greeting, "https://"); https != (name == "tls") || https != strings.Contains(greeting, "--cacert") {
					t.Errorf("https: %v in\n%s", https, greeting)
				}
			case c := <-code:
				t.Fatalf("code %d: %s", c, errs.String())
			}
			stop()
			if c := <-code; c != 0 {
				t.Errorf("code %d: %s", c, errs.String())
			}
			if _, err := os.Stat(filepath.Join(dir, "new", "countersign.db")); err != nil {
				t.Errorf("its data is deleted: %v", err)
			}
		})
	}
}

// run runs the program and returns its exit code.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) (code int) {
	return newProcess(ctx, environ, stdout, stderr).run(args)
}
