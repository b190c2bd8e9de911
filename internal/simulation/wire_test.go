package simulation

import (
	"context"
	"net"
	"sync"
	"time"
)

// idleTimeout is idle_in_transaction_session_timeout of a node, in virtual time. The server
// counts real time.
const idleTimeout = 8 * time.Second

// wires are the connections of one node to PostgreSQL. A crash closes them as the kernel
// does: without a goodbye, also in a transaction.
type wires struct {
	stand func(context.Context) // blocks while the node is paused, until the context ends
	hold  func()                // pauses the node

	mu     sync.Mutex
	open   map[*wire]bool
	dead   bool
	limit  bool    // cut after some messages
	writes int     // messages before the cut
	part   float64 // sent part of the interrupted message, 0 to 1
	reads  int     // reads until the node pauses; 0 for never
}

// dial opens a connection. It returns errCrashed after a cut.
func (ws *wires) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ws.stand(ctx)
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.dead {
		return nil, errCrashed
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: conn, of: ws}
	ws.open[w] = true
	return w, nil
}

// cutAfter cuts the connections after some messages of the node and a part of the next.
func (ws *wires) cutAfter(writes int, part float64) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.limit, ws.writes, ws.part = true, writes, part
}

// pauseAt pauses the node at one of its next reads, 1 for the first; 0 for never.
func (ws *wires) pauseAt(read int) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.reads = read
}

// countRead pauses the node at the read set by pauseAt.
func (ws *wires) countRead() {
	ws.mu.Lock()
	pause := ws.reads == 1
	ws.reads = max(ws.reads-1, 0)
	ws.mu.Unlock()
	if pause {
		ws.hold()
	}
}

// cut closes all connections and prevents new ones.
func (ws *wires) cut() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.close()
}

// close closes all connections. The caller holds ws.mu.
func (ws *wires) close() {
	ws.dead = true
	for w := range ws.open {
		_ = w.Conn.Close()
	}
	clear(ws.open)
}

// wire is one connection.
type wire struct {
	net.Conn
	of *wires
}

// Write sends a message. It returns errCrashed if the connection is cut.
func (w *wire) Write(b []byte) (int, error) {
	ws := w.of
	ws.mu.Lock()
	defer ws.mu.Unlock()
	switch {
	case ws.dead:
		return 0, errCrashed
	case ws.limit && ws.writes == 0:
		_, _ = w.Conn.Write(b[:int(ws.part*float64(len(b)))])
		ws.close()
		return 0, errCrashed
	case ws.limit:
		ws.writes--
	}
	return w.Conn.Write(b)
}

// Read receives. A node pauses here with a statement sent, so it may hold locks. After a
// pause of idleTimeout the connection closes, as the server would close it.
func (w *wire) Read(b []byte) (int, error) {
	w.of.countRead()
	ctx, cancel := context.WithTimeout(context.Background(), idleTimeout)
	defer cancel()
	if w.of.stand(ctx); ctx.Err() != nil {
		_ = w.Close()
		w.of.stand(context.Background())
	}
	return w.Conn.Read(b)
}

// Close closes the connection. It returns nil after a cut.
func (w *wire) Close() error {
	ws := w.of
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if !ws.open[w] {
		return nil
	}
	delete(ws.open, w)
	return w.Conn.Close()
}
