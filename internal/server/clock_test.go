package server_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"countersign/internal/await"
	"countersign/internal/clock"
	"countersign/internal/config"
	"countersign/internal/pgtest"
	"countersign/internal/server"
	"countersign/internal/servertest"
	"countersign/internal/signature"
	"countersign/internal/store"
	"countersign/internal/vault"
)

// stepped is a server with a wall clock that the test steps. On PostgreSQL the database
// clock is stepped as well, as on one machine.
type stepped struct {
	*servertest.Server
	t        *testing.T
	postgres bool
	step     atomic.Int64 // time.Duration
	log      journal
}

func startStepped(t *testing.T, postgres bool) *stepped {
	t.Helper()
	s := &stepped{t: t, postgres: postgres}
	var database string
	s.Server = servertest.Start(t, func(o *server.Options) {
		fake := o.Clock.(*clockwork.FakeClock)
		began := fake.Now()
		o.Log = slog.New(slog.NewTextHandler(&s.log, nil))
		o.Clock = clock.New(clock.Config{
			Log: o.Log, Timers: fake,
			Elapsed: func() time.Duration { return fake.Since(began) },
			Wall:    func() time.Time { return fake.Now().Add(time.Duration(s.step.Load())) },
		})
		if postgres {
			database = pgtest.Prepared(t, "migrated", store.Migrate)
			o.Config.Database = database
			shadowClock(t, database)
			setServerClock(t, database, began)
		}
	})
	if postgres {
		s.Database = database
	}
	return s
}

// shadowClock makes clock_timestamp() in a database return the time of a table.
func shadowClock(t *testing.T, database string) {
	t.Helper()
	for _, statement := range []string{
		`CREATE TABLE public.test_clock (at TIMESTAMPTZ NOT NULL)`,
		`INSERT INTO public.test_clock VALUES ('epoch')`,
		`CREATE FUNCTION public.clock_timestamp() RETURNS TIMESTAMPTZ LANGUAGE SQL AS 'SELECT at FROM public.test_clock'`,
		`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); END $$`,
	} {
		pgtest.Exec(t, database, statement)
	}
}

func setServerClock(t *testing.T, database string, at time.Time) {
	t.Helper()
	pgtest.Exec(t, database, `UPDATE public.test_clock SET at = $1`, at)
}

// advance advances the timers, the wall clock and the database clock.
func (s *stepped) advance(d time.Duration) {
	s.t.Helper()
	if s.postgres {
		setServerClock(s.t, s.Database, s.Clock.Now().Add(d+time.Duration(s.step.Load())))
	}
	s.Clock.Advance(d)
}

func (s *stepped) begin(params url.Values) (requestID string) {
	s.t.Helper()
	params.Set("brand", "Acme")
	answer := s.Post("/verify/json", params)
	if answer["status"] != "0" {
		s.t.Fatalf("start: %v", answer)
	}
	return answer["request_id"].(string)
}

func (s *stepped) check(requestID, code string) string {
	s.t.Helper()
	return s.Post("/verify/check/json", url.Values{"request_id": {requestID}, "code": {code}})["status"].(string)
}

// TestWallClockStep checks that after a step of the clock, the next event and the
// lifetime of a code are as planned, and that the step is logged.
func TestWallClockStep(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, postgres := range []bool{false, true} {
		for _, step := range []time.Duration{time.Hour, -time.Hour, 400 * day, -400 * day} {
			t.Run(fmt.Sprintf("postgres=%v,%v", postgres, step), func(t *testing.T) {
				t.Parallel()
				testWallClockStep(t, startStepped(t, postgres), step)
			})
		}
	}
}

