package sip_test

import (
	"crypto/tls"
	"strings"
	"testing"

	"countersign/internal/deliver/sip"
)

// respell rewrites the headers of a message in valid but unusual spelling.
func respell(message string) string {
	head, body, _ := strings.Cut(message, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	for i, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "Via":
			value = strings.Replace(value, "SIP/2.0/", "SIP / 2.0 / ", 1)
			lines[i] = "v:\t" + strings.Replace(value, ";branch=", " ;\r\n Branch = ", 1) + " ;Received = 127.0.0.1"
		case "To":
			lines[i] = "t : " + strings.Replace(value, ";tag=", "\r\n\t; TAG = ", 1)
		case "From":
			lines[i] = "FROM:" + strings.Replace(value, ";tag=", ";Tag =\t", 1)
		case "CSeq":
			lines[i] = "cSeq:  " + strings.Replace(value, " ", " \t ", 1)
		case "Call-ID":
			lines[i] = "i:" + value + " "
		case "Contact":
			lines[i] = "m: \"A, B\" " + value + " ; Expires = 60"
		case "Content-Type":
			lines[i] = "C :\t" + strings.Replace(value, "/", " / ", 1) + " ; Charset = utf-8"
		case "Content-Length":
			lines[i] = "l :" + value
		}
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

// sayOddly sends a message in unusual spelling, over a connection in small pieces.
func (p *peer) sayOddly(transport, message string) {
	p.t.Helper()
	message = respell(message)
	for transport != "udp" && len(message) > 9 {
		p.say(message[:9])
		message = message[9:]
	}
	p.say(message)
}

// TestHeaders: a call succeeds with headers in any spelling, and with messages split
// anywhere over a connection.
func TestHeaders(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t)
	for _, transport := range []string{"udp", "tcp", "tls"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			p := listen(t, transport, cert)
			tr := open(t, p.addr, slow, func(c *sip.Config) {
				c.Transport = transport
				if transport == "tls" {
					c.TLS = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
				}
			})
			say := func(message string) { p.sayOddly(transport, message) }
			if _, err := send(t, tr, func() {
				invite := p.want("INVITE")
				say(p.response(invite, "180 Ringing", "Ab1"))
				say(p.response(invite, "200 OK", "Ab1", "Record-Route: <sip:127.0.0.1:1;lr> , < sip:"+p.addr+";LR >", p.sound()))
				ack := p.want("ACK", ";tag=Ab1")
				if want := "Route: <sip:" + p.addr + ";LR>\r\nRoute: <sip:127.0.0.1:1;lr>\r\n"; !strings.Contains(ack, want) {
					t.Errorf("want %q in\n%s", want, ack)
				}
				say(p.request(invite, "BYE", "Ab1"))
				p.want("SIP/2.0 200", "CSeq: 1 BYE", ";tag=Ab1")
			}); err != nil {
				t.Fatal(err)
			}
			if r := tr.end(); !strings.HasPrefix(r.Error, "hung up after") {
				t.Errorf("receipt: %+v", r)
			}
			p.none("BYE")
		})
	}
}
