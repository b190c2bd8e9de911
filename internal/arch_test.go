// Package internal contains tests of the structure: the import direction, and the table
// of rules in docs/explanation/architecture.md.
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

// room is the row of one package.
type room struct {
	path  string
	ours  []string // packages of this module that it imports; "*" for all of them
	never []string // other packages that it must not import; "..." at the end stands for any path
}

// table returns the rows of all packages. A package imports only rows above its own:
//
//	cmd → server → apiv1, adminapi, console → web, engine
//	engine → template, velocity, account, store, deliver, task
//	store → fraud, vault → verify; account, deliver → message → verify
//
// To add a package, add its row. Keep rows short: a new import in a row is a decision.
func table() []room {
	const (
		http = "net/http"
		sql  = "database/sql"

		pgx     = "github.com/jackc/..."
		modernc = "modernc.org/..."
		goose   = "github.com/pressly/..."
	)
	outside := []string{http, sql, "net", "net/url", "os", "io/fs"}

	return []room{
		// A verification as a value, and the rules that return its changes: pure,
		// standard library only.
		{path: "internal/verify", never: outside},

		// Numbered fields, the form of stored documents.
		{path: "internal/record", never: []string{http, sql}},

		// The nearest word to a mistyped one.
		{path: "internal/suggest", never: outside},

		// Numbers, signatures and texts: pure.
		{path: "internal/digits", never: outside},
		{path: "internal/timetext", never: outside},
		{path: "internal/phone", ours: []string{"digits", "verify"}, never: outside},
		{path: "internal/signature", never: outside},
		{path: "internal/message", ours: []string{"verify", "suggest"}, never: outside},

		// Caps, velocity rules and block lists: pure.
		{path: "internal/fraud", ours: []string{"verify"}, never: outside},

		// Account policy and the checks of settings: pure.
		{path: "internal/account", ours: []string{"verify", "phone", "message"}, never: outside},

		// The frame of all APIs.
		{path: "internal/web", never: []string{sql}},

		// Carriers submit messages and report the outcome. They know neither the store nor
		// the engine.
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
		{path: "internal/deliver/httpsms", ours: []string{"verify", "deliver", "deliver/gsm", "deliver/placeholder", "web"}, never: []string{sql}}, // serves callbacks

		{path: "internal/deliver/sip/media", ours: []string{"deliver/tts/audio"}, never: []string{http, sql}},
		{
			path:  "internal/deliver/sip",
			ours:  []string{"verify", "message", "phone", "deliver", "deliver/tts/audio", "deliver/sip/media"},
			never: []string{http, sql},
		},
		{path: "internal/deliver/sip/softphone", ours: []string{"deliver/tts/audio", "deliver/sip/media"}, never: []string{http, sql}},

		// Text that spreadsheets do not take for formulas.
		{path: "internal/spreadsheet", never: outside},

		// Files that are complete or absent, and locks on files.
		{path: "internal/filelock", never: []string{http, sql, "net"}},
		{path: "internal/atomicfile", ours: []string{"filelock"}, never: []string{http, sql, "net"}},

		// The program's time.
		{path: "internal/clock", never: []string{http, sql, "net"}},
		// Certificates of listeners, from files that may change.
		{path: "internal/certificate", never: []string{http, sql, "net"}},

		// Keys of an installation, encryption and hashes. The store implements vault.Records, so
		// vault needs no SQL.
		{path: "internal/vault", ours: []string{"verify", "atomicfile"}, never: []string{http, sql, "net", "net/url"}},

		// The loop of due rows, and the database, which is independent of carriers.
		{path: "internal/task", never: []string{http, sql}},
		// The store writes its statements once. Only its engines use a database library, and they
		// know no table. store/driver is the contract between both.
		{path: "internal/store/driver", never: []string{http, "os", pgx, modernc, goose}},
		{path: "internal/store/sqlite", ours: []string{"atomicfile", "filelock", "store/driver"}, never: []string{http, pgx, goose}},
		{path: "internal/store/postgres", ours: []string{"atomicfile", "store/driver"}, never: []string{http, modernc, goose}},
		{
			path:  "internal/store",
			ours:  []string{"verify", "fraud", "vault", "record", "atomicfile", "store/driver", "store/sqlite", "store/postgres"},
			never: []string{http, pgx, modernc},
		},

		// Copies an installation from SQLite to PostgreSQL.
		{path: "internal/copy", ours: []string{"vault", "store/driver", "store/postgres", "store"}, never: []string{http, modernc, goose}},

		// The inbox of the virtual phone: one table, by store.SQL.
		{path: "internal/inbox", ours: []string{"verify", "deliver/virtual", "store"}, never: []string{http, sql}},

		// URLs of customers, and the templates that they hand in.
		{path: "internal/outbound", never: []string{sql}},
		{
			path:  "internal/template",
			ours:  []string{"verify", "account", "message", "deliver/gsm", "deliver/tts/audio", "outbound", "store"},
			never: []string{http, sql},
		},

		// Runs the velocity rules.
		{path: "internal/velocity", ours: []string{"verify", "fraud", "task", "store"}, never: []string{http, sql, "net"}},

		// Collects refused starts and stores them in batches.
		{path: "internal/refusal", ours: []string{"verify", "task", "store"}, never: []string{http, sql, "net"}},

		// The use cases, the transition (apply) and its effects (committed).
		{
			path:  "internal/engine",
			ours:  []string{"verify", "account", "fraud", "signature", "message", "deliver", "task", "store", "velocity", "template"},
			never: []string{http, sql},
		},

		// Moves, redacts and deletes old data.
		{path: "internal/retention", ours: []string{"task", "store"}, never: []string{http, sql}},

		// The operator's side of prices and ledger.
		{path: "internal/billing", ours: []string{"verify", "phone", "task", "store", "spreadsheet"}, never: []string{http, sql}},

		// APIs and pages. APIs share the engine and web, and never import each other, so a
		// change in one cannot alter another.
		{
			path:  "internal/apiv1",
			ours:  []string{"verify", "account", "digits", "phone", "message", "store", "velocity", "template", "refusal", "engine", "web"},
			never: []string{sql},
		},
		{
			path:  "internal/adminapi",
			ours:  []string{"verify", "phone", "account", "signature", "message", "deliver", "fraud", "store", "template", "velocity", "engine", "billing", "web", "atomicfile"},
			never: []string{sql},
		},
		{path: "internal/console", ours: []string{"verify", "message", "phone", "deliver/virtual"}, never: []string{sql}},

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

		// Tests and measurements of the running program, from outside.
		{path: "internal"},
		{path: "bench"},
		{path: "bench/table"},
		{path: "bench/results"},
		{path: "bench/mutate"},
		{path: "bench/simulate", never: outside[:4]}, // simulates only
		{path: "bench/attack", ours: []string{"deliver/smpp/smsc"}},
		{path: "bench/peers/example"},
		{path: "bench/speed", ours: []string{"deliver/smpp/smsc", "deliver/smpp/pdu", "pgtest", "record", "store", "vault", "verify", "web"}},
		{path: "internal/simulation"},
		{path: "e2e"},
		{path: "e2e/systemd"},
	}
}

