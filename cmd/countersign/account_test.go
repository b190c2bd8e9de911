package main

import (
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/internal/store"
	"countersign/internal/vault"
)

// open opens the database of the installation.
func (in *installation) open() *store.DB {
	in.t.Helper()
	k, err := vault.LoadKey(filepath.Join(in.dir, "data", "key"))
	if err != nil {
		in.t.Fatal(err)
	}
	db, err := store.Open(in.t.Context(), store.Config{
		Database: filepath.Join(in.dir, "data", "countersign.db"), Key: k, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		in.t.Fatal(err)
	}
	return db
}

// credentials reads credentials from the database.
func (in *installation) credentials(key string) store.Credentials {
	in.t.Helper()
	db := in.open()
	defer db.Close()
	c, err := db.Credentials(in.t.Context(), key)
	if err != nil {
		in.t.Fatal(err)
	}
	return c
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	in := install(t)
	out := in.ok("account", "create", "Acme Ltd", "CONFIG", "--key=acme0001", "--secret=mysecret", "--credit=100.00000001", "--rate=7", "--pin-code",
		"--signature-method=sha512")
	match := regexp.MustCompile(`^api_key: acme0001\napi_secret: mysecret\nsignature_method: sha512\nsignature_secret: ([a-z2-7]{32})\n$`).FindStringSubmatch(out)
	if match == nil {
		t.Fatalf("create prints %q", out)
	}
	c := in.credentials("acme0001")
	if c.Name != "Acme Ltd" || c.Balance.String() != "100.00000001" || c.Rate != 7 || !c.CustomPIN || c.Trial || c.Barred || c.Unlimited ||
		!c.HasSecret("mysecret", time.Now()) || c.SignatureSecret != match[1] || c.SignatureMethod != "sha512" {
		t.Errorf("created %+v", c.Account)
	}

	out = in.ok("account", "create", "Drawn", "CONFIG", "--trial", "--approve=+44 7700 900001", "--approve=447700900002")
	match = regexp.MustCompile(`^api_key: ([a-z2-7]{8})\napi_secret: ([a-z2-7]{32})\n$`).FindStringSubmatch(out)
	if match == nil {
		t.Fatalf("create prints %q", out)
	}
	drawn := match[1]
	if c := in.credentials(drawn); !c.Trial || !c.HasSecret(match[2], time.Now()) || c.CustomPIN || c.SignatureSecret != "" {
		t.Errorf("created %+v", c.Account)
	}

	in.ok("account", "bar", "acme0001", "CONFIG")
	in.ok("account", "credit", "acme0001", "0.5", "CONFIG")
	in.ok("account", "credit", "CONFIG", "acme0001", "--", "-50")
	list := in.ok("account", "list", "CONFIG")
	rows := regexp.MustCompile(` +`).ReplaceAllString(list, " ")
	for _, want := range []string{"KEY BALANCE STATE NAME\n", "acme0001 50.50000001 barred Acme Ltd\n", drawn + " 0.00000000 trial Drawn\n"} {
		if !strings.Contains(rows, want) {
			t.Errorf("the list lacks %q:\n%s", want, list)
		}
	}
	if strings.Contains(list, "mysecret") {
		t.Error("the list shows a secret")
	}
	in.ok("account", "unbar", "acme0001", "CONFIG")
	if in.credentials("acme0001").Barred {
		t.Error("still barred")
	}
	out = in.ok("account", "rotate-secret", "acme0001", "CONFIG")
	match = regexp.MustCompile(`^api_secret: ([a-z2-7]{32})\n$`).FindStringSubmatch(out)
	if c := in.credentials("acme0001"); match == nil || !c.HasSecret(match[1], time.Now()) || c.HasSecret("mysecret", time.Now()) {
		t.Errorf("rotate-secret prints %q, or the old secret still opens", out)
	}
}

func TestAccountRefuses(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.ok("account", "create", "Acme", "CONFIG", "--key=acme0001")
	for why, args := range map[string][]string{
		"exists":             {"create", "Thief", "--key=acme0001"},
		"--credit":           {"create", "x", "--credit=lots"},
		"--key":              {"create", "x", "--key=short"},
		`"acme-001"`:         {"create", "x", "--key=acme-001"},
		"--rate":             {"create", "x", "--rate=-1"},
		"--approve: \"12\"":  {"create", "x", "--trial", "--approve=12"},
		"--signature-method": {"create", "x", "--signature-method=rot13"},
		"not an amount":      {"credit", "acme0001", "much"},
		"bar nobody00":       {"bar", "nobody00"},
		"unbar nobody00":     {"unbar", "nobody00"},
		"rotate nobody00":    {"rotate-secret", "nobody00"},
		"credit nobody00":    {"credit", "nobody00", "1"},
	} {
		code := 2
		switch {
		case strings.HasSuffix(why, "nobody00"):
			why, code = "no such account", 3
		case why == "exists":
			code = 1
		}
		in.fails(code, why, append(append([]string{"account"}, args...), "CONFIG")...)
	}
	if list := in.ok("account", "list", "CONFIG"); strings.Count(list, "\n") != 2 || !strings.Contains(list, "Acme") {
		t.Errorf("failed commands created accounts:\n%s", list)
	}
}
