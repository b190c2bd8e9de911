package console_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/await"
	"countersign/internal/console"
	"countersign/internal/deliver"
	"countersign/internal/deliver/virtual"
	"countersign/internal/verify"
)

// livePage is the browser's end of an event stream.
type livePage struct {
	answer *http.Response
	lines  *bufio.Scanner
}

func open(t *testing.T, ctx context.Context, url string) *livePage {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	return &livePage{answer, bufio.NewScanner(answer.Body)}
}

// next waits for the next list and returns its texts; ok is false at the end of the
// stream.
func (p *livePage) next(t *testing.T) (list []string, ok bool) {
	t.Helper()
	for p.lines.Scan() {
		if data, found := strings.CutPrefix(p.lines.Text(), "data: "); found {
			return texts(t, []byte(data)), true
		}
	}
	return nil, false
}

func (p *livePage) expect(t *testing.T, want ...string) {
	t.Helper()
	got, ok := p.next(t)
	if !ok || !slices.Equal(got, want) {
		t.Fatalf("list %q (stream open: %t), want %q", got, ok, want)
	}
}

func serve(t *testing.T, c console.Config) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler(c))
	// Short limits, to check that a live page outlives them.
	server.Config.ReadTimeout = 100 * time.Millisecond
	server.Config.WriteTimeout = 100 * time.Millisecond
	server.Start()
	t.Cleanup(server.Close)
	return server
}

// awaitLimits opens a connection and returns when the server's time limits have closed it.
// Connections opened earlier have then exceeded the limits.
func awaitLimits(t *testing.T, server *httptest.Server) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\n"); err != nil { // an incomplete request
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Fatal(err)
	}
}

func TestLivePageShowsWhatThisNodeFiles(t *testing.T) {
	t.Parallel()
	box := filled(sms(1, number, "one"))
	phone := virtual.New(virtual.Config{Inbox: box})
	server := serve(t, console.Config{Inbox: box, Watcher: phone, Refresh: time.Hour}) // only the watcher notifies

	page := open(t, t.Context(), server.URL+"/phone/api/events?number="+number)
	if got := page.answer.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("Content-Type %q", got)
	}
	page.expect(t, "one")

	awaitLimits(t, server)
	for _, m := range []deliver.Message{
		{EventID: id(2), Channel: verify.SMS, To: verify.PhoneAddress("15550100", ""), Text: "for somebody else"},
		{EventID: id(3), Channel: verify.SMS, To: verify.PhoneAddress(number, ""), Text: "two"},
	} {
		if _, err := phone.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	page.expect(t, "one", "two")
}

func TestLivePageShowsWhatAnotherNodeFiles(t *testing.T) {
	t.Parallel()
	box := filled()
	server := serve(t, console.Config{Inbox: box, Refresh: 5 * time.Millisecond}) // only by refresh

	page := open(t, t.Context(), server.URL+"/phone/api/events")
	page.expect(t)
	add := func(m virtual.Message) {
		if err := box.AddMessage(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	add(sms(1, number, "one"))
	page.expect(t, "one")
	add(sms(2, "15550100", "two"))
	page.expect(t, "one", "two")
}

// A silent page gets periodic comments, and no list twice. The recorder cannot set
// deadlines, like a server behind middleware that hides them.
func TestLivePageIsKeptAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		h := handler(console.Config{Inbox: filled(sms(1, number, "one"))})
		w := httptest.NewRecorder()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/phone/api/events", nil))
		}()
		await.Pass(time.Minute)
		leave()
		<-ended

		body := w.Body.String()
		if n := strings.Count(body, "event: messages\n"); n != 1 {
			t.Errorf("%d lists, want 1", n)
		}
		if n := strings.Count(body, "\n: "); n < 3 {
			t.Errorf("%d comments in a minute, want one each 15 seconds or so", n)
		}
	})
}

func TestLivePageOfMalformedNumberIsEmpty(t *testing.T) {
	t.Parallel()
	server := serve(t, console.Config{Inbox: filled(sms(1, number, "one"))})
	open(t, t.Context(), server.URL+"/phone/api/events?number=x").expect(t)
}

func TestLivePageEnds(t *testing.T) {
	t.Parallel()

	t.Run("WhenTheServerDrains", func(t *testing.T) {
		t.Parallel()
		draining := make(chan struct{})
		server := serve(t, console.Config{Inbox: filled(), Refresh: time.Hour, Draining: draining})
		page := open(t, t.Context(), server.URL+"/phone/api/events")
		page.expect(t)

		server.Config.RegisterOnShutdown(func() { close(draining) })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := server.Config.Shutdown(ctx); err != nil {
			t.Fatalf("shutdown timed out: %v", err)
		}
		if _, ok := page.next(t); ok {
			t.Error("the stream is still open")
		}
	})

	t.Run("WhenTheInboxFails", func(t *testing.T) {
		t.Parallel()
		box := filled()
		box.err = errors.New("database is away")
		server := serve(t, console.Config{Inbox: box})
		if _, ok := open(t, t.Context(), server.URL+"/phone/api/events").next(t); ok {
			t.Error("a list without an inbox")
		}
	})

	t.Run("WhenTheBrowserLeaves", func(t *testing.T) {
		t.Parallel()
		// With MaxLive 1, a second page is accepted after the end of the first.
		server := serve(t, console.Config{Inbox: filled(), Refresh: time.Hour, MaxLive: 1})
		ctx, leave := context.WithCancel(t.Context())
		first := open(t, ctx, server.URL+"/phone/api/events")
		first.expect(t)

		second := open(t, t.Context(), server.URL+"/phone/api/events")
		if second.answer.StatusCode != http.StatusServiceUnavailable || second.answer.Header.Get("Retry-After") == "" {
			t.Fatalf("status %d beyond the limit, header %v", second.answer.StatusCode, second.answer.Header)
		}
		leave()
		for second.answer.StatusCode != http.StatusOK {
			_ = second.answer.Body.Close()
			second = open(t, t.Context(), server.URL+"/phone/api/events")
		}
		second.expect(t)
	})
}
