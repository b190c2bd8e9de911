package softphone_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"countersign/internal/deliver/sip/softphone"
)

// Well-behaved callers are tested with the carrier, one directory up. These tests cover
// other callers.

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// caller is a scripted SIP caller.
type caller struct {
	t    *testing.T
	conn net.Conn
}

func start(t *testing.T, cfg softphone.Config) (*softphone.Phone, *caller) {
	t.Helper()
	p, err := softphone.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "udp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return p, &caller{t, conn}
}

// send sends a request of a call in a new transaction; tag is the phone's To tag.
func (c *caller) send(method, id, tag string, headers ...string) {
	c.t.Helper()
	if tag != "" {
		tag = ";tag=" + tag
	}
	cseq := 1
	if method == "BYE" {
		cseq = 2
	}
	own := c.conn.LocalAddr()
	msg := fmt.Sprintf("%s sip:phone@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%s%d\r\n"+
		"From: <sip:caller@%s>;tag=a\r\nTo: <sip:phone@%s>%s\r\nCall-ID: %s\r\nCSeq: %d %s\r\nContact: <sip:caller@%s>\r\nMax-Forwards: 70\r\n",
		method, c.conn.RemoteAddr(), own, method, time.Now().UnixNano(), own, own, tag, id, cseq, method, own)
	body := ""
	for _, h := range headers {
		if rest, ok := strings.CutPrefix(h, "\r\n"); ok {
			body, h = rest, "Content-Type: application/sdp"
		}
		msg += h + "\r\n"
	}
	if _, err := fmt.Fprintf(c.conn, "%sContent-Length: %d\r\n\r\n%s", msg, len(body), body); err != nil {
		c.t.Fatal(err)
	}
}

// sound returns an offer as a header for send.
func (c *caller) sound(codec string) string {
	return "\r\nv=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP " + codec + "\r\n"
}

// response waits for a final response to a method, or a 180.
func (c *caller) response(method string) string {
	c.t.Helper()
	b := make([]byte, 4096)
	for {
		if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			c.t.Fatal(err)
		}
		n, err := c.conn.Read(b)
		if err != nil {
			c.t.Fatalf("no response to %s: %v", method, err)
		}
		text := string(b[:n])
		if strings.HasPrefix(text, "SIP/2.0 ") && !strings.HasPrefix(text, "SIP/2.0 100") && strings.Contains(text, method+"\r\n") {
			return text
		}
	}
}

func (c *caller) want(method, status string) string {
	c.t.Helper()
	got := c.response(method)
	if !strings.HasPrefix(got, "SIP/2.0 "+status+" ") {
		c.t.Errorf("%s: want %s, got\n%s", method, status, got)
	}
	return got
}

func tagOf(response string) string {
	_, to, _ := strings.Cut(response, "\r\nTo:")
	to, _, _ = strings.Cut(to, "\r\n")
	_, tag, _ := strings.Cut(to, "tag=")
	return tag
}

func next(t *testing.T, p *softphone.Phone) softphone.Call {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := p.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestOfferOfNothing: an offer without a common codec is refused.
func TestOfferOfNothing(t *testing.T) {
	t.Parallel()
	p, c := start(t, softphone.Config{Codecs: []uint8{8}})
	c.send("INVITE", "none", "")
	c.want("INVITE", "488")
	c.send("INVITE", "other", "", c.sound("0"))
	c.want("INVITE", "488")
	for range 2 {
		if got := next(t, p); got.Ended != softphone.Refused || got.Status != 488 || got.Err == nil {
			t.Errorf("call %s ended with %s, status %d (%v)", got.ID, got.Ended, got.Status, got.Err)
		}
	}
}

// TestNoAck: an answer without ACK is recorded as such, and a second INVITE with the same
// Call-ID is not a call.
func TestNoAck(t *testing.T) {
	t.Parallel()
	p, c := start(t, softphone.Config{})
	c.send("INVITE", "call", "", c.sound("0"))
	tag := tagOf(c.want("INVITE", "200"))
	again := c.want("INVITE", "200") // retransmitted, since no ACK was sent
	if tagOf(again) != tag {
		t.Errorf("the retransmitted answer differs:\n%s", again)
	}
	c.send("INVITE", "call", "", c.sound("0"))
	c.want("INVITE", "503")
	c.send("BYE", "other", tag)
	c.want("BYE", "481")
	c.send("BYE", "call", tag)
	c.want("BYE", "200")
	if got := next(t, p); got.Ended != softphone.Bye || got.Acked || got.Answered.IsZero() || got.From != "caller" || got.Asserted != "" {
		t.Errorf("call: %+v", got)
	}
	if n := len(p.Calls()); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
}

// TestClose: calls end when the phone is closed, and OnCall is called.
func TestClose(t *testing.T) {
	t.Parallel()
	told := make(chan softphone.Call, 10)
	p, c := start(t, softphone.Config{RingForever: true, OnCall: func(c softphone.Call) { told <- c }})
	c.send("INVITE", "call", "", c.sound("0"))
	c.want("INVITE", "180")
	if calls := p.Calls(); len(calls) != 1 || calls[0].Ended != "" {
		t.Errorf("calls during ringing: %+v", calls)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if got := <-told; got.Ended != softphone.Closed || got.Status != 0 {
		t.Errorf("the call ended with %s, status %d", got.Ended, got.Status)
	}
	if n := len(p.Calls()); n != 0 {
		t.Errorf("%d calls are still stored", n)
	}
}

// TestRegistrar: the granted duration of a registration, and refused registrations.
func TestRegistrar(t *testing.T) {
	t.Parallel()
	p, c := start(t, softphone.Config{Registrar: true, LongestRegistration: time.Minute})
	for _, tt := range []struct{ expires, status, granted string }{
		{"30", "200", ";expires=30\r\n"},
		{"600", "200", ";expires=60\r\n"},
		{"4294967296", "400", ""},
		{"soon", "400", ""},
		{"0", "200", ""},
	} {
		c.send("REGISTER", "reg"+tt.expires, "", "Expires: "+tt.expires)
		got := c.want("REGISTER", tt.status)
		if !strings.Contains(got, tt.granted) || tt.granted == "" && strings.Contains(got, "expires=") {
			t.Errorf("Expires: %s: want %q in\n%s", tt.expires, tt.granted, got)
		}
		if left := len(p.Contacts()); (left == 0) != (tt.expires == "0") {
			t.Errorf("Expires: %s: %d contacts are registered", tt.expires, left)
		}
	}
	_, other := start(t, softphone.Config{})
	other.send("REGISTER", "reg", "")
	other.want("REGISTER", "405")
}

// TestStartRefuses: Start rejects an unusable configuration.
func TestStartRefuses(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]softphone.Config{
		"no address":     {Listen: "5060"},
		"every address":  {Listen: "0.0.0.0:0"},
		"no transport":   {Transport: "sctp"},
		"no certificate": {Transport: "tls"},
		"no refusal":     {Status: 200},
		"not ours":       {Listen: "192.0.2.1:5060"},
	} {
		if p, err := softphone.Start(cfg); err == nil {
			t.Errorf("%s: no error", name)
			_ = p.Close()
		}
	}
}
