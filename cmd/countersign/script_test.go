package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/testscript"

	"countersign/internal/await"
	"countersign/internal/config"
)

// TestMain builds the program and puts it first in PATH, for tests and scripts that run
// it as a process. The build has no race detector: scripts start hundreds of processes,
// which would take seven times as long. The other tests of this package and of
// internal/server run the same code with the detector. Scripts use curl; if it is not
// installed, a substitute for the few options that they need.
func TestMain(m *testing.M) {
	commands := map[string]func(){}
	_, err := exec.LookPath("curl")
	standIn := filepath.Base(os.Args[0]) == "curl"
	if err != nil || standIn {
		commands["curl"] = func() { os.Exit(curl(os.Args[1:])) }
	}
	if standIn {
		testscript.Main(m, commands)
		return
	}
	testscript.Main(built{m}, commands)
}

// built runs the tests with the program in PATH.
type built struct{ *testing.M }

func (b built) Run() int {
	dir, err := os.MkdirTemp("", "countersign-program")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "countersign"), ".")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		return 1
	}
	if err := os.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH")); err != nil {
		panic(err)
	}
	return b.M.Run()
}

// root is the root of the repository.
const root = "../.."

// TestScripts runs the scripts in testdata/script, one for each feature.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			readme, err := os.ReadFile(filepath.Join(root, "README.md"))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(env.WorkDir, "README.md"), readme, 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await":       awaitText,
			"sigterm":     sigterm,
			"session":     session,
			"certificate": certificate,
			"postgres":    postgres(t),
		},
	})
}

// awaitText implements "await FILE REGEXP [NAME]": it waits until the file, written by a
// program in the background, matches, and sets NAME to the first group.
func awaitText(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: await file regexp [name]")
	}
	path, want := ts.MkAbs(args[0]), regexp.MustCompile(args[1])
	var text []byte
	var found [][]byte
	t := scriptTB{ts: ts, show: func() string { return string(text) }}
	await.Until(t, fmt.Sprintf("in %s: %q", args[0], args[1]), func() bool {
		text, _ = os.ReadFile(path) // the file may not exist yet
		found = want.FindSubmatch(text)
		return found != nil
	})
	if len(args) == 3 {
		ts.Setenv(args[2], string(found[1]))
	}
}

// scriptTB lets package await fail a script. show returns the state that did not meet
// the condition.
type scriptTB struct {
	testing.TB
	ts   *testscript.TestScript
	show func() string
}

func (scriptTB) Helper() {}

func (t scriptTB) Fatalf(format string, args ...any) {
	t.ts.Fatalf("%s\n%s", fmt.Sprintf(format, args...), t.show())
}

// sigterm sends SIGTERM to the programs in the background.
func sigterm(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: sigterm")
	}
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGTERM))
	}
}

// readmeAddress is the address of the server in README.md.
const readmeAddress = "127.0.0.1:8080"

// session FILE ADDRESS runs the first shell session in a Markdown file against the server
// at ADDRESS and compares the output. Ids, times and codes differ in each run; equal ids
// in the file must be equal in the output and in later commands.
func session(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: session file address")
	}
	commands, err := readSession(ts.ReadFile(args[0]))
	ts.Check(err)
	real := strings.NewReplacer(readmeAddress, args[1])
	known := map[string]string{} // from a printed value to its current value
	for _, c := range commands {
		line := real.Replace(c.line)
		for _, printed := range slices.Sorted(maps.Keys(known)) {
			line = regexp.MustCompile(`\b`+printed+`\b`).ReplaceAllString(line, known[printed])
		}
		// The message arrives shortly after the response, so commands that only read are
		// repeated until it is shown.
		reads := !strings.Contains(line, " -d ")
		var differs error
		await.Until(scriptTB{ts: ts, show: func() string { return differs.Error() }}, "answered as shown: "+line, func() bool {
			ts.Check(ts.Exec("sh", "-c", line))
			differs = learn(c.output, strings.TrimSpace(ts.ReadFile("stdout")), known)
			if differs != nil && !reads {
				ts.Fatalf("%s\n%v", line, differs)
			}
			return differs == nil
		})
	}
}

