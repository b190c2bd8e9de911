package sqlite

import (
	"context"
	"errors"
	"sync"
	"time"

	"countersign/internal/store/driver"
)

// ErrClosed is returned for a closed pool.
var ErrClosed = errors.New("sqlite: the pool is closed")

// Pool is a set of connections to one file. It opens them when they are needed and keeps
// them open. It is safe for concurrent use.
type Pool struct {
	connect func() (*Conn, error)
	slots   chan struct{} // has an element for each connection in use

	mu     sync.Mutex
	idle   []*Conn // A stack: the most recently used connection is the last.
	closed bool
	waits  int64
	waited time.Duration
}

// NewPool returns a pool of up to limit connections, which connect opens.
func NewPool(limit int, connect func() (*Conn, error)) *Pool {
	return &Pool{connect: connect, slots: make(chan struct{}, limit)}
}

// Close closes the idle connections. The others are closed when their rows are closed.
// Close is idempotent.
func (p *Pool) Close() error {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	var errs []error
	for _, c := range idle {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// Stats returns the present state.
func (p *Pool) Stats() driver.PoolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return driver.PoolStats{InUse: len(p.slots), Idle: len(p.idle), Limit: cap(p.slots), Waits: p.waits, Waited: p.waited}
}

// Query is [Conn.Query] on a free connection. The rows return it to the pool.
func (p *Pool) Query(ctx context.Context, text string, args ...any) (*Rows, error) {
	c, err := p.take(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := c.Query(ctx, text, args...)
	if err != nil {
		p.put(c)
		return nil, err
	}
	rows.pool = p
	return rows, nil
}

// QueryRow is [Conn.QueryRow] on a free connection.
func (p *Pool) QueryRow(ctx context.Context, text string, args []any, dest ...any) error {
	return p.Use(ctx, func(c *Conn) error { return c.QueryRow(ctx, text, args, dest...) })
}

// Use runs do with a free connection. do must close its rows and end its transactions.
func (p *Pool) Use(ctx context.Context, do func(*Conn) error) error {
	c, err := p.take(ctx)
	if err != nil {
		return err
	}
	defer p.put(c)
	return do(c)
}

// take returns a connection that the caller passes to put. It waits for a free one.
func (p *Pool) take(ctx context.Context) (*Conn, error) {
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		<-p.slots
		return nil, ErrClosed
	}
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()
	c, err := p.connect()
	if err != nil {
		<-p.slots
	}
	return c, err
}

// wait waits for a slot.
func (p *Pool) wait(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	default:
	}
	begun := time.Now()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.waits++
		p.waited += time.Since(begun)
	}()
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Pool) put(c *Conn) {
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if closed {
		_ = c.Close() // the pool was closed before
	}
	<-p.slots
}
