package sip_test

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/await"
	"countersign/internal/deliver/sip"
	"countersign/internal/deliver/sip/softphone"
	"countersign/internal/verify"
)

const dropped = "countersign_sip_packets_dropped_total"

// sender sends requests to a trunk.
type sender struct {
	t    *testing.T
	conn *net.UDPConn
	to   netip.AddrPort
	sent int
}

func from(t *testing.T, addr string, to netip.AddrPort) *sender {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &sender{t: t, conn: conn, to: to}
}

// foreign returns a request outside calls; each n has another branch.
func foreign(method, transport, source string, n int) string {
	return fmt.Sprintf("%s sip:countersign@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bK%d\r\nMax-Forwards: 70\r\n"+
		"From: <sip:a@b.example>;tag=%[4]d\r\nTo: <sip:countersign@127.0.0.1>\r\nCall-ID: %[4]d@b.example\r\nCSeq: 1 %[1]s\r\n"+
		"Contact: <sip:%[3]s>\r\nContent-Length: 0\r\n\r\n", method, strings.ToUpper(transport), source, n)
}

func (s *sender) send(packet string) {
	s.t.Helper()
	if _, err := s.conn.WriteToUDPAddrPort([]byte(packet), s.to); err != nil {
		s.t.Error(err)
	}
}

// flood sends requests with distinct branches, alternately OPTIONS and INVITE.
func (s *sender) flood(n int) {
	s.t.Helper()
	for range n {
		s.send(foreign([]string{"OPTIONS", "INVITE"}[s.sent%2], "udp", s.conn.LocalAddr().String(), s.sent))
		s.sent++
	}
}

// answer waits for a packet and returns it; "" on a timeout.
func (s *sender) answer(d time.Duration) string {
	s.t.Helper()
	buf := make([]byte, 8192)
	if err := s.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		s.t.Fatal(err)
	}
	n, err := s.conn.Read(buf)
	if err != nil {
		return ""
	}
	return string(buf[:n])
}

// admitted reports whether an OPTIONS is answered. It repeats lost requests.
func (s *sender) admitted() bool {
	s.t.Helper()
	for range 20 {
		s.send(foreign("OPTIONS", "udp", s.conn.LocalAddr().String(), s.sent))
		s.sent++
		if strings.HasPrefix(s.answer(time.Second), "SIP/2.0 200 ") {
			return true
		}
	}
	return false
}

// TestFloodOfStranger: 20,000 requests from an address outside the sources leave no
// transactions, no responses and one log line. A concurrent call succeeds.
func TestFloodOfStranger(t *testing.T) { //nolint:paralleltest // it measures memory
	const packets, batch = 20_000, 50
	log, reg := &journal{}, prometheus.NewRegistry()
	p := start(t, softphone.Config{})
	tr := open(t, p.Addr(), func(c *sip.Config) {
		c.Metrics, c.Log = reg, slog.New(slog.NewTextHandler(log, nil))
	})
	stranger := from(t, "127.0.0.9", tr.Address())
	memory := heap()
	over := tr.begin()
	for stranger.sent < packets {
		stranger.flood(batch)
		await.Until(t, "every packet dropped", func() bool { return value(t, reg, dropped, "source") >= float64(stranger.sent) })
	}
	if r := <-over; r.State != verify.EventDelivered {
		t.Errorf("receipt: %+v", r)
	}
	p.ended(softphone.Bye)
	if grown := int64(heap()) - int64(memory); grown > 4<<20 {
		t.Errorf("%d packets took %d KiB", packets, grown>>10)
	}
	if !from(t, "127.0.0.1", tr.Address()).admitted() {
		t.Error("the trunk is not answered")
	}
	if res := stranger.answer(time.Millisecond); res != "" {
		t.Errorf("an unknown source got a response:\n%s", res)
	}
	if n := value(t, reg, dropped); n != packets {
		t.Errorf("%v packets were dropped, want %d", n, packets)
	}
	lines := log.lines("SIP packets dropped; only the trunk needs access to this port")
	if len(lines) != 1 || !strings.Contains(lines[0], "example=127.0.0.0/24") {
		t.Errorf("log: %q", lines)
	}
}

