package sip_test

import (
	"bytes"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"

	library "github.com/emiago/sipgo/sip"

	"countersign/internal/deliver/sip"
)

// TestNormalised: each spelling that RFC 3261 allows becomes canonical.
func TestNormalised(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ line, want string }{
		{"To: <sip:a@b>;TAG=x", "To: <sip:a@b>;tag=x"},
		{"To: <sip:a@b> ; tag = x", "To: <sip:a@b>;tag=x"},
		{"TO\t:\t\"A; B\"  <sip:a@b;x=y>\t;\tTag\t=\tXy", `TO: "A; B" <sip:a@b;x=y>;tag=Xy`},
		{"t: sip:a@b ;TAG=x", "To: sip:a@b;tag=x"},
		{"To: A B<sip:a@b>;\r\n  tag=x", "To: A B <sip:a@b>;tag=x"},
		{"From: sip:a,b@c;Tag=1", "From: sip:a,b@c;tag=1"},
		{`From: <sip:a@b>;tag=1;note="x;tag=2"`, "From: <sip:a@b>;tag=1"},
		{`F : "a\"<" <sip:a@b> ;TAG=1`, `From: "a\"<" <sip:a@b>;tag=1`},
		{"v: SIP / 2.0 / UDP\t a : 5060 ;Branch=z9hG4bKx;RPORT;Received = b", "Via: SIP/2.0/UDP a:5060;branch=z9hG4bKx;rport;received=b"},
		{"Via: SIP/2.0/TCP [::1]:5060;BRANCH=1 , SIP/2.0/UDP b;branch=2", "Via: SIP/2.0/TCP [::1]:5060;branch=1\r\nVia: SIP/2.0/UDP b;branch=2"},
		{"Contact: <sip:a@b> ; EXPIRES = 60", "Contact: <sip:a@b>;expires=60"},
		{"m: <sip:a@b>;expires=1,\r\n\t\"C, D\" <sip:c@d>;expires=2", "Contact: <sip:a@b>;expires=1\r\nContact: \"C, D\" <sip:c@d>;expires=2"},
		{"Contact: *", "Contact: *"},
		{"Record-Route: < sip:a;lr > , <sip:b;lr>", "Record-Route: <sip:a;lr>\r\nRecord-Route: <sip:b;lr>"},
		{"CSeq:  1 \t INVITE ", "CSeq: 1 INVITE"},
		{"x: 90 ; Refresher = uac", "Session-Expires: 90;refresher=uac"},
		{"I:a@b", "Call-ID: a@b"},
		{"Subject: a ; B = c", "Subject: a ; B = c"},
		{"no header", "no header"},
	} {
		const body = "v=0 ; A = b\r\nTo : x ;TAG=1\r\n\r\n"
		got := string(sip.Normalised([]byte("SIP/2.0 200 OK\r\n" + tt.line + "\r\n\r\n" + body)))
		if want := "SIP/2.0 200 OK\r\n" + tt.want + "\r\n\r\n" + body; got != want {
			t.Errorf("%q: got\n%q, want\n%q", tt.line, got, want)
		}
	}
	for in, want := range map[string]string{
		"SIP/2.0 200\r\n\r\n": "SIP/2.0 200 \r\n\r\n", "\r\n\r\n": "\r\n\r\n", "\r\nBYE sip:a SIP/2.0\r\n\r\n": "BYE sip:a SIP/2.0\r\n\r\n", "half\r\n": "half\r\n",
	} {
		if got := string(sip.Normalised([]byte(in))); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// FuzzNormalised: the body and the input are unchanged, normalisation is idempotent, and
// the size of reads has no effect.
func FuzzNormalised(f *testing.F) {
	for _, seed := range []string{
		"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a:5060;branch=z9hG4bK1;rport\r\nFrom: \"A\" <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContact: <sip:c@d>;expires=60\r\nContent-Length: 5\r\n\r\nv=0\r\n",
		"BYE sip:a@b;x=1 SIP/2.0\r\nv: SIP / 2.0/TCP a ;Branch=z9hG4bK1\r\nf: a <sip:a@b> ;TAG = 1\r\nt: sip:c@d;\r\n tag=2\r\ni: x\r\nCSeq: 1\tBYE\r\nRecord-Route: <sip:a;lr>, <sip:b;lr>\r\nl: 0\r\n\r\n",
		"\r\n\r\n", "SIP/2.0 200\r\n\r\n", "a: \"\\\r\n <\r\n\r\n",
	} {
		f.Add([]byte(seed), uint8(7))
	}
	f.Fuzz(func(t *testing.T, message []byte, cut uint8) {
		before := bytes.Clone(message)
		got := sip.Normalised(message)
		if !bytes.Equal(before, message) {
			t.Fatal("the input was changed")
		}
		if again := sip.Normalised(got); !bytes.Equal(again, got) {
			t.Fatalf("a second pass changed\n%q to\n%q", got, again)
		}
		if _, body, ok := bytes.Cut(bytes.TrimLeft(message, "\r\n"), []byte("\r\n\r\n")); ok && !bytes.HasSuffix(got, body) {
			t.Fatalf("the body %q is not the end of %q", body, got)
		}
		cutUp(t, message, int(cut%16)+1)
	})
}

// TestSpellings: a message has the same meaning in each spelling of its headers, and a
// canonical message is unchanged.
func TestSpellings(t *testing.T) {
	t.Parallel()
	const body = "v=0\r\nTo: <sip:x>;TAG=y\r\n\r\nrest"
	headers := [][2]string{
		{"Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKaB;rport=5;received=192.0.2.9"},
		{"Record-Route", "<sip:p1.example;lr;x=1>"},
		{"Record-Route", `"P" <sip:p2.example:5070;lr>`},
		{"From", `"A, B; c=\"d" <sip:+44@a.example;user=phone>;tag=Ab1`},
		{"To", "<sip:c@d.example>;tag=Cd2"},
		{"Call-ID", "aB@c"}, {"CSeq", "7 INVITE"}, {"Contact", "<sip:c@192.0.2.2:5060;transport=udp>;expires=60;q=0.5"},
		{"Session-Expires", "90;refresher=uac"}, {"X-Other", "a ; B = c"}, {"Content-Length", strconv.Itoa(len(body))},
	}
	compact := map[string]string{
		"Via": "v", "From": "F", "To": "t", "Call-ID": "i", "Contact": "m", "Session-Expires": "x", "Content-Length": "L",
	}
	canonical := "SIP/2.0 200 OK\r\n"
	for _, h := range headers {
		canonical += h[0] + ": " + h[1] + "\r\n"
	}
	canonical += "\r\n" + body
	if got := string(sip.Normalised([]byte(canonical))); got != canonical {
		t.Fatalf("a canonical message was changed to\n%s", got)
	}
	want := parse(t, canonical)
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 0))
		odd := "SIP/2.0 200 OK\r\n"
		for _, h := range headers {
			name, value := h[0], h[1]
			if short := compact[name]; short != "" && random.IntN(2) == 0 {
				name = short
			}
			if name != "X-Other" {
				value = respelt(random, value)
			}
			odd += name + space(random) + ":" + space(random) + value + "\r\n"
		}
		odd += "\r\n" + body
		if got := parse(t, string(sip.Normalised([]byte(odd)))); got != want {
			t.Fatalf("seed %d:\n%s\nwas parsed as\n%s", seed, odd, got)
		}
		cutUp(t, []byte(odd), random.IntN(20)+1)
	}
}

