// Package servertest runs the complete server inside a test: the production code on a
// free loopback port, with a database in a temporary directory. It uses the virtual phone
// as carrier, the accounts and numbers of the demonstration, and a fake clock.
package servertest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"countersign/internal/await"
	"countersign/internal/logtest"
	"countersign/internal/pgtest"
	"countersign/internal/server"
	"countersign/internal/store"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

// Server is a running server.
type Server struct {
	*server.Server
	Clock    *clockwork.FakeClock
	Database string // path of its file, or its URL

	t testing.TB
}

// Option changes the options of the server.
type Option func(*server.Options)

// Quiet suppresses the server's log.
func Quiet() Option {
	return func(o *server.Options) { o.Log = slog.New(slog.DiscardHandler) }
}

// WithAdmin also serves the admin API, on a free port, with a token in a temporary
// directory.
func WithAdmin(t testing.TB) Option {
	t.Helper()
	file := filepath.Join(t.TempDir(), "admin-token")
	return func(o *server.Options) {
		o.Config.Admin.Listen, o.Config.Admin.TokenFile = "127.0.0.1:0", file
	}
}

// Epoch is the initial time of the test's clock.
var Epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Start runs a server until the test ends. Without options no rate limit applies, since
// the clock does not advance.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	dir := t.TempDir()
	s := &Server{Clock: clockwork.NewFakeClockAt(Epoch), Database: pgtest.Chosen(t, filepath.Join(dir, "countersign.db"), "migrated", store.Migrate), t: t}
	opts := server.Options{
		Config: server.DemoConfig(), Key: vault.NewKey(), Clock: s.Clock,
		Log: logtest.New(t), Unlimited: true,
	}
	opts.Config.Listen, opts.Config.OpsListen = "127.0.0.1:0", "127.0.0.1:0"
	opts.Config.Database = s.Database
	if !store.IsPostgres(s.Database) {
		opts.Config.Database = "sqlite:" + s.Database
	}
	for _, o := range options {
		o(&opts)
	}
	var err error
	if s.Server, err = server.New(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	if err := server.SeedDemo(t.Context(), s.Store(), false, Epoch); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		http.DefaultClient.CloseIdleConnections()
		if err := <-served; err != nil {
			t.Errorf("stop server: %v", err)
		}
	})
	return s
}

// Message is one message of the virtual phone, in the form of its API.
type Message struct {
	Number    string    `json:"number"`
	Channel   string    `json:"channel"`
	From      string    `json:"from"`
	Text      string    `json:"text"`
	AudioURL  string    `json:"audio_url"`
	EventID   string    `json:"event_id"`
	RequestID string    `json:"request_id"`
	SentAt    time.Time `json:"sent_at"`
}

// Messages returns the messages of a number.
func (s *Server) Messages(number string) []Message {
	s.t.Helper()
	var answer struct{ Messages []Message }
	body := s.get(s.URL() + "/phone/api/messages?number=" + url.QueryEscape(number))
	if err := json.Unmarshal(body, &answer); err != nil {
		s.t.Fatalf("messages of %s: %v", number, err)
	}
	return answer.Messages
}

// WaitMessages waits until a number has received n messages and the server has recorded
// the outcome of all sent messages, and returns them. Afterwards a test may advance the
// clock: no message is in flight that would be resent when its lease expires.
func (s *Server) WaitMessages(number string, n int) []Message {
	s.t.Helper()
	var list []Message
	await.Until(s.t, fmt.Sprintf("received by %s: %d messages", number, n), func() bool {
		list = s.Messages(number)
		return len(list) >= n && s.settled()
	})
	return list
}

// settled reports whether no event is being submitted.
func (s *Server) settled() bool {
	s.t.Helper()
	all := store.VerificationFilter{Until: s.Clock.Now().AddDate(1, 0, 0), Limit: 1_000_000}
	found, err := s.Store().FindVerifications(s.t.Context(), all)
	if err != nil {
		s.t.Fatal(err)
	}
	return !slices.ContainsFunc(found, func(v verify.Verification) bool { return len(v.Open()) > 0 })
}

// PIN returns the code in a message: consecutive digits in an SMS, digits separated by
// commas in a call.
func (m Message) PIN() string {
	if verify.Channel(m.Channel).Spoken() {
		spelt := regexp.MustCompile(`[0-9](, [0-9]){3,9}`).FindString(m.Text)
		return regexp.MustCompile(`, `).ReplaceAllString(spelt, "")
	}
	return regexp.MustCompile(`[0-9]{4,10}`).FindString(m.Text)
}

// Post sends a form to the API, with the demonstration's credentials unless params have
// others, and returns the JSON response.
func (s *Server) Post(path string, params url.Values) map[string]any {
	s.t.Helper()
	if !params.Has("api_key") {
		params.Set("api_key", server.DemoAccount)
		params.Set("api_secret", server.DemoSecret)
	}
	resp, err := http.PostForm(s.URL()+path, params)
	body := s.read(resp, err)
	var answer map[string]any
	if err := json.Unmarshal(body, &answer); err != nil {
		s.t.Fatalf("%s returned %d %s", path, resp.StatusCode, body)
	}
	return answer
}

func (s *Server) get(url string) []byte {
	s.t.Helper()
	return s.read(http.Get(url))
}

// read returns the body of a response, given the results of package http.
func (s *Server) read(resp *http.Response, err error) []byte {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return body
}
