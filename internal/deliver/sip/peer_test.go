package sip_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// peer is a scripted SIP peer over UDP, TCP or TLS.
type peer struct {
	t    *testing.T
	addr string
	in   chan string   // requests
	out  chan net.Conn // connection for responses
	conn io.Writer     // the connection received from out
	kept []string      // requests not consumed by a test yet
}

// listen starts a peer.
func listen(t *testing.T, transport string, cert ...tls.Certificate) *peer {
	t.Helper()
	p := &peer{t: t, in: make(chan string, 2000), out: make(chan net.Conn, 1)}
	if transport == "udp" {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		p.addr = conn.LocalAddr().String()
		go p.packets(conn)
		return p
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if transport == "tls" {
		l = tls.NewListener(l, &tls.Config{Certificates: cert, MinVersion: tls.VersionTLS12})
	}
	t.Cleanup(func() { _ = l.Close() })
	p.addr = l.Addr().String()
	go p.stream(l)
	return p
}

// datagrams writes to the source of the last packet.
type datagrams struct {
	net.PacketConn
	to net.Addr
}

func (d datagrams) Write(b []byte) (int, error) { return d.WriteTo(b, d.to) }

func (p *peer) packets(conn net.PacketConn) {
	buf := make([]byte, 8192)
	for first := true; ; first = false {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if first {
			p.out <- packetConn{datagrams{conn, from}}
		}
		p.in <- string(buf[:n])
	}
}

// packetConn returns a connection of datagrams for peer.out.
type packetConn struct{ datagrams }

func (packetConn) Read([]byte) (int, error) { return 0, io.EOF }
func (c packetConn) RemoteAddr() net.Addr   { return c.to }

func (p *peer) stream(l net.Listener) {
	conn, err := l.Accept()
	if err != nil {
		return
	}
	p.out <- conn
	r := bufio.NewReader(conn)
	for {
		message, length := "", 0
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				_ = conn.Close()
				return
			}
			message += line
			if n, ok := strings.CutPrefix(line, "Content-Length: "); ok {
				length, _ = strconv.Atoi(strings.TrimSpace(n))
			}
			if line == "\r\n" {
				break
			}
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(r, body); err != nil {
			_ = conn.Close()
			return
		}
		p.in <- message + string(body)
	}
}

// want returns the next request of a method that contains all parts. It keeps others.
func (p *peer) want(method string, parts ...string) string {
	p.t.Helper()
	fits := func(m string) bool {
		for _, part := range parts {
			if !strings.Contains(m, part) {
				return false
			}
		}
		return strings.HasPrefix(m, method+" ")
	}
	for i, m := range p.kept {
		if fits(m) {
			p.kept = append(p.kept[:i:i], p.kept[i+1:]...)
			return m
		}
	}
	for end := time.After(patience); ; {
		select {
		case m := <-p.in:
			if fits(m) {
				return m
			}
			p.kept = append(p.kept, m)
		case <-end:
			p.t.Fatalf("no %s with %q received; other requests:\n%s", method, parts, strings.Join(p.kept, "\n"))
		}
	}
}

// none fails the test if a request of a method with all the parts was received.
func (p *peer) none(method string, parts ...string) {
	p.t.Helper()
	for {
		select {
		case m := <-p.in:
			p.kept = append(p.kept, m)
			continue
		default:
		}
		break
	}
	for _, m := range p.kept {
		all := strings.HasPrefix(m, method+" ")
		for _, part := range parts {
			all = all && strings.Contains(m, part)
		}
		if all {
			p.t.Errorf("unexpected:\n%s", m)
		}
	}
}

// say sends a message.
func (p *peer) say(text string) {
	p.t.Helper()
	if p.conn == nil {
		p.conn = <-p.out
	}
	if _, err := io.WriteString(p.conn, text); err != nil {
		p.t.Fatal(err)
	}
}

// response returns the response to a request. The request's own headers replace given
// ones of the same name. A header "body" is the body.
func (p *peer) response(req, status, tag string, headers ...string) string {
	res, body := "SIP/2.0 "+status+"\r\n", ""
	for _, name := range []string{"Via", "From", "To", "Call-ID", "CSeq"} {
		value := header(req, name)
		if name == "To" && tag != "" && !strings.Contains(value, ";tag=") {
			value += ";tag=" + tag
		}
		res += name + ": " + value + "\r\n"
	}
	contact := "Contact: <sip:" + p.addr + ">\r\n"
	for _, h := range headers {
		switch name, value, _ := strings.Cut(h, ": "); name {
		case "body":
			body = value
		case "Contact":
			contact = h + "\r\n"
		default:
			res += h + "\r\n"
		}
	}
	return fmt.Sprintf("%s%sContent-Length: %d\r\n\r\n%s", res, contact, len(body), body)
}

// answer sends the response to a request.
func (p *peer) answer(req, status, tag string, headers ...string) {
	p.t.Helper()
	p.say(p.response(req, status, tag, headers...))
}

// ear is a port of a peer that echoes audio.
type ear struct {
	conn    net.PacketConn
	port    int
	packets atomic.Int64 // received packets
}

// ear opens a port for audio.
func (p *peer) ear() *ear {
	p.t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	e := &ear{conn: conn, port: conn.LocalAddr().(*net.UDPAddr).Port}
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			e.packets.Add(1)
			_, _ = conn.WriteTo(buf[:n], from) // lost packets are normal
		}
	}()
	return e
}

// say sends an RTP packet to the port of an INVITE.
func (e *ear) say(t *testing.T, invite string) {
	t.Helper()
	_, rest, _ := strings.Cut(invite, "\r\nm=audio ")
	port, _, _ := strings.Cut(rest, " ")
	to, err := net.ResolveUDPAddr("udp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	packet := append([]byte{0x80, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7}, bytes.Repeat([]byte{0xFF}, 160)...)
	if _, err := e.conn.WriteTo(packet, to); err != nil {
		t.Fatal(err)
	}
}

// sdp returns a header for response and request: an SDP with the port and further lines.
func (e *ear) sdp(lines ...string) string {
	text := fmt.Sprintf("body: v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio %d RTP/AVP 0\r\n", e.port)
	for _, line := range lines {
		text += line + "\r\n"
	}
	return text
}

// sound returns the SDP of a new ear.
func (p *peer) sound() string {
	p.t.Helper()
	return p.ear().sdp()
}

// request returns a request within the dialog of an INVITE that was answered with a tag.
// A header "body" is its SDP.
func (p *peer) request(invite, method, tag string, headers ...string) string {
	_, transport, _ := strings.Cut(header(invite, "Via"), "SIP/2.0/")
	transport, _, _ = strings.Cut(transport, " ")
	req := fmt.Sprintf("%s sip:countersign@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bK%s%s\r\nMax-Forwards: 70\r\n"+
		"From: %s;tag=%s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: 1 %[1]s\r\nContact: <sip:%[3]s>\r\n",
		method, transport, p.addr, method, tag, header(invite, "To"), tag, header(invite, "From"), header(invite, "Call-ID"))
	body := ""
	for _, h := range headers {
		if sdp, ok := strings.CutPrefix(h, "body: "); ok {
			h, body = "Content-Type: application/sdp", sdp
		}
		req += h + "\r\n"
	}
	return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", req, len(body), body)
}
