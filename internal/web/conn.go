package web

import (
	"container/list"
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"
)

// maxResets is the number of HTTP/2 streams that a connection without valid credentials
// may reset.
const maxResets = 20

// conn is a connection of a limited listener. It occupies a place in each of its groups
// until it is closed or evicted.
type conn struct {
	net.Conn
	listener *limited
	source   netip.Prefix

	authenticated atomic.Bool // a request had valid credentials
	resets        atomic.Int32
	turn          chan struct{} // holds an element while credentials are checked
	known         chan struct{} // closed with authenticated

	// The following fields are guarded by listener.mu.
	seats   []seat // empty after eviction or close
	waiting time.Time
	idle    *time.Timer
}

// seat is the place of a connection in a group.
type seat struct {
	group *group
	among *list.Element // in group.strangers; nil with valid credentials
}

// sit takes a place in each group. The caller holds listener.mu.
func (c *conn) sit(groups []*group) {
	for _, g := range groups {
		g.open++
		c.seats = append(c.seats, seat{g, g.strangers.PushBack(c)})
	}
	c.listener.cfg.Metrics.open.WithLabelValues(c.listener.cfg.Name).Inc()
	c.wait()
}

// leave frees the places. It is idempotent. The caller holds listener.mu.
func (c *conn) leave() {
	if c.seats == nil {
		return
	}
	c.leaveStrangers()
	for _, s := range c.seats {
		s.group.open--
	}
	c.seats = nil
	c.listener.tidy(c.source)
	c.listener.cfg.Metrics.open.WithLabelValues(c.listener.cfg.Name).Dec()
}

func (c *conn) leaveStrangers() {
	for i, s := range c.seats {
		if s.among != nil {
			s.group.strangers.Remove(s.among)
			c.seats[i].among = nil
		}
	}
	if c.idle != nil {
		c.idle.Stop()
	}
}

// wait starts the time limit for a whole header on a connection without valid
// credentials. It uses the real clock, as the deadlines of net/http do.
func (c *conn) wait() {
	limit := c.listener.cfg.Limits.UnauthenticatedIdle
	if limit == 0 {
		return
	}
	c.waiting = time.Now()
	if c.idle == nil {
		c.idle = time.AfterFunc(limit, c.expire)
		return
	}
	c.idle.Reset(limit)
}

// expire closes a connection that has exceeded the limit of wait.
func (c *conn) expire() {
	l := c.listener
	l.mu.Lock()
	expired := c.seats != nil && !c.authenticated.Load() &&
		!c.waiting.IsZero() && time.Since(c.waiting) >= l.cfg.Limits.UnauthenticatedIdle
	if expired {
		c.leave()
		l.cfg.Metrics.closed.WithLabelValues(l.cfg.Name, closedIdle).Inc()
	}
	l.mu.Unlock()
	if expired {
		_ = c.Conn.Close() // the connection is evicted in either case
	}
}

// changeState records the progress of a connection (http.Server.ConnState): a whole
// header or a response. Single bytes are no progress.
func changeState(nc net.Conn, state http.ConnState) {
	c := unwrap(nc)
	if c == nil || c.authenticated.Load() || state != http.StateActive && state != http.StateIdle {
		return
	}
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	if c.seats == nil {
		return
	}
	for _, s := range c.seats {
		if s.among != nil {
			s.group.strangers.MoveToBack(s.among)
		}
	}
	if state == http.StateIdle {
		c.wait()
		return
	}
	c.waiting = time.Time{}
	if c.idle != nil {
		c.idle.Stop()
	}
}

type connKey struct{}

// withConn adds the connection to the context of handlers (http.Server.ConnContext).
func withConn(ctx context.Context, nc net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, unwrap(nc))
}

func connOf(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}

// unwrap returns the connection below TLS; nil if its listener is not limited.
func unwrap(nc net.Conn) *conn {
	if secure, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = secure.NetConn()
	}
	c, _ := nc.(*conn)
	return c
}

// Authenticated records that a request had valid credentials. The connection is then
// never evicted, and has the full IdleTimeout.
func Authenticated(ctx context.Context) {
	c := connOf(ctx)
	if c == nil || c.authenticated.Swap(true) {
		return
	}
	close(c.known)
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	c.leaveStrangers()
}

// turn waits until the credentials of an HTTP/2 request may be checked: one request at a
// time on each connection, until one had valid credentials. This keeps reset streams of
// one client from occupying the database. The caller calls done after the check. ok is
// false if the stream is reset. Connections of trusted proxies carry requests of many
// clients and do not wait.
func turn(r *http.Request) (done func(), ok bool) {
	c := connOf(r.Context())
	if c == nil || r.ProtoMajor < 2 || !c.source.IsValid() || c.authenticated.Load() {
		return func() {}, !Reset(r)
	}
	select {
	case c.turn <- struct{}{}:
		return func() { <-c.turn }, !Reset(r)
	case <-c.known:
		return func() {}, !Reset(r)
	case <-r.Context().Done():
		return func() {}, false
	}
}

// streamReset counts a reset stream, and closes a connection without valid credentials
// after maxResets. Connections of trusted proxies are exempt.
func (c *conn) streamReset() {
	if c == nil || !c.source.IsValid() || c.authenticated.Load() || c.resets.Add(1) != maxResets {
		return
	}
	c.listener.cfg.Metrics.closed.WithLabelValues(c.listener.cfg.Name, closedResets).Inc()
	_ = c.Close() // net/http detects the close, and ends the other streams
}

// Close closes the connection and frees its place.
func (c *conn) Close() error {
	c.listener.mu.Lock()
	c.leave()
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite closes the server's side, so that a client can read the response to a
// request that was not fully read.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}