func testWallClockStep(t *testing.T, s *stepped, step time.Duration) {
	const next, last, over = "447700900101", "447700900102", "447700900103"
	began := s.Clock.Now()
	s.begin(url.Values{"number": {next}}) // the next event is due after 125 s
	inTime := s.begin(url.Values{"number": {last}, "workflow_id": {"6"}, "pin_expiry": {"300"}})
	late := s.begin(url.Values{"number": {over}, "workflow_id": {"6"}, "pin_expiry": {"300"}})
	codes := map[string]string{}
	for _, number := range []string{next, last, over} {
		codes[number] = s.WaitMessages(number, 1)[0].PIN()
	}

	s.step.Store(int64(step))
	s.advance(time.Second)
	await.Until(t, "in the log: the step", func() bool {
		return strings.Contains(s.log.String(), "was stepped") && strings.Contains(s.log.String(), "step="+step.Abs().String())
	})
	s.advance(124*time.Second - time.Millisecond)
	if m := s.Messages(next); len(m) != 1 {
		t.Errorf("the next event is early: %d messages", len(m))
	}
	s.advance(time.Millisecond)
	if m := s.WaitMessages(next, 2); m[1].SentAt.Sub(began) != 125*time.Second {
		t.Errorf("the next event is %v after the start, want 125 s", m[1].SentAt.Sub(began))
	}
	s.advance(175*time.Second - time.Millisecond)
	if status := s.check(inTime, codes[last]); status != "0" {
		t.Errorf("check 1 ms before the end of the lifetime: status %s", status)
	}
	s.advance(time.Millisecond)
	if status := s.check(late, codes[over]); status == "0" {
		t.Error("check after the end of the lifetime: status 0")
	}
	await.Until(t, "in the log: the paused retention", func() bool {
		s.advance(time.Minute) // the job runs once a minute
		return strings.Contains(s.log.String(), "retention paused")
	})
}

// TestSignedRequestAfterStep checks that the timestamp of a signed request is compared
// with the true time. A step counts fully once it has settled, although the program's
// clock follows it slowly. A replay is always refused.
func TestSignedRequestAfterStep(t *testing.T) {
	t.Parallel()
	s := startStepped(t, false)
	search := func(at time.Time) string {
		t.Helper()
		params := map[string]string{"api_key": server.DemoAccount, "request_id": strings.Repeat("0", 32), "timestamp": fmt.Sprint(at.Unix())}
		params["sig"] = signature.Sign(server.DemoSignatureMethod, server.DemoSignatureSecret, params)
		form := url.Values{}
		for name, value := range params {
			form.Set(name, value)
		}
		return s.Post("/verify/search/json", form)["status"].(string)
	}
	const admitted, refused = "101", "4"
	expect := func(at time.Time, want string) {
		t.Helper()
		if got := search(at); got != want {
			t.Errorf("request of %v at %v: status %s, want %s", at, s.Clock.Now(), got, want)
		}
	}
	expect(s.Clock.Now(), admitted)
	s.step.Store(int64(time.Hour))
	s.advance(10 * time.Second)
	await.Until(t, "in the log: the step", func() bool { return strings.Contains(s.log.String(), "was stepped") })
	expect(s.Clock.Now(), admitted)
	expect(s.Clock.Now().Add(time.Hour), refused)
	s.advance(11 * time.Minute)
	await.Until(t, "in the log: the adoption", func() bool { return strings.Contains(s.log.String(), "adopting the step") })
	now := s.Clock.Now()
	expect(now, refused)
	expect(now.Add(time.Hour), admitted)
	s.advance(3 * time.Second)
	expect(now.Add(time.Hour), refused)
}

// gateway accepts messages of nodes, each under a separate path. It delays responses to
// the first node until it is released, except for the sentinel's messages.
type gateway struct {
	*httptest.Server
	released chan struct{}

	mu    sync.Mutex
	got   map[string][]string // paths, by event
	codes map[string]string   // latest code, by number
}

const sentinel = "447700900999"

func newGateway(t *testing.T) *gateway {
	g := &gateway{released: make(chan struct{}), got: map[string][]string{}, codes: map[string]string{}}
	g.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		to, event, text := r.FormValue("to"), r.FormValue("event"), r.FormValue("text")
		g.mu.Lock()
		g.got[event] = append(g.got[event], r.URL.Path)
		g.codes[to] = regexp.MustCompile(`[0-9]{4,}`).FindString(text)
		g.mu.Unlock()
		if r.URL.Path == "/first" && to != sentinel {
			select {
			case <-g.released:
			case <-r.Context().Done():
			}
		}
	}))
	t.Cleanup(g.Close)
	return g
}

// count returns the number of messages that arrived under a path.
func (g *gateway) count(path string) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, paths := range g.got {
		for _, p := range paths {
			if p == path {
				n++
			}
		}
	}
	return n
}

// code returns the latest code of a number.
func (g *gateway) code(number string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.codes[number]
}