type typed struct{ line, output string }

// readSession parses the first block ```console.
func readSession(markdown string) ([]typed, error) {
	_, rest, ok := strings.Cut(markdown, "```console\n")
	block, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		return nil, fmt.Errorf("no block of ```console")
	}
	var session []typed
	for line := range strings.Lines(block) {
		line = strings.TrimSuffix(line, "\n")
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			session = append(session, typed{line: command})
		} else if len(session) > 0 {
			last := &session[len(session)-1]
			last.output = strings.TrimSpace(last.output + "\n" + line)
		}
	}
	if len(session) != 3 {
		return nil, fmt.Errorf("the session has %d commands, want 3: start, read, check", len(session))
	}
	return session, nil
}

// changing matches values that differ in each run: UUIDs, request ids, times and PINs.
var changing = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}` +
	`|\d{4}-\d\d-\d\dT[0-9:.]+Z|code: \d{4}\b`)

// learn compares an output with the printed output and adds the current values of printed
// values to known.
func learn(printed, now string, known map[string]string) error {
	const hidden = "…"
	if got, want := changing.ReplaceAllString(now, hidden), changing.ReplaceAllString(printed, hidden); got != want {
		return fmt.Errorf("got  %s\nwant %s", now, printed)
	}
	actual := changing.FindAllString(now, -1)
	for i, old := range changing.FindAllString(printed, -1) {
		old, value := strings.TrimPrefix(old, "code: "), strings.TrimPrefix(actual[i], "code: ")
		if before, ok := known[old]; ok && before != value {
			return fmt.Errorf("%s is printed for both %s and %s", old, before, value)
		}
		known[old] = value
	}
	return nil
}

// curl is a substitute for curl: it fetches a URL, by POST with -d.
func curl(args []string) int {
	options := flag.NewFlagSet("curl", flag.ContinueOnError)
	options.Bool("s", false, "be silent")
	ca := options.String("cacert", "", "certificate to trust")
	form := url.Values{}
	options.Func("d", "name=value", func(field string) error {
		name, value, _ := strings.Cut(field, "=")
		form.Add(name, value)
		return nil
	})
	var target string
	for len(args) > 0 { // options may follow the URL
		if err := options.Parse(args); err != nil {
			return 2
		}
		if args = options.Args(); len(args) > 0 {
			target, args = args[0], args[1:]
		}
	}
	if err := fetch(target, form, *ca); err != nil {
		fmt.Fprintln(os.Stderr, "curl:", err)
		return 1
	}
	return 0
}

func fetch(target string, form url.Values, ca string) error {
	if !strings.Contains(target, "://") {
		target = "http://" + target
	}
	trusted := x509.NewCertPool()
	pem, _ := os.ReadFile(ca) // an unreadable file adds no trusted certificate
	trusted.AppendCertsFromPEM(pem)
	client := http.Client{Timeout: await.Limit, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12},
	}}
	method, body := http.MethodGet, io.Reader(nil)
	if len(form) > 0 {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(context.Background(), method, target, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(os.Stdout, resp.Body)
	return err
}

// TestCommandLineIsDocumented checks that docs/reference/command-line.md has a section
// for each command with its arguments, flags and defaults, and no others.
func TestCommandLineIsDocumented(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&cli{}, kong.Name("countersign"))
	if err != nil {
		t.Fatal(err)
	}
	documented := sections(t, "docs/reference/command-line.md", "## ")
	// Flags shared by several commands, by the titles of their groups.
	common := map[string]string{
		"Admin API": documented["Whom a command asks"], "Settings": documented["Settings of an account"], "Output": documented["Output"],
	}
	for _, command := range parser.Model.Leaves(true) {
		name, _, _ := strings.Cut(command.FullPath(), " (") // without its aliases
		t.Run(name, func(t *testing.T) {
			section, ok := documented[name]
			if !ok {
				t.Fatalf("no section %q among %q", name, slices.Sorted(maps.Keys(documented)))
			}
			var want []string
			for _, arg := range command.Positional {
				want = append(want, "<"+arg.Name+"> ")
			}
			for _, f := range command.Flags {
				if f.Name != "help" && f.Group == nil && !f.Hidden {
					want = append(want, "--"+f.Name+" "+f.Default)
				}
			}
			var got []string
			for _, row := range rows(section) {
				if flag := strings.Trim(strings.Fields(row[0])[0], "`,"); strings.HasPrefix(flag, "-") || strings.HasPrefix(flag, "<") {
					got = append(got, flag+" "+row[1])
				}
			}
			compare(t, got, want)
			for _, f := range command.Flags {
				flag := "`--" + f.Name
				if f.Tag.Negatable != "" {
					flag = "`--[no-]" + f.Name
				}
				if f.Group != nil && !regexp.MustCompile(regexp.QuoteMeta(flag)+"[ `]").MatchString(common[f.Group.Title]) {
					t.Errorf("the page lacks --%s", f.Name)
				}
			}
		})
		delete(documented, name)
	}
	for name := range documented {
		if strings.HasPrefix(name, "countersign ") {
			t.Errorf("the program has no %q", name)
		}
	}
}

