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
	// pace keeps a burst of messages from becoming a burst of reads; nobody
	// sees the delay.
	pace = 50 * time.Millisecond

	// heartbeat is how long a live page may stay silent. It keeps a proxy from
	// closing the connection, and finds out that a browser is gone.
	heartbeat = 15 * time.Second

	writeTimeout = 10 * time.Second // for a browser that has stopped reading
)

// events keeps a page up to date: it sends the whole list at first and whenever
// it has changed, as Server-Sent Events. Whatever a page missed while it was
// away, the next list has; there is nothing to catch up with.
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
	h.Set("X-Accel-Buffering", "no") // nginx would keep the events to itself
	if r.Method == http.MethodHead {
		return nil
	}
	s := &stream{w: w, control: http.NewResponseController(w)}
	// The answer has begun, so an error can no longer become a 500. The browser
	// sees the end of the stream and asks again.
	if err := p.follow(r, s); err != nil && r.Context().Err() == nil {
		p.Log.WarnContext(r.Context(), "live page ended", "error", err)
	}
	return nil
}

// follow returns nil when the browser goes away or the server shuts down.
func (p *virtualPhone) follow(r *http.Request, s *stream) error {
	want := askedNumber(r)
	var changed <-chan struct{} // nil, which never speaks, without a watcher
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

// stream is the answer to a live page.
type stream struct {
	w       io.Writer
	control *http.ResponseController
	sentAt  time.Time
}

// open lifts the server's limit on the time to read a request, which would
// cancel this one, and tells the browser how soon to come back after the end.
func (s *stream) open() error {
	err := s.control.SetReadDeadline(time.Time{})
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("lift read deadline: %w", err)
	}
	return s.send("retry: 1000\n\n")
}

// send writes text at once. Its own deadline takes the place of the server's
// limit on the time to write an answer.
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

// keepAlive sends a comment if nothing was sent for a while.
func (s *stream) keepAlive() error {
	if time.Since(s.sentAt) < heartbeat {
		return nil
	}
	return s.send(": still here\n\n")
}
