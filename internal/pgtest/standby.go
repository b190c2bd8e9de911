package pgtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
)

// StartPair starts a primary with an empty database, and a hot standby that streams from
// it. Each listens on its socket and on port 5432 of a separate IP address in 127.0.0.0/8.
// With synchronous, the primary acknowledges a commit when the standby has flushed it.
func StartPair(t testing.TB, synchronous bool) (primary, standby *Server, database string) {
	t.Helper()
	host := loopback()
	primary = Start(t, "listen_addresses="+host)
	standby = &Server{bin: primary.bin, as: primary.as, parent: primary.parent, host: loopback()}
	database, _, err := primary.Copy(t.Context(), "template0")
	if err != nil {
		t.Fatal(err)
	}
	_, relaxed := quick()
	primary.host, standby.settings = host, append(relaxed, "listen_addresses="+standby.host)
	if err := standby.begin("pg_basebackup", "--pgdata", "data", "--host", primary.dir, "--username", primary.user(),
		"--write-recovery-conf", "--checkpoint=fast", "--wal-method=stream", "--no-sync"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = standby.Close() })
	if synchronous {
		primary.Set(t, "synchronous_standby_names", "'*'")
		// The checkpointer makes other processes wait for standbys. It reads the setting
		// before it checkpoints.
		Exec(t, primary.url("postgres"), "CHECKPOINT")
		for state := ""; state != "sync"; {
			Scan(t, primary.url("postgres"), "SELECT COALESCE(MAX(sync_state), '') FROM pg_stat_replication", &state)
		}
	}
	return primary, standby, database
}

// loopback returns a random IP address of this machine only, so that tests do not share
// addresses.
func loopback() string {
	return net.IPv4(127, byte(64+rand.IntN(128)), byte(rand.IntN(256)), byte(1+rand.IntN(254))).String() //nolint:gosec // an address is no secret
}

// Promote makes a standby a primary, and returns when it takes writes.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	if out, err := s.Command("pg_ctl", "promote", "-D", s.data(), "-w").CombinedOutput(); err != nil {
		t.Fatalf("promote PostgreSQL: %v\n%s", err, out)
	}
}

// Set changes a setting of the running server, and returns when new sessions have it. The
// value is SQL; "" restores the default.
func (s *Server) Set(t testing.TB, name, value string) {
	t.Helper()
	change := "ALTER SYSTEM RESET " + name
	if value != "" {
		change = "ALTER SYSTEM SET " + name + " = " + value
	}
	database := s.url("postgres")
	var before, now string
	Scan(t, database, "SELECT pg_conf_load_time()::TEXT", &before)
	Exec(t, database, change)
	Exec(t, database, "SELECT pg_reload_conf()")
	for now = before; now == before; {
		Scan(t, database, "SELECT pg_conf_load_time()::TEXT", &now)
	}
}

// Address returns the address on which a server of StartPair listens.
func (s *Server) Address() string { return net.JoinHostPort(s.host, "5432") }

// On returns the URL of a database on this server, given its URL on another server.
func (s *Server) On(database string) string { return s.url(Name(database)) }

// Hosts returns the URL of a database by the addresses of several servers.
func Hosts(database string, servers ...*Server) string {
	addresses := make([]string, len(servers))
	for i, s := range servers {
		addresses[i] = s.Address()
	}
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", servers[0].user(), strings.Join(addresses, ","), Name(database))
}

// Name returns the name of the database that a URL names.
func Name(database string) string {
	rest, _, _ := strings.Cut(database, "?")
	return rest[strings.LastIndex(rest, "/")+1:]
}
