package main

import (
	"bytes"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestExitCodes runs a command for each exit code.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	in := stocked(t)
	token := "--admin-token-file=" + in.file("token", strings.Repeat("a", 28))
	const nowhere = "--admin=http://127.0.0.1:1"
	for _, tt := range []struct {
		code int
		args string
	}{
		{exitOK, "account list CONFIG"},
		{exitOK, "--version"},
		{exitOK, "account list --version"},
		{exitOK, "--help"},
		{exitFailed, "account create Again --key=acme0001 CONFIG"},
		{exitFailed, "account list --config=no/such.yaml"},
		{exitFailed, "account list --config=" + in.file("bad.yaml", "lisen: :1\n")},
		{exitFailed, "backup no/such/file.db CONFIG"},
		{exitFailed, "serve --init CONFIG"},
		{exitFailed, "account list --admin=http://verify.example.com " + token + " CONFIG"},
		{exitFailed, "price import " + in.file("bad.csv", "Britain,1\n") + " CONFIG"},
		{exitUsage, ""},
		{exitUsage, "acount list"},
		{exitUsage, "account lst"},
		{exitUsage, "account list --confg=x"},
		{exitUsage, "account list --output=jsn CONFIG"},
		{exitUsage, "account bar CONFIG"},
		{exitUsage, "account create x --key=short CONFIG"},
		{exitUsage, "account create x --setting=rate=many CONFIG"},
		{exitUsage, "account set acme0001 --clear=nothing CONFIG"},
		{exitUsage, "number block 12 CONFIG"},
		{exitUsage, "verification show x CONFIG"},
		{exitUsage, "audit list --limit=0 CONFIG"},
		{exitUsage, "demo --speed=0"},
		{exitUsage, "keys rotate --force CONFIG"},
		{exitUsage, "message preview --lg=xx-xx CONFIG"},
		{exitUsage, "sms send --to=447700900001 --text=x CONFIG"},
		{exitUsage, "completion tcsh"},
		{exitNotFound, "account show nobody00 CONFIG"},
		{exitNotFound, "account bar nobody00 CONFIG"},
		{exitNotFound, "account secret revoke acme0001 00000000 CONFIG"},
		{exitNotFound, "account unapprove acme0001 447700900099 CONFIG"},
		{exitNotFound, "ledger list nobody00 CONFIG"},
		{exitNotFound, "ledger check --account=nobody00 CONFIG"},
		{exitNotFound, "ledger export --account=nobody00 CONFIG"},
		{exitNotFound, "number unblock 447700900099 CONFIG"},
		{exitNotFound, "number unlock 447700900099 CONFIG"},
		{exitNotFound, "verification show 00000000000000000000000000000000 CONFIG"},
		{exitNotFound, "template approve 00000000-0000-0000-0000-000000000000 CONFIG"},
		{exitNotFound, "fraud show 1 CONFIG"},
		{exitNotFound, "fraud lift x CONFIG"},
		{exitNotFound, "fraud unblock nobody00 23410 CONFIG"},
		{exitNotFound, "sms send --to=447700900001 --text=x --carrier=nobody CONFIG"},
		{exitNotFound, "call --to=447700900001 --pin=1234 --carrier=nobody CONFIG"},
		{exitUnreachable, "account list " + nowhere + " " + token + " CONFIG"},
		{exitUnreachable, "ledger export " + nowhere + " " + token + " CONFIG"},
		{exitUnreachable, "migrate status " + nowhere + " " + token + " CONFIG"},
		{exitUnreachable, "carriers --config=" + in.file("ops.yaml", "ops_listen: 127.0.0.1:1\n")},
		{exitUnreachable, "account list --config=" + in.file("pg.yaml", "database: postgres://u@127.0.0.1:1/x\nkey_file: "+filepath.Join(in.dir, "data", "key")+"\n")},
		{exitUnreachable, "sms send --smpp=127.0.0.1:1 --to=447700900001 --text=x"},
	} {
		code, stdout, stderr := in.run(strings.Fields(tt.args)...)
		if code != tt.code {
			t.Errorf("%s: code %d, want %d: %s", tt.args, code, tt.code, stderr)
		}
		if code == exitOK {
			continue
		}
		for line := range strings.Lines(stderr) {
			if !strings.HasPrefix(line, "error: ") {
				t.Errorf("%s: stderr has a line without prefix: %q", tt.args, line)
			}
		}
		if stderr == "" || stdout != "" {
			t.Errorf("%s: stderr %q, stdout %q", tt.args, stderr, stdout)
		}
	}
	documented := 0
	for line := range strings.Lines(sections(t, "docs/reference/command-line.md", "## ")["Exit codes"]) {
		if strings.HasPrefix(line, "| "+strconv.Itoa(documented)+" |") {
			documented++
		}
	}
	if documented != exitUnreachable+1 {
		t.Errorf("the page documents the codes 0 to %d", documented-1)
	}
}

