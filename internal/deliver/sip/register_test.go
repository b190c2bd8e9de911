package sip_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/await"
	"countersign/internal/deliver/sip"
	"countersign/internal/deliver/sip/softphone"
)

// journal is a log for tests.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

// lines returns the lines with a message.
func (j *journal) lines(message string) (lines []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range strings.Lines(j.text.String()) {
		if strings.Contains(line, `msg="`+message+`"`) || strings.Contains(line, "msg="+message+" ") {
			lines = append(lines, line)
		}
	}
	return lines
}

// value returns the sum of a metric; -1 if it does not exist.
func value(t *testing.T, reg *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := -1.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if all := fmt.Sprint(m.GetLabel()); len(labels) == 0 || strings.Contains(all, labels[0]) {
				sum = max(sum, 0) + m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// TestRegistrationFails: failure and recovery are logged once each; the metrics count
// every failure.
func TestRegistrationFails(t *testing.T) {
	t.Parallel()
	p, log, reg := listen(t, "udp"), &journal{}, prometheus.NewRegistry()
	tr := open(t, p.addr, account, func(c *sip.Config) {
		c.Register, c.Metrics, c.Log = true, reg, slog.New(slog.NewTextHandler(log, nil))
	})
	first := p.want("REGISTER")
	p.answer(first, "503 Service Unavailable", "x", "Retry-After: 1")
	second := p.want("REGISTER", header(first, "Call-ID"))
	if s := tr.Status().Binds; len(s) != 1 || s[0].Up || !strings.Contains(s[0].Error, "503") {
		t.Errorf("status %+v", s)
	}
	if got := value(t, reg, "countersign_sip_registration_up"); got != 0 {
		t.Errorf("registered: %v", got)
	}
	p.answer(second, "503 Service Unavailable", "x")
	third := p.want("REGISTER")
	p.answer(third, "200 OK", "x")
	await.Until(t, "registered", func() bool { return value(t, reg, "countersign_sip_registration_up") == 1 })
	failed, again := log.lines("registration failed"), log.lines("registered again")
	if len(failed) != 1 || len(again) != 1 || !strings.Contains(failed[0], "503 Service Unavailable") || !strings.Contains(again[0], "failures=2") {
		t.Errorf("log:\n%s%s", failed, again)
	}
	if got := value(t, reg, "countersign_sip_registration_failures_total", "503"); got != 2 {
		t.Errorf("failures: %v", got)
	}
	if header(first, "CSeq") == header(second, "CSeq") || header(second, "CSeq") == header(third, "CSeq") {
		t.Error("a CSeq was used twice")
	}
	closed := make(chan error, 1)
	go func() { closed <- tr.Close() }()
	p.answer(p.want("REGISTER", "Expires: 0\r\n"), "200 OK", "x")
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// TestRegistrationInterval: a Min-Expires is honoured, also in later requests.
func TestRegistrationInterval(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{
		Registrar: true, User: "acme", Password: "secret", ShortestRegistration: 2 * time.Hour, Challenges: true, OddHeaders: true,
	})
	log := &journal{}
	tr := open(t, p.Addr(), account, func(c *sip.Config) { c.Register, c.Log = true, slog.New(slog.NewTextHandler(log, nil)) })
	if contacts, err := p.Registered(t.Context(), 1); err != nil {
		t.Errorf("%v: %v", err, contacts)
	}
	await.Until(t, "registered", func() bool { return tr.Status().Binds[0].Up })
	if len(log.lines("registration failed")) != 0 || len(log.lines("registered")) != 1 {
		t.Errorf("log:\n%s", log.text.String())
	}
}

// TestRegistrarUnreachable: a registrar without a socket counts as a failure.
func TestRegistrarUnreachable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	log, reg := &journal{}, prometheus.NewRegistry()
	tr := open(t, l.Addr().String(), account, func(c *sip.Config) {
		c.Transport, c.Register, c.Metrics, c.Log = "tcp", true, reg, slog.New(slog.NewTextHandler(log, nil))
	})
	await.Until(t, "a second failure", func() bool {
		return value(t, reg, "countersign_sip_registration_failures_total", "no response") >= 2
	})
	if failed := log.lines("registration failed"); len(failed) != 1 || !strings.Contains(failed[0], "connection refused") {
		t.Errorf("log: %q", failed)
	}
	if s := tr.Status().Binds[0]; s.Up || s.Error == "" {
		t.Errorf("status %+v", s)
	}
}

// TestRegistrationRefused: a 423 without a longer Min-Expires is a failure.
func TestRegistrationRefused(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"Min-Expires: 1", "Min-Expires: soon", "X: y"} {
		t.Run(header, func(t *testing.T) {
			t.Parallel()
			p := listen(t, "udp")
			tr := open(t, p.addr, account, func(c *sip.Config) { c.Register = true })
			p.answer(p.want("REGISTER"), "423 Interval Too Brief", "x", header)
			await.Until(t, "an error", func() bool { return strings.Contains(tr.Status().Binds[0].Error, "423") })
			p.none("REGISTER", "Expires: 1\r\n")
		})
	}
}

// TestRetryPause: the pause after consecutive failures.
func TestRetryPause(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err      error
		failures int
		want     time.Duration
	}{
		{errors.New("no response"), 1, time.Second},
		{errors.New("no response"), 3, 4 * time.Second},
		{errors.New("no response"), 1000, time.Minute},
		{&sip.StatusError{Status: 503}, 2, 2 * time.Second},
		{&sip.StatusError{Status: 503, RetryAfter: 120 * time.Second}, 1, 2 * time.Minute},
		{&sip.StatusError{Status: 503, RetryAfter: time.Second}, 4, 8 * time.Second},
		{&sip.StatusError{Status: 503, RetryAfter: 90 * time.Hour}, 1, time.Hour},
		{&sip.StatusError{Status: 403}, 1, 30 * time.Second},
		{fmt.Errorf("%w: refused", &sip.StatusError{Status: 401}), 2, time.Minute},
		{&sip.StatusError{Status: 403}, 50, 10 * time.Minute},
	} {
		if got := sip.RetryPause(tt.err, tt.failures); got != tt.want {
			t.Errorf("%v, %d in a row: %s, want %s", tt.err, tt.failures, got, tt.want)
		}
	}
}

// TestGranted: the duration granted to our contact applies.
func TestGranted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		headers []string
		want    time.Duration
	}{
		{nil, time.Hour},
		{[]string{"Expires: 60"}, time.Minute},
		{[]string{"Expires: 60", "Contact: <sip:countersign@192.0.2.1:5060> ; EXPIRES = 90"}, 90 * time.Second},
		{[]string{"m: <sip:countersign@192.0.2.9:5060>;expires=3, <sip:countersign@192.0.2.1:5060>;q=1;expires=\"120\""}, 2 * time.Minute},
		{[]string{"Contact: <sip:countersign@198.51.100.7:1024>;expires=50", "Expires: 600"}, 50 * time.Second},
		{[]string{"Contact: <sip:countersign@192.0.2.1:5060>;expires=7200"}, time.Hour},
		{[]string{"Expires: soon", "Contact: *"}, time.Hour},
	} {
		if got := sip.Granted(t, "sip:countersign@192.0.2.1:5060", time.Hour, tt.headers...); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.headers, got, tt.want)
		}
	}
}
