package sip

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// gate drops packets before sipgo parses them. sipgo parses every packet and keeps a
// transaction for 32 s for every request with a new branch, from any source.
//
// A packet must have one of the trunk's sources. Each call has an allowance, and all
// other packets share one. A flood with the forged address of the trunk cannot use the
// allowance of a call, since Call-IDs are random and long.
type gate struct {
	sources *sources
	log     *slog.Logger
	dropped map[dropReason]prometheus.Counter

	mu       sync.Mutex
	calls    map[string]*allowance // by Call-ID: calls, the registration and the probe
	others   allowance
	ends     map[netip.AddrPort]bool // sources of packets outside calls, since counted
	counted  time.Time               // time of the last reset of ends
	unlogged map[dropReason]int
	example  netip.Addr // source of the last dropped packet
	logged   time.Time  // time of the last log line
}

// dropReason is the label of a dropped packet.
type dropReason string

const (
	fromStranger dropReason = "source"       // not an address of the trunk, or too many ports
	tooFast      dropReason = "rate"         // too many packets per second
	tooMany      dropReason = "transactions" // too many open transactions
)

// longestTransaction bounds the life of a server transaction: 32 s until its response
// is acknowledged, then 5 s for repeated ACKs. These are the timers H, I and J of
// RFC 3261 §17.2.
const longestTransaction = 40 * time.Second

// logDropsEvery is the minimum time between two log lines about dropped packets.
const logDropsEvery = time.Minute

// maxEnds bounds the sources (address and port) of packets outside calls, per endsFor.
// sipgo keeps every source until the trunk is closed, and a flood may forge all ports.
const (
	maxEnds = 10_000
	endsFor = 24 * time.Hour
)

// callAllowance returns the allowance of one call. A call has about ten packets and a
// few per key press, each retransmitted up to ten times.
func callAllowance() *allowance { return &allowance{rate: 20, burst: 100, most: 100} }

func newGate(cfg *Config, log *slog.Logger, m *metrics) *gate {
	g := &gate{
		sources: newSources(cfg, log), log: log,
		dropped: map[dropReason]prometheus.Counter{}, unlogged: map[dropReason]int{},
		calls:  map[string]*allowance{},
		ends:   map[netip.AddrPort]bool{},
		others: allowance{rate: 200, burst: 400, most: 1000},
	}
	for _, r := range []dropReason{fromStranger, tooFast, tooMany} {
		g.dropped[r] = m.dropped.WithLabelValues(string(r))
	}
	return g
}

// expect creates an allowance for the packets with a Call-ID unless it exists.
func (g *gate) expect(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.calls[id] == nil {
		g.calls[id] = callAllowance()
	}
}

// forget deletes the allowance of a Call-ID.
func (g *gate) forget(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.calls, id)
}

// admits reports whether a datagram may pass.
func (g *gate) admits(from netip.AddrPort, packet []byte) bool {
	if !g.sources.has(from.Addr()) {
		g.drop(fromStranger, from.Addr())
		return false
	}
	return g.passes(from, packet)
}

// passes reports whether a packet of the trunk is within its allowance, and counts it.
// packet may be only the head of a message.
func (g *gate) passes(from netip.AddrPort, packet []byte) bool {
	reason := g.spend(time.Now(), from, packet)
	if reason != "" {
		g.drop(reason, from.Addr())
	}
	return reason == ""
}

func (g *gate) spend(now time.Time, from netip.AddrPort, packet []byte) dropReason {
	id, request := callIDOf(packet), isRequest(packet)
	g.mu.Lock()
	defer g.mu.Unlock()
	if a := g.calls[string(id)]; a != nil {
		return a.spend(now, request)
	}
	if now.Sub(g.counted) >= endsFor {
		g.counted = now
		clear(g.ends)
	}
	if !g.ends[from] && len(g.ends) >= maxEnds {
		return fromStranger
	}
	reason := g.others.spend(now, request)
	if reason == "" {
		g.ends[from] = true
	}
	return reason
}

// drop counts a dropped packet and logs it if a log line is due.
func (g *gate) drop(reason dropReason, from netip.Addr) {
	g.dropped[reason].Inc()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unlogged[reason]++
	g.example = from
	g.reportLocked(time.Now())
}

// report logs the packets dropped since the last log line, at most once a minute.
func (g *gate) report() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reportLocked(time.Now())
}

