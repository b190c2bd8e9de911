package httpsms_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/deliver/httpsms"
	"countersign/internal/verify"
)

// TestWrittenOnce: net/http repeats idempotent requests if a reused connection breaks. A
// message must not be sent twice.
func TestWrittenOnce(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		alter func(*httpsms.Config)
	}{
		{"POST", func(*httpsms.Config) {}},
		{"IdempotencyKey", func(c *httpsms.Config) { c.Headers = append(c.Headers, "Idempotency-Key: {{.EventID}}") }},
		{"XIdempotencyKey", func(c *httpsms.Config) { c.Headers = append(c.Headers, "x-idempotency-key: {{.EventID}}") }},
		{"IdempotencyKeyWithoutBody", func(c *httpsms.Config) {
			c.Headers, c.Body = []string{"Idempotency-Key: {{.EventID}}"}, ""
		}},
		{"GET", func(c *httpsms.Config) { c.Method, c.Body = http.MethodGet, "" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			requests := make(chan string, 8)
			c := jsonConfig("http://" + answerOnce(t, requests))
			tt.alter(&c)
			g := open(t, c)
			if _, err := g.Send(t.Context(), sms()); err != nil {
				t.Fatal(err)
			}
			_, err := g.Send(t.Context(), sms())
			if kind := kindOf(err); kind != unclear {
				t.Errorf("%s: %v", kind, err)
			}
			if n := len(requests); n != 2 {
				t.Errorf("%d requests for two messages", n)
			}
		})
	}
}

// answerOnce answers the first request of each connection and closes it on the second.
func answerOnce(t *testing.T, requests chan<- string) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for i := range 2 {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					in.Discard(int(max(0, r.ContentLength)))
					requests <- r.Method
					if i == 0 {
						conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"))
					}
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// TestHTTP2 tests the HTTP/2 transport, on whose order of trace and write "not sent" also
// depends.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1); r.ProtoMajor != 2 {
			t.Errorf("HTTP/%d", r.ProtoMajor)
		}
		if r.Header.Get("X-Hang-Up") != "" {
			panic(http.ErrAbortHandler)
		}
		w.Write([]byte(`{"id":"1"}`))
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	transport := func() *http.Transport {
		return &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots}}
	}

	c := jsonConfig(server.URL)
	c.Transport = transport()
	if _, err := open(t, c).Send(t.Context(), sms()); err != nil {
		t.Error(err)
	}
	c.Transport = transport()
	c.Headers = append(c.Headers, "X-Hang-Up: 1", "Idempotency-Key: {{.EventID}}")
	if _, err := open(t, c).Send(t.Context(), sms()); kindOf(err) != unclear {
		t.Errorf("%s: %v", kindOf(err), err)
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests for two messages", n)
	}
}

// TestLateAnswer: after Send stops waiting, the request continues and its outcome is
// reported.
func TestLateAnswer(t *testing.T) {
	t.Parallel()
	part := func(seq, count int, ref string, state verify.EventState) verify.Part {
		return verify.Part{Attempt: 2, Seq: seq, Count: count, Carrier: "gate", Ref: ref, State: state}
	}
	refused := func(code string) verify.Part {
		p := part(0, 1, "", verify.EventRefused)
		p.Error = code
		return p
	}
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   []verify.Part
	}{
		{"Accepted", reply(200, `[{"id":"a"}]`), []verify.Part{part(0, 1, "a", verify.EventAccepted)}},
		{"InParts", reply(200, `[{"id":"a"},{"id":"b"}]`), []verify.Part{
			part(0, 2, "a", verify.EventAccepted), part(1, 2, "b", verify.EventAccepted),
		}},
		{"WithoutID", reply(200, ``), []verify.Part{part(0, 1, "", verify.EventAccepted)}},
		{"Refused", reply(400, ``), []verify.Part{refused("HTTP 400 Bad Request")}},
		{"RefusedWithCode", reply(400, `{"code":21211}`), []verify.Part{refused("HTTP 400 Bad Request (code is 21211)")}},
		{"NotSent", reply(429, ``), []verify.Part{refused("HTTP 429 Too Many Requests")}},
		{"Unclear", reply(500, ``), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			arrived, goOn := make(chan struct{}), make(chan struct{})
			c := jsonConfig(serve(t, func(w http.ResponseWriter, r *http.Request) {
				close(arrived)
				<-goOn
				tt.answer(w, r)
			}))
			told := newReports()
			c.Reports, c.Ref = told.deliver(), "*.id"
			g := open(t, c)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				<-arrived
				cancel()
			}()
			m := sms()
			m.Attempt = 2
			if _, err := g.Send(ctx, m); kindOf(err) != unclear {
				t.Fatalf("%s: %v", kindOf(err), err)
			}
			close(goOn)
			if err := g.Close(t.Context()); err != nil { // waits for the reports
				t.Fatal(err)
			}
			var got []verify.Part
			for len(told.answers) > 0 {
				a := <-told.answers
				if a.Event != m.Event() {
					t.Errorf("answer for %v", a.Event)
				}
				got = append(got, a.Part)
			}
			if len(got) != len(tt.want) {
				t.Fatalf("parts %+v, want %+v", got, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("part %+v, want %+v", got[i], tt.want[i])
				}
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	c := jsonConfig(serve(t, silent(func() {})))
	c.Timeout = 50 * time.Millisecond
	_, err := open(t, c).Send(t.Context(), sms())
	if kind := kindOf(err); kind != unclear {
		t.Errorf("%s: %v", kind, err)
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	c := jsonConfig(serve(t, silent(func() { close(arrived) })))
	g := open(t, c)
	sent := make(chan error, 1)
	go func() {
		_, err := g.Send(context.Background(), sms())
		sent <- err
	}()
	<-arrived
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Close(impatient); err == nil {
		t.Error("Close returned no error")
	}
	if err := <-sent; kindOf(err) != unclear {
		t.Errorf("canceled: %s: %v", kindOf(err), err)
	}
	if _, err := g.Send(t.Context(), sms()); kindOf(err) != notSent {
		t.Errorf("after Close: %s: %v", kindOf(err), err)
	}
	if err := g.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// TestCloseBreaksOffWhatNobodyWaitsFor: Close cancels a request after Send has returned.
func TestCloseBreaksOffWhatNobodyWaitsFor(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	c := jsonConfig(serve(t, silent(func() { close(arrived) })))
	told := newReports()
	c.Reports = told.deliver()
	g := open(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	g.Send(ctx, sms())
	if err := g.Close(ctx); err == nil {
		t.Error("Close returned no error")
	}
	if n := len(told.answers); n != 0 {
		t.Errorf("%d reported answers, want 0", n)
	}
}

// TestCloseBreaksOffReports: Close cancels a blocked report of a late answer.
func TestCloseBreaksOffReports(t *testing.T) {
	t.Parallel()
	arrived, goOn, reporting := make(chan struct{}), make(chan struct{}), make(chan struct{})
	c := jsonConfig(serve(t, func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-goOn
	}))
	c.Timeout = time.Minute
	c.Reports.Answer = func(ctx context.Context, _ deliver.Answer) error {
		close(reporting)
		<-ctx.Done()
		return ctx.Err()
	}
	g := open(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	g.Send(ctx, sms())
	close(goOn)
	<-reporting
	if err := g.Close(ctx); err == nil {
		t.Error("Close returned no error")
	}
}
