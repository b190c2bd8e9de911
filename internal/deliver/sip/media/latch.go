package media

import "net/netip"

// Latch selects the sources of RTP that may move the audio away from the address in the
// SDP (latching, RFC 7362; also symmetric RTP or comedia). A session moves once: to the
// source of the first RTP packet of this call that is permitted. RTCP follows. RTP from
// the exact address and port of the SDP moves the audio there at any time; with LatchAny
// only until another port of that address has sent.
type Latch string

const (
	// LatchSignaling permits the source address of the SIP message with the SDP,
	// with any port, if it differs from the address in the SDP. Such a peer is behind a
	// NAT. No other host receives the audio ("restricted latching", RFC 7362 §5).
	LatchSignaling Latch = "signaling"
	// LatchAny permits the address in the SDP with any port. If that address is private,
	// it permits every source until the first packet: an attacker that sends first
	// receives the code.
	LatchAny Latch = "any"
	// LatchOff permits no source.
	LatchOff Latch = "off"
)

// Valid reports whether l is "" or one of the constants.
func (l Latch) Valid() bool {
	return l == "" || l == LatchSignaling || l == LatchAny || l == LatchOff
}

// trusts reports whether RTP from a source is accepted and may move the audio there.
// The caller holds s.mu.
func (s *Session) trusts(from netip.AddrPort) bool {
	named := s.remote.Addr
	if s.locked && from == s.target {
		return true
	}
	switch s.cfg.Latch {
	case LatchAny:
		return !s.named && from.Addr() == named.Addr() || !s.locked && hidden(named.Addr())
	case LatchOff:
		return from == named
	case LatchSignaling:
	}
	behindNAT := s.remote.Source.IsValid() && s.remote.Source != named.Addr()
	return from == named || !s.locked && behindNAT && from.Addr() == s.remote.Source
}

// hidden reports whether an address is not routed on the Internet: private, loopback,
// link-local, or shared between a provider and its customers (100.64.0.0/10, RFC 6598).
func hidden(a netip.Addr) bool {
	shared := a.Is4() && a.As4()[0] == 100 && a.As4()[1]&0xC0 == 64
	return shared || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()
}