// parse returns a message as sipgo parses it.
func parse(t *testing.T, message string) string {
	t.Helper()
	m, err := library.ParseMessage([]byte(message))
	if err != nil {
		t.Fatalf("%v:\n%s", err, message)
	}
	return m.String()
}

// space returns white space allowed around a separator.
func space(random *rand.Rand) string {
	return []string{"", "", " ", "\t", " \t ", "\r\n ", "  \r\n\t"}[random.IntN(7)]
}

// respelt returns the parameters of a value with white space and capitals.
func respelt(random *rand.Rand, value string) string {
	i := strings.LastIndexByte(value, '>') + 1
	head, params, _ := strings.Cut(value[i:], ";")
	head = value[:i] + head
	if params == "" {
		return head
	}
	for p := range strings.SplitSeq(params, ";") {
		name, v, ok := strings.Cut(p, "=")
		if random.IntN(2) == 0 {
			name = strings.ToUpper(name)
		}
		head += space(random) + ";" + space(random) + name
		if ok {
			head += space(random) + "=" + space(random) + v
		}
	}
	return head + strings.Repeat(" ", random.IntN(2))
}

// cutUp sends a message twice over a connection, in reads of n bytes, and compares the
// result with a single read.
func cutUp(t *testing.T, message []byte, n int) {
	t.Helper()
	stream := bytes.Repeat(message, 2)
	from := library.TransportReadProps{
		Transport: "TCP", LocalAddr: &net.TCPAddr{Port: 1}, RemoteAddr: &net.TCPAddr{Port: 2},
	}
	var one, many sip.Streams
	want, err := one.Filter(from, stream)
	if err != nil {
		return
	}
	var got []byte
	for rest := stream; len(rest) > 0; {
		size := min(n, len(rest))
		out, err := many.Filter(from, rest[:size])
		if err != nil {
			t.Fatal(err)
		}
		got, rest = append(got, out...), rest[size:]
	}
	if !bytes.Equal(got, want) || one.Parts() != many.Parts() {
		t.Fatalf("in one read\n%q, in reads of %d bytes\n%q", want, n, got)
	}
}
