package console

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// pace combines the reads for a burst of messages. The delay is not noticeable.
	pace = 50 * time.Millisecond

	// heartbeat is the maximum time without data on a live page. It keeps proxies from
	// closing the connection and detects closed browsers.
	heartbeat = 15 * time.Second

	writeTimeout = 10 * time.Second // for a browser that stopped reading
)

// events streams the list of messages as Server-Sent Events: the whole list first, and
// again after each change. A page that reconnects therefore needs no history.
func (p *virtualPhone) events(w http.ResponseWriter, r *http.Request) error {
	select {
	case p.live <- struct{}{}:
		defer func() { <-p.live }()
	default:
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many live pages", http.StatusServiceUnavailable)
		return nil
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would buffer the events
	if r.Method == http.MethodHead {
		return nil
	}
	s := &stream{w: w, control: http.NewResponseController(w)}
	// The response has begun, so an error cannot become a 500. The browser reconnects at
	// the end of the stream.
	if err := p.follow(r, s); err != nil && r.Context().Err() == nil {
		p.Log.WarnContext(r.Context(), "live page ended", "error", err)
	}
	return nil
}

// follow sends lists until the browser disconnects or the server drains; then it returns
// nil.
func (p *virtualPhone) follow(r *http.Request, s *stream) error {
	want := askedNumber(r)
	var changed <-chan struct{} // nil without a watcher: blocks forever
	if p.Watcher != nil {
		c, stop := p.Watcher.Watch(want.number)
		defer stop()
		changed = c
	}
	refresh := time.NewTicker(p.Refresh)
	defer refresh.Stop()

	if err := s.open(); err != nil {
		return err
	}
	var shown []byte
	for {
		received, err := p.read(r.Context(), want)
		if err != nil {
			return err
		}
		list, err := encode(map[string]any{"messages": entries(received)})
		if err != nil {
			return err
		}
		if bytes.Equal(list, shown) {
			err = s.keepAlive()
		} else {
			err = s.send("event: messages\ndata: " + string(list) + "\n")
		}
		if err != nil {
			return err
		}
		shown = list

		select {
		case <-r.Context().Done():
			return nil
		case <-p.Draining:
			return nil
		case <-refresh.C:
		case <-changed:
			time.Sleep(pace)
		}
	}
}

// stream is the response to a live page.
type stream struct {
	w       io.Writer
	control *http.ResponseController
	sentAt  time.Time
}

// open removes the server's read deadline, which would cancel the request, and sets the
// browser's reconnection delay.
func (s *stream) open() error {
	err := s.control.SetReadDeadline(time.Time{})
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("lift read deadline: %w", err)
	}
	return s.send("retry: 1000\n\n")
}

// send writes and flushes text. It replaces the server's write deadline by writeTimeout
// from now.
func (s *stream) send(text string) error {
	s.sentAt = time.Now()
	err := s.control.SetWriteDeadline(s.sentAt.Add(writeTimeout))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("set write deadline: %w", err)
	}
	if _, err := io.WriteString(s.w, text); err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	if err := s.control.Flush(); err != nil {
		return fmt.Errorf("flush event: %w", err)
	}
	return nil
}

// keepAlive sends a comment if the last write was at least heartbeat ago.
func (s *stream) keepAlive() error {
	if time.Since(s.sentAt) < heartbeat {
		return nil
	}
	return s.send(": still here\n\n")
}