// TestFloodOfTrunk: a flood from the address of the trunk, which may be forged, is
// limited. A concurrent call succeeds.
func TestFloodOfTrunk(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	p := start(t, softphone.Config{Script: []softphone.Step{softphone.Hear(150 * time.Millisecond), softphone.InfoRelay("1")}})
	tr := open(t, p.Addr(), func(c *sip.Config) { c.Metrics = reg })
	forger := from(t, "127.0.0.1", tr.Address())
	flood := func() {
		seen := value(t, reg, dropped)
		// On a slow machine many packets pass, and more follow.
		await.Until(t, "another packet dropped", func() bool {
			forger.flood(50)
			return value(t, reg, dropped) > seen
		})
	}
	flood()
	for over := tr.begin(); ; flood() {
		select {
		case r := <-over:
			if r.State != verify.EventDelivered {
				t.Errorf("receipt: %+v", r)
			}
		default:
			continue
		}
		break
	}
	p.ended(softphone.Bye)
	if n := value(t, reg, dropped, "source"); n != 0 {
		t.Errorf("%v packets were dropped for their source", n)
	}
}

// TestFloodOverConnection: requests over a connection are limited like datagrams.
func TestFloodOverConnection(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	p := listen(t, "tcp")
	tr := open(t, p.addr, slow, func(c *sip.Config) { c.Transport, c.Metrics = "tcp", reg })
	began, sent := time.Now(), 0
	if _, err := send(t, tr, func() {
		invite := p.want("INVITE")
		p.answer(invite, "200 OK", "one", p.sound())
		p.want("ACK")
		await.Until(t, "300 requests dropped", func() bool {
			for range 100 {
				p.say(strings.Replace(foreign("OPTIONS", "tcp", p.addr, sent), "Content-Length: 0\r\n\r\n", "Content-Length: 7\r\n\r\nOPTIONS", 1))
				sent++
			}
			return value(t, reg, dropped) >= 300
		})
		p.say(p.request(invite, "BYE", "one"))
		p.want("SIP/2.0 200", "CSeq: 1 BYE") // all requests before it were read
	}); err != nil {
		t.Fatal(err)
	}
	tr.end()
	passed, most := float64(sent)-value(t, reg, dropped), 401+200*time.Since(began).Seconds()
	if passed < 400 || passed > most {
		t.Errorf("%v of %d requests passed, want 400 and 200 for each second, which is %.0f", passed, sent, most)
	}
}

// TestAllowFrom: AllowFrom admits addresses that the trunk's host name does not have.
func TestAllowFrom(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{})
	tr := open(t, p.Addr(), func(c *sip.Config) {
		c.AllowFrom = []netip.Prefix{netip.MustParsePrefix("127.0.1.0/24"), netip.MustParsePrefix("::ffff:127.0.2.0/120")}
	})
	for _, addr := range []string{"127.0.0.1", "127.0.1.7", "127.0.2.7"} {
		if !from(t, addr, tr.Address()).admitted() {
			t.Errorf("%s is not answered", addr)
		}
	}
}