// TestSuggestions checks that errors suggest the nearest word for a mistyped one.
func TestSuggestions(t *testing.T) {
	t.Parallel()
	in := install(t)
	for args, want := range map[string]string{
		"acount list":                 "error: unexpected argument acount; did you mean account?\n",
		"account lst":                 "error: unexpected argument lst; did you mean list?\n",
		"price shwo":                  "error: unexpected argument shwo; did you mean show?\n",
		"account list --confg=x":      "error: unknown flag --confg; did you mean --config?\n",
		"account list --outptu json":  "error: unknown flag --outptu; did you mean --output?\n",
		"account list --qiet":         "error: unknown flag --qiet; did you mean --quiet?\n",
		"account list --output=jsn":   "error: --output must be one of table, json or csv, not \"jsn\"; did you mean json?\n",
		"demo --log-level=inof":       "error: --log-level must be one of debug, info, warn or error, not \"inof\"; did you mean info?\n",
		"template list --status=pend": "error: --status must be one of PENDING, ACTIVE or RETIRED, not \"pend\"; did you mean PENDING?\n",
		"completion zhs":              "error: <shell> must be one of bash, zsh or fish, not \"zhs\"; did you mean zsh?\n",
		"frobnicate":                  "error: unexpected argument frobnicate\n",
		"account list --nonsense":     "error: unknown flag --nonsense\n",
		"message preview --lg=en-gbb": "did you mean en-gb?\n",
		"sms send --to=447700900001 --text=x --carrier=phnoe CONFIG": "error: --carrier: the configuration has no \"phnoe\"; did you mean phone?\n",
	} {
		if _, _, stderr := in.run(strings.Fields(args)...); !strings.HasSuffix(stderr, want) {
			t.Errorf("%s: %q, want %q", args, stderr, want)
		}
	}
}

// TestConfirm checks that commands with irreversible effects require "yes" or --yes on a
// terminal.
func TestConfirm(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		command string
		answer  string
		flag    string
		done    bool
	}{
		{"account rotate-secret acme0001", "y\n", "", true},
		{"account rotate-secret acme0001", "YES\n", "", true},
		{"account rotate-secret acme0001", "n\n", "", false},
		{"account rotate-secret acme0001", "\n", "", false},
		{"account rotate-secret acme0001", "", "", false},
		{"account rotate-secret acme0001", "", "--yes", true},
		{"account rotate-secret acme0001", "", "-y", true},
		{"account rotate-signature acme0001 --method=sha1", "", "", false},
		{"number forget 447700900001", "", "", false},
		{"number forget 447700900001", "", "--yes", true},
	} {
		in := stocked(t)
		var out, errs bytes.Buffer
		p := newProcess(t.Context(), in.environ, &out, &errs)
		p.terminal = strings.NewReader(tt.answer)
		args := append(strings.Fields(tt.command), "--config="+filepath.Join(in.dir, "config.yaml"))
		if tt.flag != "" {
			args = append(args, tt.flag)
		}
		code := p.run(args)
		if done := code == exitOK; done != tt.done || done != (out.Len() > 0) {
			t.Errorf("%s, %q: code %d, stdout %q, stderr %q", tt.command, tt.answer, code, out.String(), errs.String())
		}
		if asked := strings.Contains(errs.String(), "Continue? [y/N] "); asked == (tt.flag != "") {
			t.Errorf("%s %s: confirmation requested: %t", tt.command, tt.flag, asked)
		}
	}
}
