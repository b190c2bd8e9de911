package sip_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver/sip"
)

// names is a resolver whose result a test can change.
type names map[string][]string

// LookupNetIP implements media.Resolver.
func (n names) LookupNetIP(_ context.Context, _, host string) (addrs []netip.Addr, err error) {
	if n[host] == nil {
		return nil, errors.New("no such host")
	}
	for _, a := range n[host] {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	return addrs, nil
}

// TestSources: host names are resolved periodically. An address remains for an hour after
// the name lost it, and while the name cannot be resolved.
func TestSources(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, dns := &journal{}, names{"trunk.example": {"203.0.113.1", "2001:db8::1"}, "proxy.example": {"::ffff:203.0.113.2"}}
		g := sip.NewGate(t, sip.Config{
			Host: "trunk.example", OutboundProxy: "proxy.example:5070", Names: dns, Log: slog.New(slog.NewTextHandler(log, nil)),
		})
		want := func(when string, addrs ...string) {
			t.Helper()
			for i := 1; i <= 4; i++ {
				addr := "203.0.113." + strconv.Itoa(i)
				wanted := strings.Contains(fmt.Sprint(addrs), addr)
				if g.Has(addr) != wanted || g.Has("::ffff:"+addr) != wanted {
					t.Errorf("%s: %s is admitted: %t", when, addr, !wanted)
				}
			}
		}
		want("before a lookup")
		g.Resolve(t.Context())
		want("after it", "203.0.113.1", "203.0.113.2")
		if !g.Has("2001:db8::1") || !g.Has("2001:db8::1%eth0") || g.Has("2001:db8::2") {
			t.Error("IPv6 addresses are ignored")
		}
		dns["trunk.example"] = []string{"203.0.113.3"}
		g.Resolve(t.Context())
		want("of two answers", "203.0.113.1", "203.0.113.2", "203.0.113.3")
		delete(dns, "trunk.example")
		for range 2 {
			await.Pass(2 * time.Hour)
			g.Resolve(t.Context())
			want("without an answer", "203.0.113.1", "203.0.113.2", "203.0.113.3")
		}
		dns["trunk.example"] = []string{"203.0.113.4"}
		g.Resolve(t.Context())
		want("long after", "203.0.113.2", "203.0.113.4")
		if lines := log.lines("host name of the trunk not resolved; keeping its known addresses"); len(lines) != 1 {
			t.Errorf("log: %q", lines)
		}
		g.Meet("203.0.113.1")
		want("in a call", "203.0.113.1", "203.0.113.2", "203.0.113.4")
		await.Pass(5 * time.Minute)
		want("after it", "203.0.113.2", "203.0.113.4")
	})
}
