package server

import (
	"net"
	"testing"
)

// TestOnLoopback: the configured and the bound address must both be on the loopback.
func TestOnLoopback(t *testing.T) {
	t.Parallel()
	tcp := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 9090} }
	for _, tt := range []struct {
		configured string
		bound      net.Addr
		want       bool
	}{
		{"127.0.0.1:9090", tcp("127.0.0.1"), true},
		{"127.8.9.10:9090", tcp("127.8.9.10"), true},
		{"[::1]:9090", tcp("::1"), true},
		{"[::ffff:127.0.0.1]:9090", tcp("127.0.0.1"), true},
		{"localhost:9090", tcp("127.0.0.1"), true},
		{"localhost:9090", tcp("::1"), true},
		{"localhost:9090", tcp("192.0.2.1"), false}, // an entry in /etc/hosts
		{"host.example:9090", tcp("127.0.0.1"), false},
		{"host.example:9090", tcp("192.0.2.1"), false},
		{"192.0.2.1:9090", tcp("192.0.2.1"), false},
		{"0.0.0.0:9090", tcp("0.0.0.0"), false},
		{"[::]:9090", tcp("::"), false},
		{":9090", tcp("::"), false},
		{"", tcp("::"), false},
		{"127.0.0.1:9090", &net.UnixAddr{Name: "/run/countersign/ops.sock", Net: "unix"}, false},
	} {
		if got := onLoopback(tt.configured, tt.bound); got != tt.want {
			t.Errorf("%q bound to %v: %t, want %t", tt.configured, tt.bound, got, tt.want)
		}
	}
}