func (g *gate) reportLocked(now time.Time) {
	if len(g.unlogged) == 0 || !g.logged.IsZero() && now.Sub(g.logged) < logDropsEvery {
		return
	}
	attrs := []any{}
	for _, r := range []dropReason{fromStranger, tooFast, tooMany} {
		attrs = append(attrs, string(r), g.unlogged[r])
	}
	g.log.Warn("SIP packets dropped; only the trunk needs access to this port", append(attrs, "example", masked(g.example))...)
	g.logged = now
	clear(g.unlogged)
}

// masked returns the network of an address: /24 of IPv4, /48 of IPv6.
func masked(addr netip.Addr) string {
	bits := 24
	if addr = plain(addr); addr.Is6() {
		bits = 48
	}
	network, err := addr.Prefix(bits)
	if err != nil { // addr is invalid
		return ""
	}
	return network.String()
}

// allowance limits packets with a token bucket, and transactions by the number of
// requests in longestTransaction. Only the first three fields are set initially.
type allowance struct {
	rate  float64 // packets per second
	burst float64 // bucket size, in packets
	most  int     // requests in longestTransaction

	used     float64                               // used part of burst at the time last
	last     time.Time                             // time of the last packet
	requests [longestTransaction / time.Second]int // ring of counts, one per second
	total    int                                   // sum of requests
	second   int64                                 // Unix time of the newest count
}

// spend returns the reason to drop a packet, or "" to pass it.
func (a *allowance) spend(now time.Time, request bool) dropReason {
	a.used = max(a.used-max(now.Sub(a.last).Seconds(), 0)*a.rate, 0)
	a.last = now
	if a.used+1 > a.burst {
		return tooFast
	}
	a.advance(now.Unix())
	if request && a.total >= a.most {
		return tooMany
	}
	a.used++
	if request {
		a.requests[a.second%int64(len(a.requests))]++
		a.total++
	}
	return ""
}

// advance discards the counts of requests older than the ring.
func (a *allowance) advance(second int64) {
	size := int64(len(a.requests))
	a.second = max(a.second, second-size)
	for a.second < second {
		a.second++
		slot := &a.requests[a.second%size]
		a.total, *slot = a.total-*slot, 0
	}
}

// isRequest reports whether a packet is a request, not a response or keep-alive (RFC
// 5626 §3.5.1).
func isRequest(packet []byte) bool {
	packet = bytes.TrimLeft(packet, "\r\n")
	const version = "SIP/"
	return len(packet) > 0 && (len(packet) < len(version) || !bytes.EqualFold(packet[:len(version)], []byte(version)))
}

// callIDOf returns the Call-ID of a packet before normalisation, or nil if there is
// none or its line is folded.
func callIDOf(packet []byte) []byte {
	packet = bytes.TrimLeft(packet, "\r\n")
	for {
		line, rest, more := bytes.Cut(packet, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			return nil
		}
		if name, value, ok := bytes.Cut(line, []byte(":")); ok {
			name = bytes.TrimRight(name, " \t")
			if bytes.EqualFold(name, []byte("Call-ID")) || bytes.EqualFold(name, []byte("i")) {
				return bytes.Trim(value, " \t")
			}
		}
		if !more {
			return nil
		}
		packet = rest
	}
}

// gatedConn is the socket of a trunk without the packets that the gate drops. The first
// call of ReadFrom closes read. From then on sipgo sends requests from this socket;
// before, it would open another one.
type gatedConn struct {
	*net.UDPConn

	gate *gate
	read chan struct{}
	once sync.Once
}

// ReadFrom implements [net.PacketConn]. It does not allocate for dropped packets.
func (c *gatedConn) ReadFrom(b []byte) (int, net.Addr, error) {
	c.once.Do(func() { close(c.read) })
	for {
		n, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			return n, nil, err
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if c.gate.admits(from, b[:n]) {
			return n, net.UDPAddrFromAddrPort(from), nil
		}
	}
}

// WriteTo implements [net.PacketConn]. It admits the destination of a request as a
// source, since sipgo may resolve a name to an address that the gate has not seen.
func (c *gatedConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if addr, ok := to.(*net.UDPAddr); ok && isRequest(b) {
		if a, ok := netip.AddrFromSlice(addr.IP); ok && !c.gate.sources.listed(a) {
			c.gate.sources.meet(a)
		}
	}
	return c.UDPConn.WriteTo(b, to)
}