// TestSourceOfCall: requests of a call are admitted from addresses in Contact and
// Record-Route of its answer, in addition to the addresses of the trunk.
func TestSourceOfCall(t *testing.T) {
	t.Parallel()
	for name, headers := range map[string][]string{
		"contact":      {"Contact: <sip:callee@127.0.0.8:5999>"},
		"record-route": {"Record-Route: <sip:127.0.0.8:5999;lr>, <sip:127.0.0.1:%d;lr>", "Contact: <sip:callee@192.0.2.1>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := prometheus.NewRegistry()
			p := listen(t, "udp")
			tr := open(t, p.addr, slow, func(c *sip.Config) { c.Metrics = reg })
			other, stranger := from(t, "127.0.0.8", tr.Address()), from(t, "127.0.0.9", tr.Address())
			var bye string
			if _, err := send(t, tr, func() {
				invite := p.want("INVITE")
				for i, h := range headers {
					headers[i] = strings.Replace(h, "%d", strings.TrimPrefix(p.addr, "127.0.0.1:"), 1)
				}
				p.answer(invite, "200 OK", "one", append(headers, p.sound())...)
				bye = strings.Replace(p.request(invite, "BYE", "one"), ";branch=", ";rport;branch=", 1)
			}); err != nil {
				t.Fatal(err)
			}
			stranger.send(bye)
			await.Until(t, "a packet of the stranger dropped", func() bool { return value(t, reg, dropped, "source") > 0 })
			other.send(bye)
			if res := other.answer(patience); !strings.HasPrefix(res, "SIP/2.0 200 ") {
				t.Errorf("the response is %q", res)
			}
			if r := tr.end(); r.State != verify.EventUndeliverable {
				t.Errorf("receipt: %+v, want hung up", r)
			}
			if res := stranger.answer(time.Millisecond); res != "" {
				t.Errorf("an unknown source got a response:\n%s", res)
			}
		})
	}
}

// TestGateLimits: the number of admitted packets, with one batch per second.
func TestGateLimits(t *testing.T) {
	t.Parallel()
	call := func(n int) string {
		return strings.Replace(foreign("INFO", "udp", "127.0.0.1:5060", n), fmt.Sprintf("Call-ID: %d@b.example", n), "i : of-a-call", 1)
	}
	response := func(int) string { return "SIP/2.0 200 OK\r\nCall-ID: x\r\n\r\n" }
	keepAlive := func(int) string { return "\r\n\r\n" }
	option := func(n int) string { return foreign("OPTIONS", "udp", "127.0.0.1:5060", n) }
	for name, tt := range map[string]struct {
		packet      func(int) string
		each, times int
		passed      int
		reason      string // reason to drop the other packets
	}{
		"a burst":                 {response, 1000, 1, 400, "rate"},
		"a rate":                  {response, 300, 10, 400 + 9*200, "rate"},
		"within the rate":         {response, 200, 100, 20_000, ""},
		"keep-alives":             {keepAlive, 100, 60, 6000, ""},
		"requests":                {option, 100, 20, 1000, "transactions"},
		"requests, for longer":    {option, 100, 60, 2000, "transactions"},
		"pings":                   {option, 10, 200, 2000, ""},
		"requests of a call":      {call, 15, 20, 100, "transactions"},
		"a burst of a call":       {call, 200, 1, 100, "rate"},
		"what is not SIP at all":  {func(int) string { return "\x00\xff" }, 1000, 1, 400, "rate"},
		"a head without an end":   {func(int) string { return "OPTIONS" }, 1000, 1, 400, "rate"},
		"a header without a name": {func(int) string { return "OPTIONS x SIP/2.0\r\n: x\r\nCall-ID" }, 1000, 1, 400, "rate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := sip.NewGate(t, sip.Config{Host: "127.0.0.1"})
			g.Expect("of-a-call")
			now, passed, reasons := time.Unix(1_800_000_000, 0), 0, map[string]int{}
			for i := range tt.times {
				for j := range tt.each {
					if r := g.Spend(now, tt.packet(i*tt.each+j)); r != "" {
						reasons[r]++
					} else {
						passed++
					}
				}
				now = now.Add(time.Second)
			}
			if passed != tt.passed || reasons[tt.reason] != tt.each*tt.times-passed {
				t.Errorf("%d passed, want %d; others were dropped for %v, want %q", passed, tt.passed, reasons, tt.reason)
			}
		})
	}
}

