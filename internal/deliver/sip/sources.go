package sip

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"countersign/internal/deliver/sip/media"
)

// sources is the set of addresses from which a trunk accepts packets: the trunk, its
// outbound proxy, the configured ranges, and the peers of current calls. The trunk is
// also the registrar, see [registration]. Ports are ignored.
type sources struct {
	fixed []netip.Prefix // addresses in the configuration
	names []string       // host names in the configuration
	ask   media.Resolver
	life  time.Duration // lifetime of an address in peers
	log   *slog.Logger

	mu       sync.RWMutex
	resolved map[netip.Addr]time.Time // addresses of names, with the time of the last lookup that returned them
	peers    map[netip.Addr]time.Time // addresses of calls, with their expiry
	failing  map[string]bool          // true for a name if its last lookup failed
}

const (
	// resolveEvery is the time between two lookups of a name. The system resolver does
	// not return the TTL, which is a minute or more for most carriers.
	resolveEvery = time.Minute
	// lookupTimeout bounds a lookup.
	lookupTimeout = 10 * time.Second
	// resolvedLife is the lifetime of an address after the last lookup that returned it.
	// Many names have more addresses than fit one response, and calls outlast a lookup.
	resolvedLife = time.Hour
	// maxPeers bounds the addresses of calls.
	maxPeers = 1024
)

func newSources(cfg *Config, log *slog.Logger) *sources {
	s := &sources{
		ask: cfg.Names, log: log, life: cfg.RingTimeout + cfg.MaxDuration + longestTransaction,
		resolved: map[netip.Addr]time.Time{}, peers: map[netip.Addr]time.Time{}, failing: map[string]bool{},
	}
	if s.ask == nil {
		s.ask = net.DefaultResolver
	}
	for _, p := range cfg.AllowFrom {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		s.fixed = append(s.fixed, p)
	}
	for _, host := range []string{cfg.Host, cfg.OutboundProxy} {
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		host = strings.Trim(host, "[]")
		if addr, err := netip.ParseAddr(host); err == nil {
			addr = plain(addr)
			s.fixed = append(s.fixed, netip.PrefixFrom(addr, addr.BitLen()))
		} else if host != "" {
			s.names = append(s.names, host)
		}
	}
	return s
}

// plain returns an address in the form used for comparisons: IPv4-mapped addresses as
// IPv4, and no zone.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// listed reports whether an address is in the configuration.
func (s *sources) listed(addr netip.Addr) bool {
	addr = plain(addr)
	for _, p := range s.fixed {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// has reports whether packets from an address are accepted.
func (s *sources) has(addr netip.Addr) bool {
	if s.listed(addr) {
		return true
	}
	addr = plain(addr)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, ok := s.resolved[addr]; ok {
		return true
	}
	until, ok := s.peers[addr]
	return ok && time.Now().Before(until)
}

// meet admits an address for the maximum duration of a call. It has no effect on new
// addresses while maxPeers are current.
func (s *sources) meet(addr netip.Addr) {
	addr = plain(addr)
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.peers[addr]; !known && len(s.peers) >= maxPeers {
		for a, until := range s.peers {
			if now.After(until) {
				delete(s.peers, a)
			}
		}
		if len(s.peers) >= maxPeers {
			return
		}
	}
	s.peers[addr] = now.Add(s.life)
}

// resolve looks up all names. After a failed lookup no addresses expire.
func (s *sources) resolve(ctx context.Context) {
	complete := true
	for _, name := range s.names {
		addrs, err := s.lookup(ctx, name)
		if ctx.Err() != nil {
			return
		}
		s.note(name, err)
		complete = complete && err == nil
		now := time.Now()
		s.mu.Lock()
		for _, addr := range addrs {
			s.resolved[plain(addr)] = now
		}
		s.mu.Unlock()
	}
	if complete {
		s.forget(time.Now().Add(-resolvedLife))
	}
}

// forget deletes the addresses that no lookup has returned since a time.
func (s *sources) forget(since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for addr, last := range s.resolved {
		if last.Before(since) {
			delete(s.resolved, addr)
		}
	}
}

func (s *sources) lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	addrs, err := s.ask.LookupNetIP(ctx, "ip", name)
	if err == nil && len(addrs) == 0 {
		err = errors.New("no addresses")
	}
	return addrs, err
}

// note logs the first failed lookup of a name and the next successful one.
func (s *sources) note(name string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	failed := err != nil
	if failed == s.failing[name] {
		return
	}
	s.failing[name] = failed
	if failed {
		s.log.Warn("host name of the trunk not resolved; keeping its known addresses", "host", name, "addresses", len(s.resolved), "error", err)
		return
	}
	s.log.Info("host name of the trunk resolved again", "host", name, "addresses", len(s.resolved))
}
