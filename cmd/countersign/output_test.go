package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestOutputFlag checks that every command that prints a list or a record has --output.
// Other commands print no result, text in a fixed format, or a stream of events.
func TestOutputFlag(t *testing.T) {
	t.Parallel()
	without := map[string]string{
		"demo": "events", "serve": "events", "smsc": "events", "phone": "events",
		"account set": "nothing", "account bar": "nothing", "account unbar": "nothing", "account credit": "nothing",
		"account approve": "nothing", "account unapprove": "nothing", "account secret revoke": "nothing",
		"number block": "nothing", "number unblock": "nothing", "number unlock": "nothing",
		"fraud lift": "nothing", "fraud unblock": "nothing", "price set": "nothing",
		"keys rotate": "steps to take", "migrate up": "created files", "retention confirm": "nothing",
		"price export": "the CSV of price import", "ledger export": "the CSV of the books", "completion": "a script",
	}
	parser, err := kong.New(&cli{}, kong.Name("countersign"))
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range parser.Model.Leaves(true) {
		name, _, _ := strings.Cut(strings.TrimPrefix(command.Path(), "countersign "), " (") // without its aliases
		has := slices.ContainsFunc(command.Flags, func(f *kong.Flag) bool { return f.Name == "output" })
		if why, listed := without[name]; has == listed {
			t.Errorf("%s: --output: %t, but it prints %q", name, has, why)
		}
		delete(without, name)
	}
	for name := range without {
		t.Errorf("command %s does not exist", name)
	}
}

// stocked returns an installation with data to list.
func stocked(t *testing.T) *installation {
	t.Helper()
	in := install(t)
	in.ok("account", "create", `=cmd|"calc"`, "CONFIG", "--key=acme0001", "--secret=mysecret", "--credit=100.5", "--trial", "--approve=447700900001", "--allow-country=GB")
	in.ok("account", "create", "Other shop", "CONFIG", "--key=other001")
	in.ok("number", "block", "447700900007", "--reason=+fraud", "CONFIG")
	return in
}

// TestOutputForms checks that all formats of a list have equal rows and names.
func TestOutputForms(t *testing.T) {
	t.Parallel()
	in := stocked(t)
	for _, tt := range []struct {
		args string
		rows string // field of the JSON document with the rows; "" for a record
		ids  string // field that --quiet prints; "" for nothing
		some bool   // there are rows
	}{
		{"account list", "accounts", "key", true},
		{"account show acme0001", "", "key", true},
		{"account secret list acme0001", "secrets", "id", true},
		{"number list", "numbers", "number", true},
		{"number status 447700900007", "caps", "", true},
		{"verification list --account acme0001", "verifications", "id", false},
		{"audit list", "entries", "seq", true},
		{"fraud blocks", "blocks", "id", false},
		{"fraud status", "networks", "account", false},
		{"template list", "templates", "id", false},
		{"price list", "prices", "country", true},
		{"ledger list acme0001", "entries", "key", true},
		{"ledger check", "books", "", true},
		{"migrate status", "steps", "version", true},
		{"number forget 447700900099", "", "", true},
		{"version", "", "version", true},
	} {
		t.Run(tt.args, func(t *testing.T) {
			args := append(strings.Fields(tt.args), "CONFIG")
			if tt.args == "version" {
				args = args[:1]
			}
			form := func(more ...string) string { return in.ok(append(slices.Clone(args), more...)...) }
			var document map[string]any
			if err := json.Unmarshal([]byte(form("--output=json")), &document); err != nil {
				t.Fatal(err)
			}
			rows := []any{document}
			if tt.rows != "" {
				rows, _ = document[tt.rows].([]any)
			}
			if got := len(rows) > 0; got != tt.some {
				t.Fatalf("%d rows in %v", len(rows), document)
			}
			lines, err := csv.NewReader(strings.NewReader(form("--output", "csv"))).ReadAll()
			if err != nil || len(lines) != len(rows)+1 {
				t.Fatalf("csv: %v, %v for %d rows", lines, err, len(rows))
			}
			var ids strings.Builder
			for i, row := range rows {
				compareRow(t, row.(map[string]any), lines[0], lines[i+1])
				if tt.ids != "" {
					ids.WriteString(text(row.(map[string]any)[tt.ids]) + "\n")
				}
			}
			if got := form("--quiet"); got != ids.String() {
				t.Errorf("--quiet prints %q, want %q", got, ids.String())
			}
			if got := form("-q", "--output=json"); got != ids.String() {
				t.Errorf("--quiet --output json prints %q, want %q", got, ids.String())
			}
			if got := form(); got != form("--output=table") || got == "" {
				t.Errorf("the default is not the table: %q", got)
			}
		})
	}
}