// TestConfigurationIsDocumented checks that docs/reference/configuration.md has every
// setting with its default, its variable and the range of each number, and no others.
func TestConfigurationIsDocumented(t *testing.T) {
	t.Parallel()
	var got []string
	page := sections(t, "docs/reference/configuration.md", "# ")["Configuration"]
	page, ranges, _ := strings.Cut(page, "\n## Ranges\n")
	for _, row := range rows(page) {
		got = append(got, strings.Join(row[:3], " "))
	}
	compare(t, got, settings(reflect.ValueOf(config.Default()), "", false))

	var documented, want []string
	for _, row := range rows(ranges) {
		documented = append(documented, strings.Join(row, ": "))
	}
	for _, r := range config.Ranges() {
		want = append(want, r.Key+": "+r.String())
	}
	compare(t, documented, want)
}

// settings returns "key default variable" of each setting.
func settings(v reflect.Value, prefix string, inList bool) []string {
	var list []string
	for i := range v.NumField() {
		key, field := prefix+v.Type().Field(i).Tag.Get("yaml"), v.Field(i)
		variable := config.EnvPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
		value := strings.Replace(fmt.Sprint(field), "h0m0s", "h", 1)
		if field.Kind() == reflect.Slice || field.Kind() == reflect.Map {
			value = "" // the text of the page has the defaults of lists
		}
		if inList {
			value, variable = "", ""
		}
		switch {
		case field.Kind() == reflect.Struct:
			list = append(list, settings(field, key+".", inList)...)
			continue
		case field.Kind() == reflect.Slice && field.Type().Elem().Kind() == reflect.Struct:
			list = append(list, settings(reflect.Zero(field.Type().Elem()), key+"[].", true)...)
		}
		list = append(list, key+" "+value+" "+variable)
	}
	return list
}

// TestLinksLeadSomewhere checks the links between the pages.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	var pages []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range regexp.MustCompile(`\]\(([^):#]+)(#[^)]*)?\)`).FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), link[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

// sections returns the text below each heading of a level ("## ") of a page.
func sections(t *testing.T, page, level string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, part := range strings.Split("\n"+string(text), "\n"+level)[1:] {
		title, body, _ := strings.Cut(part, "\n")
		found[strings.Trim(title, "`")] = body
	}
	return found
}

// rows returns the cells, without backquotes, of all table rows with code in the first cell.
func rows(section string) [][]string {
	var found [][]string
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i, cell := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cell), "`")
		}
		found = append(found, cells)
	}
	return found
}

// compare checks that both lists have equal elements, in any order.
func compare(t *testing.T, got, want []string) {
	t.Helper()
	for _, g := range got {
		if !slices.Contains(want, g) {
			t.Errorf("the page has %q, the program does not", g)
		}
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("the page lacks %q", w)
		}
	}
}
