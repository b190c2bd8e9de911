package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"countersign/internal/web"
)

func TestClient(t *testing.T) {
	t.Parallel()
	proxies := web.Proxies{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("2001:db8:1::/48"),
	}
	tests := []struct {
		name    string
		remote  string
		forward []string // one for each header
		want    string
	}{
		{"direct", "198.51.100.1:1234", nil, "198.51.100.1"},
		{"direct IPv6", "[2001:db8::1]:1234", nil, "2001:db8::1"},
		{"stranger lies", "198.51.100.1:1234", []string{"203.0.113.9"}, "198.51.100.1"},
		{"one proxy", "10.0.0.1:1", []string{"203.0.113.9"}, "203.0.113.9"},
		{"single address", "192.0.2.7:1", []string{"203.0.113.9"}, "203.0.113.9"},
		{"its neighbour", "192.0.2.8:1", []string{"203.0.113.9"}, "192.0.2.8"},
		{"client lies to a proxy", "10.0.0.1:1", []string{"1.1.1.1, 203.0.113.9"}, "203.0.113.9"},
		{"client claims to be a proxy", "10.0.0.1:1", []string{"1.1.1.1, 10.9.9.9, 203.0.113.9"}, "203.0.113.9"},
		{"chain of proxies", "10.0.0.1:1", []string{"1.1.1.1, 203.0.113.9, 10.0.0.3, 192.0.2.7"}, "203.0.113.9"},
		{"several headers", "10.0.0.1:1", []string{"1.1.1.1", "203.0.113.9", "10.0.0.3"}, "203.0.113.9"},
		{"proxies only", "10.0.0.1:1", []string{"10.0.0.2,10.0.0.3"}, "10.0.0.2"},
		{"no header", "10.0.0.1:1", nil, "10.0.0.1"},
		{"empty header", "10.0.0.1:1", []string{""}, "10.0.0.1"},
		{"garbage last", "10.0.0.1:1", []string{"203.0.113.9, <script>"}, "10.0.0.1"},
		{"garbage before a proxy", "10.0.0.1:1", []string{"203.0.113.9, unknown, 10.0.0.3"}, "10.0.0.3"},
		{"garbage before the client", "10.0.0.1:1", []string{"', 203.0.113.9"}, "203.0.113.9"},
		{"empty hop", "10.0.0.1:1", []string{"203.0.113.9,,"}, "10.0.0.1"},
		{"spaces", "10.0.0.1:1", []string{"\t 203.0.113.9 \t"}, "203.0.113.9"},
		{"IPv6 proxy and client", "[2001:db8:1::5]:1", []string{"2001:DB8:2:0::1"}, "2001:db8:2::1"},
		{"IPv6 stranger", "[2001:db8:2::5]:1", []string{"203.0.113.9"}, "2001:db8:2::5"},
		{"mapped proxy", "[::ffff:10.0.0.1]:1", []string{"203.0.113.9"}, "203.0.113.9"},
		{"mapped hop", "10.0.0.1:1", []string{"203.0.113.9, ::ffff:10.0.0.3"}, "203.0.113.9"},
		{"mapped client", "10.0.0.1:1", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{"hop with a port", "10.0.0.1:1", []string{"203.0.113.9:1234"}, "203.0.113.9"},
		{"proxy with a port", "10.0.0.1:1", []string{"203.0.113.9:1234, 10.0.0.3:80"}, "203.0.113.9"},
		{"IPv6 hop with a port", "10.0.0.1:1", []string{"[2001:db8:2::1]:1234"}, "2001:db8:2::1"},
		{"IPv6 hop in brackets", "10.0.0.1:1", []string{"[2001:db8:2::1]"}, "2001:db8:2::1"},
		{"IPv4 hop in brackets", "10.0.0.1:1", []string{"[203.0.113.9]"}, "10.0.0.1"},
		{"hop with half a bracket", "10.0.0.1:1", []string{"[2001:db8:2::1"}, "10.0.0.1"},
		{"hop with no number for a port", "10.0.0.1:1", []string{"203.0.113.9:http"}, "10.0.0.1"},
		{"no port", "198.51.100.1", nil, "198.51.100.1"},
		{"no address", "@", []string{"203.0.113.9"}, "@"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = tt.remote
			for _, f := range tt.forward {
				r.Header.Add("X-Forwarded-For", f)
			}
			if got := proxies.Client(r); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if len(tt.forward) > 0 {
				r.RemoteAddr = "10.0.0.1:1"
				if got := (web.Proxies)(nil).Client(r); got != "10.0.0.1" {
					t.Errorf("without trusted proxies: %q, want the peer", got)
				}
			}
		})
	}
}
