package web

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Proxies are the addresses with a trusted X-Forwarded-For header.
type Proxies []netip.Prefix

// Client returns the client address of a request: the last address in X-Forwarded-For not
// added by a trusted proxy, or the peer's.
func (p Proxies) Client(r *http.Request) string {
	peer := peerHost(r)
	client, ok := p.client(r)
	if !ok || client.Is4() && isAddr(peer, client) {
		return peer
	}
	return client.String()
}

func peerHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// isAddr reports whether text is the canonical form of addr.
func isAddr(text string, addr netip.Addr) bool {
	var buf [64]byte // longer than any address without a zone
	return text == string(addr.AppendTo(buf[:0]))
}

// Source returns the unit of per-address limits: the client's IPv4 address, or the /64 of
// its IPv6 address, which networks assign to one customer. It is the zero Prefix if the
// address is unknown.
func (p Proxies) Source(r *http.Request) netip.Prefix {
	client, ok := p.client(r)
	if !ok {
		return netip.Prefix{}
	}
	return subnet(client)
}

func (p Proxies) client(r *http.Request) (netip.Addr, bool) {
	client, err := netip.ParseAddr(peerHost(r))
	if err != nil {
		return netip.Addr{}, false
	}
	if !p.trusts(client) {
		return client.Unmap(), true
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && p.trusts(client); i-- {
		hop, ok := hopAddr(strings.TrimSpace(hops[i]))
		if !ok {
			break // not an address, so earlier hops are not trusted
		}
		client = hop
	}
	return client.Unmap(), true
}

// hopAddr parses the address of a hop. Some proxies add the port, with brackets around an
// IPv6 address.
func hopAddr(text string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr, true
	}
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at.Addr(), true
	}
	inner, opened := strings.CutPrefix(text, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	addr, err := netip.ParseAddr(inner)
	return addr, opened && closed && err == nil && addr.Is6()
}

func subnet(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	return netip.PrefixFrom(addr, bits).Masked()
}

func (p Proxies) trusts(addr netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}