const module = "countersign"

func TestDependencyDirection(t *testing.T) {
	t.Parallel()
	imports := listImports(t)

	rooms := make(map[string]room)
	seen := make(map[string]bool)
	for _, r := range table() {
		for _, below := range r.ours {
			if below != "*" && !seen["internal/"+below] {
				t.Errorf("%s imports %s: it has no row above", r.path, below)
			}
			if below != "*" && !uses(imports, r.path, below) {
				t.Errorf("%s does not import %s: remove it from the row", r.path, below)
			}
		}
		seen[r.path] = true
		rooms[r.path] = r
		if _, ok := imports[r.path]; !ok {
			t.Errorf("%s has a row but no code: remove the row", r.path)
		}
	}
	for path, imported := range imports {
		r, ok := rooms[owner(path)]
		if !ok {
			t.Errorf("%s has no row: add one with its imports", path)
			continue
		}
		for _, p := range imported {
			if !r.mayImport(p) {
				t.Errorf("%s must not import %s", path, p)
			}
		}
	}
}

// uses reports whether a package, or one in its "internal" folder, imports another.
func uses(imports map[string][]string, path, below string) bool {
	for p, imported := range imports {
		if owner(p) == path && slices.Contains(imported, module+"/internal/"+below) {
			return true
		}
	}
	return false
}

// mayImport reports whether the row allows an import.
func (r room) mayImport(path string) bool {
	if ours, ok := strings.CutPrefix(path, module+"/"); ok {
		ours = owner(ours)
		return ours == r.path || slices.Contains(r.ours, "*") ||
			slices.Contains(r.ours, strings.TrimPrefix(ours, "internal/"))
	}
	if r.path == "internal/verify" && strings.Contains(path, ".") {
		return false // paths of the standard library have no dot
	}
	return !slices.ContainsFunc(r.never, func(never string) bool {
		begin, all := strings.CutSuffix(never, "...")
		return path == never || all && strings.HasPrefix(path, begin)
	})
}

// owner returns the package with the row for path. A package below the "internal" folder of
// another package belongs to that package.
func owner(path string) string {
	top, rest, _ := strings.Cut(path, "/")
	rest, _, _ = strings.Cut(rest, "/internal/")
	return strings.TrimSuffix(top+"/"+rest, "/")
}

// listImports returns the imports of each package of the module, without its tests, by
// path below the root.
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