// TestGateKeepsCalls: packets of a call pass after the allowances of another call and of
// packets outside calls are used up.
func TestGateKeepsCalls(t *testing.T) {
	t.Parallel()
	g := sip.NewGate(t, sip.Config{Host: "127.0.0.1"})
	g.Expect("one")
	g.Expect("two")
	now := time.Unix(1_800_000_000, 0)
	for n := range 1000 {
		g.Spend(now, foreign("INVITE", "udp", "127.0.0.1:5060", n))
		g.Spend(now, "INFO x SIP/2.0\r\nCall-ID: one\r\n\r\n")
	}
	for _, packet := range []string{
		"BYE x SIP/2.0\r\nCall-ID: two\r\n\r\n", "BYE x SIP/2.0\r\ni:two\r\n\r\n", "BYE x SIP/2.0\r\nCALL-ID\t: two \r\n\r\n", "BYE x SIP/2.0\ncall-id: two\n\n",
		"\r\nSIP/2.0 200 OK\r\nCall-ID: two\r\n\r\n",
	} {
		if r := g.Spend(now, packet); r != "" {
			t.Errorf("%q was dropped: %s", packet, r)
		}
	}
	if r := g.Spend(now, "BYE x SIP/2.0\r\n\r\nCall-ID: two\r\n\r\n"); r == "" {
		t.Error("a Call-ID in a body was used")
	}
}

// TestGateForgedPorts: the number of stored ports is bounded.
func TestGateForgedPorts(t *testing.T) {
	t.Parallel()
	g := sip.NewGate(t, sip.Config{Host: "127.0.0.1"})
	g.Expect("one")
	now, ports := time.Unix(1_800_000_000, 0), 0
	const response, ofCall = "SIP/2.0 200 OK\r\n\r\n", "SIP/2.0 200 OK\r\nCall-ID: one\r\n\r\n"
	for port := 10_001; port <= 60_000; port++ {
		now = now.Add(10 * time.Millisecond)
		if r := g.SpendFrom(now, "127.0.0.1:"+strconv.Itoa(port), response); r == "" {
			ports++
		} else if r != "source" {
			t.Fatalf("port %d was dropped: %s", port, r)
		}
	}
	if ports != 10_000 {
		t.Errorf("%d ports passed, want 10000", ports)
	}
	if r := g.SpendFrom(now, "127.0.0.1:10001", response); r != "" {
		t.Errorf("a known port was dropped: %s", r)
	}
	if r := g.SpendFrom(now, "127.0.0.1:9999", ofCall); r != "" {
		t.Errorf("a call from a new port was dropped: %s", r)
	}
	if r := g.SpendFrom(now.Add(24*time.Hour), "127.0.0.1:9998", response); r != "" {
		t.Errorf("a new port was dropped a day later: %s", r)
	}
}

// TestDropsNeedNoMemory: dropping a packet does not allocate.
func TestDropsNeedNoMemory(t *testing.T) { //nolint:paralleltest // AllocsPerRun counts for the whole process
	g := sip.NewGate(t, sip.Config{Host: "127.0.0.1"})
	packet := []byte(foreign("INVITE", "udp", "127.0.0.9:5060", 1))
	for _, source := range []string{"127.0.0.9:5060", "127.0.0.1:5060"} {
		from := netip.MustParseAddrPort(source)
		for g.Admits(from, packet) { // until the allowance is used up
		}
		if n := testing.AllocsPerRun(1000, func() { g.Admits(from, packet) }); n >= 1 {
			t.Errorf("a packet from %s takes %v allocations", source, n)
		}
	}
}

// TestDropsAreLogged: drops are logged at most once a minute, with their number since the
// last line.
func TestDropsAreLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &journal{}
		g := sip.NewGate(t, sip.Config{Host: "127.0.0.1", Log: slog.New(slog.NewTextHandler(log, nil))})
		for range 90 {
			g.Drop("2001:db8:1:2::3")
			g.Drop("198.51.100.77")
			await.Pass(time.Second)
		}
		g.Report()
		await.Pass(time.Minute)
		g.Report()
		g.Report()
		lines := log.lines("SIP packets dropped; only the trunk needs access to this port")
		if len(lines) != 3 {
			t.Fatalf("log: %q", lines)
		}
		for i, want := range []string{"source=1 rate=0 transactions=0 example=2001:db8:1::/48", "source=120 ", "source=59 rate=0 transactions=0 example=198.51.100.0/24"} {
			if !strings.Contains(lines[i], want) {
				t.Errorf("line %d is %q, want %q", i, lines[i], want)
			}
		}
	})
}
