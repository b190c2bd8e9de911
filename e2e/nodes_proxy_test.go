package e2e

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// cable is the network between one node and the database. It can break, also within a packet,
// and it can hold all traffic.
type cable struct {
	listener net.Listener
	socket   string // socket of the database

	mu      sync.Mutex
	ends    map[net.Conn]bool
	blocked chan struct{} // closed when traffic continues; nil unless it is held
	budget  int           // octets until cable breaks; 0 for no limit
}

func newCable(t *testing.T, socket string) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{listener: l, socket: socket, ends: map[net.Conn]bool{}}
	t.Cleanup(func() {
		_ = l.Close()
		c.cut()
	})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.connect(conn)
		}
	}()
	return c
}

func (c *cable) connect(near net.Conn) {
	far, err := net.Dial("unix", c.socket)
	if err != nil {
		_ = near.Close() // as a host does without a listener
		return
	}
	c.mu.Lock()
	c.ends[near], c.ends[far] = true, true
	c.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { c.carry(far, near) })
	both.Go(func() { c.carry(near, far) })
	both.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.ends, near)
	delete(c.ends, far)
}

// carry copies octets in one direction until either end closes.
func (c *cable) carry(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if n, end := c.pass(n); end {
				_, _ = to.Write(buf[:n]) // the allowed part
				c.cut()
				return
			}
			if _, werr := to.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				abort(to)
			}
			return
		}
	}
}

// pass waits while traffic is held. It returns how many of n octets are allowed, and whether the
// cable then breaks.
func (c *cable) pass(n int) (allowed int, end bool) {
	c.mu.Lock()
	blocked := c.blocked
	c.mu.Unlock()
	if blocked != nil {
		<-blocked
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.budget == 0:
		return n, false
	case n < c.budget:
		c.budget -= n
		return n, false
	}
	allowed, c.budget = c.budget-1, 0
	return allowed, true
}

// cutAfter breaks the cable after that many more octets.
func (c *cable) cutAfter(octets int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.budget = octets
}

// cutNow breaks the cable if cutAfter has not yet.
func (c *cable) cutNow() {
	c.mu.Lock()
	waits := c.budget > 0
	c.budget = 0
	c.mu.Unlock()
	if waits {
		c.cut()
	}
}

// cut resets all connections.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for end := range c.ends {
		abort(end)
	}
	c.unblock()
}

// hold blocks all traffic until release.
func (c *cable) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.blocked == nil {
		c.blocked = make(chan struct{})
	}
}

// release resets all connections, which discards the held traffic, and ends hold.
func (c *cable) release() { c.cut() }

func (c *cable) unblock() {
	if c.blocked != nil {
		close(c.blocked)
		c.blocked = nil
	}
}

func abort(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // makes Close send a reset
	}
	_ = conn.Close()
}
