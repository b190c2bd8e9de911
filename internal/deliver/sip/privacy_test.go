package sip_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"

	"countersign/internal/await"
	"countersign/internal/deliver"
	"countersign/internal/deliver/sip"
)

// logged records the log of a carrier.
func logged(j *journal) func(*sip.Config) {
	return func(c *sip.Config) { c.Log = slog.New(slog.NewTextHandler(j, nil)) }
}

// hides fails the test if a text contains a number or a part of one.
func hides(t *testing.T, where, text string) {
	t.Helper()
	if strings.Contains(text, "7700900") {
		t.Errorf("%s contains a number: %s", where, text)
	}
}

// TestReasonMasked: a number in a reason phrase does not reach notes, logs or the status.
func TestReasonMasked(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]string{
		"404 Number 447700900123 not in service": "404 Number … not in service",
		"503 No route to +447700900001":          "503 No route to +…",
	} {
		t.Run(status[:3], func(t *testing.T) {
			t.Parallel()
			p, log := listen(t, "udp"), &journal{}
			tr := open(t, p.addr, logged(log))
			_, err := send(t, tr, func() { p.answer(p.want("INVITE"), status, "x") })
			note := fmt.Sprint(err)
			if err == nil {
				note = tr.end().Error
			}
			if !strings.Contains(note, want) {
				t.Errorf("note %q does not contain %q", note, want)
			}
			hides(t, "the status", fmt.Sprint(tr.Status().Errors))
			await.Until(t, "one line in the log", func() bool { return len(log.lines("call ended")) == 1 })
			hides(t, "the log", strings.Join(log.lines("call ended"), ""))
		})
	}
}

// TestRegistrationMasked: likewise for a registrar.
func TestRegistrationMasked(t *testing.T) {
	t.Parallel()
	p, log := listen(t, "udp"), &journal{}
	tr := open(t, p.addr, account, func(c *sip.Config) { c.Register, c.Log = true, slog.New(slog.NewJSONHandler(log, nil)) })
	p.answer(p.want("REGISTER"), "403 User 447700900123 is locked", "x")
	await.Until(t, "both failures", func() bool { return len(tr.Status().Errors) == 1 && tr.Status().Binds[0].Error != "" })
	hides(t, "the status", fmt.Sprint(tr.Status().Errors, tr.Status().Binds))
	log.mu.Lock()
	defer log.mu.Unlock()
	text := log.text.String()
	hides(t, "the log", text)
	if !strings.Contains(text, `"403 User … is locked","retry_in":"30s"`) {
		t.Errorf("log: %s", text)
	}
}

// TestNotWritten: the error of an INVITE that cannot be written is the socket's, without
// the number. An IPv4 socket cannot write to an IPv6 address.
func TestNotWritten(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for transport, host := range map[string]string{"udp": "[::1]:9", "tcp": l.Addr().String()} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			log := &journal{}
			tr := open(t, host, logged(log), func(c *sip.Config) { c.Transport, c.Advertise = transport, netip.MustParseAddr("127.0.0.1") })
			_, err := tr.Send(t.Context(), call())
			if !errors.Is(err, deliver.ErrNotSent) || !strings.Contains(err.Error(), "no connection to the trunk: ") || !strings.Contains(err.Error(), host) {
				t.Errorf("Send: %v", err)
			}
			hides(t, "the error", fmt.Sprint(err))
			hides(t, "the status", fmt.Sprint(tr.Status().Errors))
			hides(t, "the log", fmt.Sprint(log.lines("call ended")))
		})
	}
}

// TestTooLongForUDP: an INVITE that exceeds UDP is refused, and the error has the remedy.
func TestTooLongForUDP(t *testing.T) {
	t.Parallel()
	p, log := listen(t, "udp"), &journal{}
	tr := open(t, p.addr, account, logged(log))
	_, err := send(t, tr, func() {
		p.answer(p.want("INVITE"), "401 Unauthorized", "x", `WWW-Authenticate: Digest realm="r", nonce="`+strings.Repeat("n", 1300)+`"`)
	})
	if !errors.Is(err, deliver.ErrRefused) || !strings.Contains(err.Error(), "INVITE of ") || !strings.Contains(err.Error(), "octets exceeds the UDP limit: use transport tcp") {
		t.Errorf("Send: %v", err)
	}
	hides(t, "the error", fmt.Sprint(err))
	await.Until(t, "one line in the log", func() bool { return len(log.lines("call ended")) == 1 })
	if line := log.lines("call ended")[0]; !strings.Contains(line, "use transport tcp") {
		t.Errorf("log: %s", line)
	}
}
