package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	// hostTimeout is the connect timeout for each of several hosts. Another host may answer,
	// so it is shorter than connectTimeout.
	hostTimeout = 2 * time.Second
	// silence is the shortest wait for the first octet of a host after which the host counts
	// as silent. A shorter wait may have ended with its request.
	silence = 500 * time.Millisecond
	// skipSilent is the time for which connections pass over a silent host.
	skipSilent = 3 * time.Second
	// leaveLogGap is the shortest time between two log lines about a primary that was left.
	leaveLogGap = 10 * time.Second
)

// primary is the PostgreSQL server that takes this node's writes, and opens all of the
// node's connections to it.
//
// Connections belong to a term. The term ends when one of its connections reports that the
// server shuts down, has become read-only or does not answer: after a failover, the primary
// may be another host. Connections of an earlier term are closed instead of being used
// again, so that reads and LISTEN follow the writes.
type primary struct {
	cfg  *pgx.ConnConfig // without time limits for statements
	fast *pgx.ConnConfig // with the time limits of requests
	log  *slog.Logger

	mu      sync.Mutex
	term    int64
	serving context.Context // done when the term ends
	end     context.CancelFunc
	silent  map[string]time.Time // hosts to pass over, until a time; by address
	logged  time.Time
}

// Keys of a connection's custom data.
const (
	termKey         = "countersign.term"         // its term
	unreplicatedKey = "countersign.unreplicated" // set if a commit did not wait for its standby
)

func newPrimary(cfg *pgx.ConnConfig, log *slog.Logger) *primary {
	p := &primary{log: log, silent: map[string]time.Time{}}
	p.serving, p.end = context.WithCancel(context.Background())
	p.cfg = cfg.Copy()
	p.cfg.OnPgError = func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		if !unusable(err) {
			return true
		}
		if term, ok := conn.CustomData()[termKey].(int64); ok {
			p.leave(term, err)
		}
		return false
	}
	p.cfg.OnNotice = func(conn *pgconn.PgConn, n *pgconn.Notice) {
		if n.Routine == "SyncRepWaitForLSN" { // the text is in the language of the server
			conn.CustomData()[unreplicatedKey] = true
		}
	}
	p.fast = hurried(p.cfg)
	if hosts(cfg) > 1 {
		p.cfg.DialFunc, p.fast.DialFunc = p.passOver(p.cfg.DialFunc), p.passOver(p.fast.DialFunc)
	}
	return p
}

// connect opens a connection for requests.
func (p *primary) connect(ctx context.Context) (*pgx.Conn, error) { return p.open(ctx, p.fast) }

// open opens a connection of the present term.
func (p *primary) open(ctx context.Context, cfg *pgx.ConnConfig) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	p.join(conn)
	return conn, nil
}

func (p *primary) join(conn *pgx.Conn) { conn.PgConn().CustomData()[termKey] = p.now() }

// pool returns a pool of connections for requests.
func (p *primary) pool() *sql.DB {
	return stdlib.OpenDB(*p.fast,
		stdlib.OptionAfterConnect(func(_ context.Context, conn *pgx.Conn) error {
			p.join(conn)
			return nil
		}),
		stdlib.OptionShouldPing(func(_ context.Context, use stdlib.ShouldPingParams) bool {
			return p.current(use.Conn) && use.IdleDuration > idleCheck
		}),
		stdlib.OptionResetSession(func(_ context.Context, conn *pgx.Conn) error {
			if p.current(conn) {
				return nil
			}
			abandon(conn)
			return driver.ErrBadConn
		}))
}

// abandon closes a connection of an earlier term without waiting for its server.
func abandon(conn *pgx.Conn) {
	done, cancel := context.WithCancel(context.Background())
	cancel()
	_ = conn.Close(done)
}

// current reports whether conn belongs to the present term.
func (p *primary) current(conn *pgx.Conn) bool {
	return p.termOf(conn) == p.now()
}

// termOf returns the term of a connection.
func (p *primary) termOf(conn *pgx.Conn) int64 {
	term, _ := conn.PgConn().CustomData()[termKey].(int64)
	return term
}

// now returns the present term.
func (p *primary) now() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.term
}

// leave ends a term, unless it has ended.
func (p *primary) leave(term int64, reason error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if term != p.term {
		return
	}
	p.term++
	p.end()
	p.serving, p.end = context.WithCancel(context.Background())
	if now := time.Now(); now.Sub(p.logged) >= leaveLogGap {
		p.logged = now
		p.log.Debug("database connection unusable, opening new connections", "error", reason)
	}
}

// within returns a context that is done when the present term ends.
func (p *primary) within(ctx context.Context) (context.Context, context.CancelFunc) {
	p.mu.Lock()
	serving := p.serving
	p.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(serving, cancel)
	return ctx, func() { stop(); cancel() }
}

// patience bounds the time for a connection: each host has its timeout, and the session
// is set up after that.
func (p *primary) patience() time.Duration {
	return time.Duration(hosts(p.cfg))*p.cfg.ConnectTimeout + connectTimeout
}

// hosts returns the number of hosts that cfg names.
func hosts(cfg *pgx.ConnConfig) int {
	n, last := 1, address(cfg.Host, cfg.Port)
	for _, f := range cfg.Fallbacks { // a host is listed with and without TLS
		if a := address(f.Host, f.Port); a != last {
			n, last = n+1, a
		}
	}
	return n
}

// requireWrites refuses a read-only server, so that the next host is tried, as
// target_session_attrs=read-write does.
func requireWrites(ctx context.Context, conn *pgconn.PgConn) error {
	err := pgconn.ValidateConnectTargetSessionAttrsReadWrite(ctx, conn)
	if errors.Is(err, pgconn.ErrReadOnlyConnection) {
		err = fmt.Errorf("server takes no writes (a standby, or default_transaction_read_only is on): %w", err)
	}
	return err
}

// stated reports whether the URL or the environment sets a parameter of connections.
func stated(database, parameter, variable string) bool {
	_, query, _ := strings.Cut(database, "?")
	return strings.Contains("&"+query, "&"+parameter+"=") || os.Getenv(variable) != ""
}

var errSilent = errors.New("host did not answer a moment ago, passed over")

// passOver makes dial skip hosts that did not answer recently.
func (p *primary) passOver(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		begun := time.Now()
		p.mu.Lock()
		until := p.silent[addr]
		p.mu.Unlock()
		if begun.Before(until) {
			return nil, errSilent
		}
		conn, err := dial(ctx, network, addr)
		if err != nil {
			p.unanswered(addr, begun, err)
			return nil, err
		}
		return &hostConn{Conn: conn, unanswered: func(err error) { p.unanswered(addr, begun, err) }}, nil
	}
}

// unanswered records that a host has not answered since begun.
func (p *primary) unanswered(addr string, begun time.Time, err error) {
	var e net.Error
	if timeout := errors.As(err, &e) && e.Timeout() || errors.Is(err, context.DeadlineExceeded); !timeout || time.Since(begun) < silence {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent[addr] = time.Now().Add(skipSilent)
}

// hostConn detects a host that accepts connections but does not answer.
type hostConn struct {
	net.Conn
	heard      bool
	unanswered func(error)
}

// Read reads from the host.
func (c *hostConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.heard = true
	} else if err != nil && !c.heard {
		c.unanswered(err)
	}
	return n, err
}
