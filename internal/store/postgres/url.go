package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"countersign/internal/store/driver"
)

// Time limits. The server ends the transaction of a node that hangs, so that other nodes
// can lock its rows. The deadline of the connection is for a server without any answer, so
// it is the longest.
const (
	connectTimeout = 5 * time.Second
	lockTimeout    = 4 * time.Second
	stmtTimeout    = 8 * time.Second
	idleTimeout    = 8 * time.Second
	answerTimeout  = 12 * time.Second
)

// URL is the URL of a database. It implements [driver.Database].
type URL string

var _ driver.Database = URL("")

// IsURL reports whether database is the URL of a PostgreSQL server and not the path of a
// file.
func IsURL(database string) bool {
	return strings.HasPrefix(database, "postgres://") || strings.HasPrefix(database, "postgresql://")
}

// errURL replaces the error of the parser, which may quote the password.
var errURL = errors.New("not a valid postgres:// URL (in user and password, all but letters and digits must be percent-encoded)")

// parse reads the URL.
func (u URL) parse() (*pgx.ConnConfig, error) {
	database := string(u)
	_, rest, _ := strings.Cut(database, "://")
	rest, _, _ = strings.Cut(rest, "?")
	authority, name, _ := strings.Cut(rest, "/")
	if strings.Count(authority, "@") > 1 || strings.ContainsAny(name, "@/") {
		return nil, errURL // part of a password would be logged as a host
	}
	cfg, err := pgx.ParseConfig(database)
	if err != nil {
		return nil, errURL
	}
	if !stated(database, "connect_timeout", "PGCONNECT_TIMEOUT") {
		cfg.ConnectTimeout = connectTimeout
		if hosts(cfg) > 1 {
			cfg.ConnectTimeout = hostTimeout
		}
	}
	if !stated(database, "target_session_attrs", "PGTARGETSESSIONATTRS") {
		cfg.ValidateConnect = requireWrites
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "countersign"
	}
	return cfg, nil
}

// String returns the URL without password and parameters, for logs and errors.
func (u URL) String() string {
	cfg, err := u.parse()
	if err != nil {
		return "postgres://..."
	}
	addresses := []string{address(cfg.Host, cfg.Port)}
	for _, f := range cfg.Fallbacks {
		if a := address(f.Host, f.Port); a != addresses[len(addresses)-1] { // with and without TLS
			addresses = append(addresses, a)
		}
	}
	return fmt.Sprintf("postgres://%s@%s/%s", cfg.User, strings.Join(addresses, ","), cfg.Database)
}

func address(host string, port uint16) string {
	if strings.HasPrefix(host, "/") {
		return host // a socket
	}
	return net.JoinHostPort(host, fmt.Sprint(port))
}

// hurried returns cfg with the time limits of requests.
func hurried(cfg *pgx.ConnConfig) *pgx.ConnConfig {
	cfg = cfg.Copy()
	for name, limit := range map[string]time.Duration{
		"lock_timeout": lockTimeout, "statement_timeout": stmtTimeout, "idle_in_transaction_session_timeout": idleTimeout,
	} {
		if _, ok := cfg.RuntimeParams[name]; !ok {
			cfg.RuntimeParams[name] = fmt.Sprint(limit.Milliseconds())
		}
	}
	dial := cfg.DialFunc
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return deadlineConn{conn}, nil
	}
	return cfg
}

// deadlineConn ends the wait for a server that does not answer: each message to it sets the
// deadline of its answer.
type deadlineConn struct{ net.Conn }

func (c deadlineConn) Write(b []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