// compareRow compares a line of CSV with its JSON object.
func compareRow(t *testing.T, object map[string]any, header, line []string) {
	t.Helper()
	for name := range object {
		if !slices.Contains(header, name) {
			t.Errorf("csv lacks %s", name)
		}
	}
	for i, name := range header {
		got, want := strings.TrimPrefix(line[i], "'"), text(object[name])
		var nested any
		if json.Unmarshal([]byte(got), &nested) == nil && strings.ContainsAny(got, "{[") {
			got = text(nested) // with fields in any order
		}
		if got != want {
			t.Errorf("csv has %s %q, want %q", name, got, want)
		}
	}
}

// text returns a JSON value in the form of CSV.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // v is decoded JSON
	return strings.TrimSpace(b.String())
}

// TestOutputIsSafe checks that CSV contains no formulas, tables no control characters,
// and that amounts remain numbers.
func TestOutputIsSafe(t *testing.T) {
	t.Parallel()
	in := stocked(t)
	out := in.ok("account", "list", "--output=csv", "CONFIG")
	if !strings.Contains(out, `"'=cmd|""calc""",`) && !strings.Contains(out, `"'=cmd|""calc"""`) || !strings.Contains(out, ",100.50000000,") {
		t.Errorf("csv: %s", out)
	}
	in.ok("account", "credit", "CONFIG", "acme0001", "--", "-0.5")
	if out := in.ok("ledger", "list", "acme0001", "--output=csv", "CONFIG"); !strings.Contains(out, ",-0.50000000,") {
		t.Errorf("csv: %s", out)
	}
	var stdout bytes.Buffer
	p := newProcess(t.Context(), nil, &stdout, nil)
	type row struct {
		Text string `json:"text"`
	}
	rows := []row{{"a\tb\x1b[31m\n"}}
	l := list[row]{rows: rows, header: []string{"TEXT"}, row: func(r row) []any { return []any{r.Text} }}
	err := errors.Join(l.print(p, outputFlags{"table"}), record[row]{document: rows[0]}.print(p, outputFlags{"table"}))
	if got := stdout.String(); err != nil || got != "TEXT\na\uFFFDb\uFFFD[31m\uFFFD\ntext: a\uFFFDb\uFFFD[31m\uFFFD\n" {
		t.Errorf("table %q, %v", got, err)
	}
}

// TestOutputOfSecrets checks that --quiet prints secrets that are shown only once.
func TestOutputOfSecrets(t *testing.T) {
	t.Parallel()
	in := stocked(t)
	secret := `[a-z2-7]{32}\n`
	for args, want := range map[string]string{
		"account create New -q":                                          `[a-z2-7]{8}\n` + secret,
		"account create New --signature-method=sha256 -q":                `[a-z2-7]{8}\n` + secret + secret,
		"account rotate-secret acme0001 -q":                              secret,
		"account rotate-signature acme0001 --method=sha1 -q":             secret,
		"account rotate-signature acme0001 --method=sha256 --output=csv": `signature_method,signature_secret\nsha\d+,` + secret,
		"account secret add other001 --output=json":                      `(?s)\{.*"secret": "[a-z2-7]{32}"\n\}\n`,
		"account rotate-signature acme0001 --method=sha256 --yes":        `signature_method: sha256\nsignature_secret: ` + secret,
		"account show other001":                                          `(?s)key: other001\n.*barred: false\n.*sub_accounts: -\nsecrets:\n  - id: .*`,
		"account show acme0001 -q":                                       `acme0001\n`,
		"number block 447700900008 --quiet":                              ``,
		"keys rotate -q":                                                 ``,
		"keys status -q":                                                 `(?s)[0-9a-f]{16}\n1\n.*`,
		"keys status --output=csv":                                       `(?s)kind,id,purpose,created_at,used_at,current\nkey_file,[0-9a-f]{16},,.*data_key,.*`,
		"keys status --output=json":                                      `(?s)\{\n  "files": .*"data": .*`,
		"price import " + in.file("p.csv", "*,1\n") + " --output=json":   `\{\n  "prices": 1\n\}\n`,
		"backup " + filepath.Join(in.dir, "copy.db") + " --output=csv":   `(?s)name,rows\n.*accounts,\d+\n.*`,
		"message preview --lg=en-gb --out=- --quiet":                     `(?s)RIFF.*`,
	} {
		got := in.ok(append(strings.Fields(args), "CONFIG")...)
		if !regexp.MustCompile(`^` + want + `$`).MatchString(got) {
			t.Errorf("%s prints %q, want %s", args, got, want)
		}
	}
}
