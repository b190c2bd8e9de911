package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// postgresReads bounds the connections for reading of a node. A query there
	// waits for the network, so there may be more of them than processors.
	postgresReads = 16
	// postgresWriters is how many transactions a node writes at a time. Each mostly
	// waits for the network and the server.
	postgresWriters = 4
	// postgresBatch is how many writes are committed together. They hold their
	// locks until then, which others wait for.
	postgresBatch = 64
	// oldestPostgres is the oldest release whose SQL is spoken here.
	oldestPostgres = 13
)

// What keeps a caller from waiting for ever. A node that stands still in the midst
// of a transaction must not keep the rows from the others; what a server does not
// answer at all the deadline of the connection ends, and so it comes last.
const (
	connectTimeout = 5 * time.Second
	lockTimeout    = 4 * time.Second
	stmtTimeout    = 8 * time.Second
	idleTimeout    = 8 * time.Second
	answerTimeout  = 12 * time.Second
)

// IsPostgres reports whether a database is named by the URL of a PostgreSQL
// server, and not by the path of a file.
func IsPostgres(database string) bool {
	return strings.HasPrefix(database, "postgres://") || strings.HasPrefix(database, "postgresql://")
}

// errURL does not say what is wrong: the reasons of a parser quote the password,
// or what it took for something else.
var errURL = errors.New("not a valid postgres:// URL (in user and password, all but letters and digits must be percent-encoded)")

// parsePostgres reads the URL of a database.
func parsePostgres(database string) (*pgx.ConnConfig, error) {
	_, rest, _ := strings.Cut(database, "://")
	rest, _, _ = strings.Cut(rest, "?")
	authority, name, _ := strings.Cut(rest, "/")
	if strings.Count(authority, "@") > 1 || strings.ContainsAny(name, "@/") {
		return nil, errURL // part of a password would pass for a host, and be told
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

// Redact names a database without its password, for logs and errors.
func Redact(database string) string {
	if !IsPostgres(database) {
		return database
	}
	cfg, err := parsePostgres(database)
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

// hurried gives cfg the limits of time under which requests are served.
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

// deadlineConn gives up on a server that does not answer: every question sets the
// time by which its answer must be there.
type deadlineConn struct{ net.Conn }

func (c deadlineConn) Write(b []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// startPostgres connects to the server for reading and writing. There may be other
// nodes: nothing of theirs is touched.
func (db *DB) startPostgres(ctx context.Context, cfg Config) error {
	conf, err := parsePostgres(cfg.Database)
	if err != nil {
		return err
	}
	setup, _, err := openSchema(ctx, cfg.Database)
	if err != nil {
		return err
	}
	db.primary = newPrimary(conf, cfg.Log)
	first := newPostgresConn(db.primary, cfg.Log)
	if err = migrate(ctx, setup, db.dialect); err == nil {
		if err = first.connect(ctx); unavailable(err) != nil {
			err = unavailable(err)
		}
	}
	if err == nil { // before keys are made where they are still to be copied
		err = checkCopied(ctx, first.conn)
	}
	if err == nil {
		err = db.openKeys(ctx, setup, cfg)
	}
	if err = cmp.Or(err, setup.Close()); err != nil {
		return cmp.Or(err, first.close())
	}
	if cfg.Serve { // a command reports its error itself
		db.outage = &outage{log: cfg.Log, now: time.Now}
	}
	for i := range postgresWriters {
		conn := first
		if i > 0 { // the others connect when they are needed
			conn = newPostgresConn(db.primary, cfg.Log)
		}
		db.writers = append(db.writers, startWriter(conn, db.seal, db.dialect, cfg, postgresBatch))
	}
	keys := db.primary.pool()
	keys.SetMaxOpenConns(1)
	keys.SetConnMaxIdleTime(time.Minute)
	db.pool = db.primary.pool()
	db.pool.SetMaxOpenConns(postgresReads)
	db.pool.SetMaxIdleConns(postgresReads)
	db.keys, db.read = sqlReader{keys}, sqlReader{db.pool}
	db.pool.SetConnMaxLifetime(time.Hour) // lets a server that came back have its share
	return nil
}

// checkServer refuses a server that cannot keep what is written.
func checkServer(ctx context.Context, db *sql.DB) error {
	var version int
	var encoding string
	err := db.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::INT, current_setting('server_encoding')`).
		Scan(&version, &encoding)
	switch {
	case err != nil:
		return err
	case version < oldestPostgres*10000:
		return fmt.Errorf("PostgreSQL %d is too old; at least %d is needed", version/10000, oldestPostgres)
	case encoding != "UTF8":
		return fmt.Errorf("the encoding of the database is %s; it must be UTF8", encoding)
	}
	return nil
}

// retry runs do, which must be idempotent, again after the loss of its connection. After a
// restart of the server, each connection of the pool is lost once. A nil p, as with
// SQLite, makes one attempt.
func retry[T any](ctx context.Context, p *primary, do func() (T, error)) (T, error) {
	if p == nil {
		return do()
	}
	for try := 0; ; try++ {
		term := p.now()
		v, err := do()
		if ctx.Err() == nil && gone(err) {
			p.leave(term, err)
		}
		if try == postgresReads || ctx.Err() != nil || !lost(err) {
			return v, err
		}
	}
}

// lost reports whether err indicates the loss of an established connection, so that
// another connection may serve.
func lost(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return established(err) && unusable(e)
	}
	return gone(err) && !timedOut(err) // a retry would double the wait
}

// gone reports whether err indicates that the server closed an established connection, or
// does not answer on it. An answer has a SQLSTATE.
func gone(err error) bool {
	if err == nil || errors.Is(err, sql.ErrNoRows) || !established(err) || sqlState(err) != "" {
		return false
	}
	_, network := errors.AsType[*net.OpError](err)
	return network || timedOut(err) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// established reports whether err is not the failure to open a connection.
func established(err error) bool {
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	return !connecting
}

func timedOut(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}
