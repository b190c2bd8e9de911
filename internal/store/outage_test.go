package store

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"strings"
	"testing"

	"countersign/internal/await"
	"countersign/internal/pgtest"
)

// TestUnavailableReason: for a server that cannot be used, the error is the root cause in
// one line with its remedy, without other attempts. The connections are over TCP with the
// default sslmode=prefer, so that the driver also reports an attempt with TLS.
func TestUnavailableReason(t *testing.T) {
	t.Parallel()
	address := fmt.Sprintf("127.%d.%d.%d", 1+rand.N(250), rand.N(250), 2+rand.N(250))
	server, err := pgtest.Launch("listen_addresses=" + address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	admin := server.Create(t, "template0")
	var hba string
	pgtest.Scan(t, admin, `SHOW hba_file`, &hba)
	if err := os.WriteFile(hba, []byte("local all postgres trust\nhost all postgres 127.0.0.0/8 trust\nhost all app,busy 127.0.0.0/8 scram-sha-256\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`CREATE ROLE app LOGIN PASSWORD 'right'`, `CREATE ROLE busy LOGIN PASSWORD 'right' CONNECTION LIMIT 0`,
		`CREATE ROLE stranger LOGIN`, `SELECT pg_reload_conf()`,
	} {
		pgtest.Exec(t, admin, statement)
	}
	name := func(u, database string) string {
		return (&url.URL{Scheme: "postgres", User: url.UserPassword(u, "secret4711"), Host: address, Path: "/" + database}).String()
	}
	await.Until(t, "read: the new pg_hba.conf", func() bool {
		return strings.Contains(tryOpen(t, name("stranger", "postgres")).Error(), "28000")
	})
	for _, tt := range []struct{ name, database, reason, remedy string }{
		{"password", name("app", "postgres"), `password authentication failed for user "app" (SQLSTATE 28P01)`, "correct the user or the password"},
		{"pg_hba.conf", name("stranger", "postgres"), `no pg_hba.conf entry for host`, "pg_hba.conf"},
		{"database", name("postgres", "nothere"), `database "nothere" does not exist (SQLSTATE 3D000)`, "create the database"},
		{"connections", strings.Replace(name("busy", "postgres"), "secret4711", "right", 1), `too many connections for role "busy" (SQLSTATE 53300)`, "max_connections"},
		{"refused", "postgres://app:secret4711@127.0.0.1:1/postgres", "connection refused", "start PostgreSQL"},
		{"socket", "postgres://app:secret4711@/postgres?host=/nothere", "no such file or directory", "socket"},
		{"one of two hosts", "postgres://app:secret4711@127.0.0.1:1," + address + ":5432/postgres", "(SQLSTATE 28P01)", "correct the user or the password"},
		{"TLS demanded", name("postgres", "postgres") + "?sslmode=require", "server refused TLS connection", "turn TLS on"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := tryOpen(t, tt.database)
			u, ok := errors.AsType[*UnavailableError](err)
			if !ok {
				t.Fatalf("%v, want an UnavailableError", err)
			}
			if !strings.Contains(u.Reason, tt.reason) || !strings.Contains(u.Remedy, tt.remedy) {
				t.Errorf("reason %q, remedy %q; want %q, %q", u.Reason, u.Remedy, tt.reason, tt.remedy)
			}
			text := err.Error()
			if !strings.Contains(text, u.Reason) || !strings.Contains(text, u.Remedy) || strings.Contains(text, "secret4711") {
				t.Errorf("the error is %q", text)
			}
			if strings.Contains(text, "\n") || strings.Contains(text, "TLS connection") != (tt.name == "TLS demanded") {
				t.Errorf("the error is %q, want one line without other attempts", text)
			}
		})
	}
}

// tryOpen opens a database that cannot be opened.
func tryOpen(t *testing.T, database string) error {
	t.Helper()
	db, err := Open(t.Context(), Config{Database: database, Log: slog.New(slog.DiscardHandler), Serve: true})
	if err == nil {
		_ = db.Close()
		t.Fatalf("%s can be opened", Redact(database))
	}
	return err
}
