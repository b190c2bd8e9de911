package sip_test

import (
	"errors"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver"
	"countersign/internal/deliver/sip"
)

// TestLate: responses to an abandoned call are handled: no phone keeps ringing, and no
// answered phone is left in silence.
func TestLate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		says string
		want []string // expected requests
	}{
		"rings":   {"180 Ringing", []string{"CANCEL"}},
		"answers": {"200 OK", []string{"ACK", "BYE"}},
		"refuses": {"486 Busy Here", []string{"ACK"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			tr := open(t, conn.LocalAddr().String(), func(c *sip.Config) { c.FirstResponse = 50 * time.Millisecond })
			if _, err := tr.Send(t.Context(), call()); !errors.Is(err, deliver.ErrNotSent) {
				t.Fatalf("got %v, want %v", err, deliver.ErrNotSent)
			}
			await.Until(t, "no call in flight", func() bool { return tr.Status().InFlight == 0 })
			invite, from := next(t, conn, "INVITE")
			respond(t, conn, from, invite, tt.says)
			for _, method := range tt.want {
				req, from := next(t, conn, method)
				if method == "CANCEL" || method == "ACK" && tt.says != "200 OK" {
					if got, want := header(req, "Via"), header(invite, "Via"); got != want {
						t.Errorf("%s: Via %q, want the Via of the INVITE %q", method, got, want)
					}
				}
				if method != "ACK" {
					respond(t, conn, from, req, "200 OK")
				}
			}
		})
	}
}

// next returns the next request of a method and skips retransmitted INVITEs.
func next(t *testing.T, conn net.PacketConn, method string) (req string, from net.Addr) {
	t.Helper()
	buf := make([]byte, 4096)
	var others []string
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			t.Fatalf("no %s: %v; received %q", method, err, others)
		}
		req := string(buf[:n])
		if strings.HasPrefix(req, method+" ") {
			return req, from
		}
		others = append(others, req[:strings.IndexByte(req, ' ')])
	}
}

func header(message, name string) string {
	m := regexp.MustCompile(`(?m)^` + name + `: (.*)\r$`).FindStringSubmatch(message)
	if m == nil {
		return ""
	}
	return m[1]
}

func respond(t *testing.T, conn net.PacketConn, to net.Addr, req, status string) {
	t.Helper()
	res := "SIP/2.0 " + status + "\r\n"
	for _, name := range []string{"Via", "From", "To", "Call-ID", "CSeq"} {
		value := header(req, name)
		if name == "To" && !strings.Contains(value, "tag=") {
			value += ";tag=late"
		}
		res += name + ": " + value + "\r\n"
	}
	res += "Contact: <sip:" + conn.LocalAddr().String() + ">\r\nContent-Length: 0\r\n\r\n"
	if _, err := conn.WriteTo([]byte(res), to); err != nil {
		t.Fatal(err)
	}
}
