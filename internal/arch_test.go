// Package internal holds no code: only the test that keeps the packages below it
// in their order.
package internal

import (
	"errors"
	"go/build"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// room is the place of one package in the house.
type room struct {
	path  string
	ours  []string // packages of ours that it may import; "*" is all of them
	never []string // packages of others that it must not import
}

// The house from the ground up: what a package may import stands above it.
//
//	cmd → apiv1, adminapi, console → web, engine → store, deliver, task, message → verify
//
// To add a package, add its row; keep the row short. A row that has to grow is a
// decision: write it down in docs/decisions.
func house() []room {
	const (
		http = "net/http"
		sql  = "database/sql"
	)
	outside := []string{http, sql, "net", "net/url", "os", "io/fs"}

	return []room{
		// The rules of a verification: pure, standard library only.
		{path: "internal/verify", never: outside},

		// Knowledge of numbers, signatures and words; pure, too.
		{path: "internal/digits", never: outside},
		{path: "internal/timetext", never: outside},
		{path: "internal/phone", ours: []string{"digits", "verify"}, never: outside},
		{path: "internal/signature", never: outside},
		{path: "internal/message", ours: []string{"verify", "suggest"}, never: outside},

		// The rules against fraud; pure, too.
		{path: "internal/fraud", ours: []string{"verify"}, never: outside},

		// The policy on accounts and the checks of their settings; pure, too.
		{path: "internal/account", ours: []string{"verify", "phone", "message"}, never: outside},

		// Carriers take a message and say whether they accepted it. They know
		// neither the store nor the engine.
		{path: "internal/deliver", ours: []string{"verify", "message"}, never: outside},
		{path: "internal/deliver/placeholder", ours: []string{"verify", "deliver"}, never: outside},
		{path: "internal/deliver/tts/audio", never: outside},
		{path: "internal/deliver/tts", ours: []string{"message", "deliver/tts/audio"}, never: []string{http, sql}},
		{path: "internal/deliver/virtual", ours: []string{"verify", "message", "deliver"}, never: []string{http, sql}},

		{path: "internal/deliver/sink", ours: []string{"deliver"}, never: []string{http, sql}},

		{path: "internal/deliver/gsm", never: outside},
		{path: "internal/deliver/smpp/pdu", never: outside},
		{path: "internal/deliver/smpp", ours: []string{"verify", "deliver", "deliver/gsm", "deliver/placeholder", "deliver/smpp/pdu"}, never: []string{http, sql}},
		{path: "internal/deliver/smpp/smsc", ours: []string{"deliver/gsm", "deliver/smpp/pdu"}, never: []string{http, sql}},
		{path: "internal/deliver/httpsms", ours: []string{"verify", "deliver", "deliver/gsm", "deliver/placeholder", "web"}, never: []string{sql}}, // it serves callbacks, too

		{
			path:  "internal/deliver/sip",
			ours:  []string{"verify", "message", "phone", "deliver", "deliver/tts/audio", "deliver/sip/media"},
			never: []string{http, sql},
		},
		{path: "internal/deliver/sip/media", ours: []string{"deliver/tts/audio"}, never: []string{http, sql}},
		{path: "internal/deliver/sip/softphone", ours: []string{"deliver/tts/audio", "deliver/sip/media"}, never: []string{http, sql}},

		// The nearest word to a mistyped one.
		{path: "internal/suggest", never: outside},

		// Text that spreadsheets do not take for formulas.
		{path: "internal/spreadsheet", never: outside},

		// Files that are complete or absent, and locks on files.
		{path: "internal/filelock", never: []string{http, sql, "net"}},
		{path: "internal/atomicfile", ours: []string{"filelock"}, never: []string{http, sql, "net"}},

		// The program's time.
		{path: "internal/clock", never: []string{http, sql, "net"}},
		// Certificates of listeners, from files that may change.
		{path: "internal/certificate", never: []string{http, sql, "net"}},

		// The timers, and what is durable. Of the carriers the store knows only
		// the virtual phone, whose inbox it keeps.
		{path: "internal/task", ours: []string{"verify"}, never: []string{http, sql}},
		{path: "internal/store", ours: []string{"verify", "fraud", "task", "deliver/virtual", "atomicfile", "filelock"}, never: []string{http}},

		// URLs of customers, and the templates that they hand in.
		{path: "internal/outbound", never: []string{sql}},
		{
			path:  "internal/template",
			ours:  []string{"verify", "account", "message", "deliver/gsm", "deliver/tts/audio", "outbound", "store"},
			never: []string{http, sql},
		},

		// The use cases, which know of no wire.
		// Who watches how an installation is used.
		{path: "internal/velocity", ours: []string{"verify", "fraud", "task", "store"}, never: []string{http, sql, "net"}},

		// Refused starts, collected and written beside the requests.
		{path: "internal/refusal", ours: []string{"verify", "task", "store"}, never: []string{http, sql, "net"}},

		{
			path:  "internal/engine",
			ours:  []string{"verify", "account", "fraud", "phone", "signature", "message", "deliver", "task", "store", "velocity", "template"},
			never: []string{http, sql},
		},

		// What becomes of old data.
		{path: "internal/retention", ours: []string{"task", "store"}, never: []string{http, sql}},

		// What an operator does with money.
		{path: "internal/billing", ours: []string{"verify", "phone", "task", "store", "spreadsheet"}, never: []string{http, sql}},

		// What a client or a browser sees. APIs share the engine and web, and
		// never import each other: a change in one cannot alter another.
		{path: "internal/web", never: []string{sql}},
		{
			path:  "internal/apiv1",
			ours:  []string{"verify", "account", "digits", "phone", "message", "store", "velocity", "template", "refusal", "engine", "web", "suggest"},
			never: []string{sql},
		},
		{
			path:  "internal/adminapi",
			ours:  []string{"verify", "phone", "account", "signature", "message", "deliver", "fraud", "store", "template", "velocity", "engine", "billing", "web", "atomicfile"},
			never: []string{sql},
		},
		{path: "internal/console", ours: []string{"verify", "message", "phone", "deliver/virtual", "web"}, never: []string{sql}},

		// The whole: settings, the server, the server inside a test, the program.
		{path: "internal/config", ours: []string{"verify", "message", "suggest", "timetext"}, never: []string{http, sql}},
		{path: "internal/server", ours: []string{"*"}},
		{path: "internal/check", ours: []string{"*"}},
		{path: "internal/servertest", ours: []string{"*"}},
		{path: "cmd/countersign", ours: []string{"*"}},

		// The wait of a test for a condition.
		{path: "internal/await", never: outside},

		// A logger for tests.
		{path: "internal/logtest", never: outside},

		// A PostgreSQL for tests.
		{path: "internal/pgtest", never: []string{http}},

		// Tests from outside: what they want of the program they ask of the
		// running program.
		{path: "internal"},
		{path: "bench"},
		{path: "bench/table"},
		{path: "bench/mutate"},
		{path: "bench/simulate", never: outside[:4]}, // it works out, and measures nothing
		{path: "bench/attack", ours: []string{"deliver/smpp/smsc"}},
		{path: "bench/peers/example"},
		{path: "bench/speed", ours: []string{"deliver/smpp/smsc", "deliver/smpp/pdu", "pgtest", "store", "verify"}},
		{path: "internal/simulation"},
		{path: "e2e", ours: []string{"pgtest"}},
		{path: "e2e/systemd"},
	}
}

const module = "countersign"

func TestDependencyDirection(t *testing.T) {
	t.Parallel()
	imports := listImports(t)

	rooms := make(map[string]room)
	for _, r := range house() {
		rooms[r.path] = r
		if _, ok := imports[r.path]; !ok {
			t.Errorf("%s has a row in the house but no code: remove the row", r.path)
		}
	}
	for path, imported := range imports {
		r, ok := rooms[owner(path)]
		if !ok {
			t.Errorf("%s has no row in the house: say what it may import", path)
			continue
		}
		for _, p := range imported {
			if !r.mayImport(p) {
				t.Errorf("%s must not import %s", path, p)
			}
		}
	}
}

func (r room) mayImport(path string) bool {
	if ours, ok := strings.CutPrefix(path, module+"/"); ok {
		ours = owner(ours)
		return ours == r.path || slices.Contains(r.ours, "*") ||
			slices.Contains(r.ours, strings.TrimPrefix(ours, "internal/"))
	}
	if r.path == "internal/verify" && strings.Contains(path, ".") {
		return false // not of the standard library, whose paths have no dot
	}
	return !slices.Contains(r.never, path)
}

// owner is the package that path belongs to: a package in the "internal" folder
// of another is a part of it, and keeps to its row.
func owner(path string) string {
	top, rest, _ := strings.Cut(path, "/")
	rest, _, _ = strings.Cut(rest, "/internal/")
	return strings.TrimSuffix(top+"/"+rest, "/")
}

// listImports gives the imports of every package of ours, without those of its
// tests, by path below the root of the module.
func listImports(t *testing.T) map[string][]string {
	t.Helper()
	const root = ".."
	all := make(map[string][]string)
	err := filepath.WalkDir(root, func(dir string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		if name := entry.Name(); dir != root &&
			(name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".")) {
			return filepath.SkipDir
		}
		pkg, err := build.ImportDir(dir, 0)
		if none := (*build.NoGoError)(nil); errors.As(err, &none) {
			return nil
		}
		if err != nil {
			return err
		}
		path, err := filepath.Rel(root, dir)
		all[filepath.ToSlash(path)] = pkg.Imports
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