func (g *gateway) node(t *testing.T, database string, key vault.Key, path string, ahead, maxSkew time.Duration) *running {
	t.Helper()
	opts := options("", key)
	// The next event is due after 36 s: a clock ahead by 30 s would end leases earlier.
	opts.Config.Database, opts.Speed = database, 25
	opts.Config.Carriers = []config.Carrier{{Name: "gateway", Type: config.CarrierHTTPSMS, HTTP: config.HTTP{
		URL: g.URL + path, Method: http.MethodPost, Headers: []string{"Content-Type: application/x-www-form-urlencoded"},
		Body:    "to={{.To}}&event={{.EventID}}&text={{.Text}}",
		Success: []string{"http 200"}, Timeout: 30 * time.Second, Concurrency: 100,
	}}}
	opts.Config.Routes = []config.Route{{Carriers: []string{"gateway"}}}
	opts.Clock = clock.New(clock.Config{
		MaxSkew: maxSkew, Wall: func() time.Time { return time.Now().Add(ahead) },
	})
	return run(t, opts)
}

func (r *running) ask(path string, params url.Values) map[string]any {
	r.t.Helper()
	params.Set("api_key", server.DemoAccount)
	params.Set("api_secret", server.DemoSecret)
	resp, err := r.client.PostForm(r.URL()+path, params)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		r.t.Fatal(err)
	}
	return answer
}

func (r *running) readiness() string {
	r.t.Helper()
	resp, err := r.client.Get(r.OpsURL() + "/readyz")
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return fmt.Sprint(resp.StatusCode, " ", strings.TrimSpace(string(body)))
}

// TestNodesWithOtherClocks checks that nodes with different wall clocks agree on the
// time. The second node neither sends messages that the first one has in flight, nor ends
// its verifications. A node beyond clock.max_skew is not ready and takes no due steps,
// but serves requests.
func TestNodesWithOtherClocks(t *testing.T) {
	t.Parallel()
	tests := []struct {
		first, second time.Duration // lead of the wall clock over the true time
		ready         string        // /readyz of the second node, with a max_skew of 2 h
	}{
		{-30 * time.Second, 0, "200 ready"},
		{time.Hour, 0, "200 ready"},
		{-30 * time.Second, 30 * time.Second, "200 ready"},
		{-30 * time.Second, time.Hour, "200 ready"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%v,%v", tt.first, tt.second), func(t *testing.T) {
			t.Parallel()
			database, key, g := pgtest.Prepared(t, "migrated", store.Migrate), vault.NewKey(), newGateway(t)
			first := g.node(t, database, key, "/first", tt.first, 5*time.Second)
			second := g.node(t, database, key, "/second", tt.second, 2*time.Hour)
			defer second.halt()
			defer first.halt()
			if got := first.readiness(); !strings.HasPrefix(got, "503 not ready: the local wall clock is "+tt.first.Abs().String()) {
				t.Errorf("first node: %s", got)
			}
			if got := second.readiness(); got != tt.ready {
				t.Errorf("second node: %s", got)
			}

			const n = 20
			ids := map[string]string{} // request ids by number
			for i := range n {
				number := fmt.Sprintf("4477009001%02d", i)
				answer := first.ask("/verify/json", url.Values{
					"number": {number}, "brand": {"Acme"}, "next_event_wait": {"900"}, "pin_expiry": {"3600"},
				})
				if answer["status"] != "0" {
					t.Fatalf("start: %v", answer)
				}
				ids[number] = answer["request_id"].(string)
			}
			await.Until(t, "received: the first messages", func() bool { return g.count("/first") == n })
			// The second node sends the second message of this verification, and has read
			// all due rows by then.
			if answer := first.ask("/verify/json", url.Values{
				"number": {sentinel}, "brand": {"Acme"}, "next_event_wait": {"60"}, "workflow_id": {"2"},
			}); answer["status"] != "0" {
				t.Fatalf("start: %v", answer)
			}
			await.Until(t, "received: a message of the second node", func() bool { return g.count("/second") > 0 })
			close(g.released)
			for number, id := range ids {
				answer := second.ask("/verify/check/json", url.Values{"request_id": {id}, "code": {g.code(number)}})
				if answer["status"] != "0" {
					t.Errorf("check at the second node: %v", answer)
				}
			}
			if got := g.count("/first"); got != n+1 {
				t.Errorf("the first node sent %d messages, want the %d of the starts", got, n+1)
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			for event, paths := range g.got {
				if len(paths) != 1 {
					t.Errorf("event %s was sent %d times: %v", event, len(paths), paths)
				}
			}
		})
	}
}
