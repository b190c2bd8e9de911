package config

import (
	"net"
	"net/netip"
	"strings"
)

// PhoneExposed returns the setting that makes the pages of the API's listener, which
// include /phone, reachable from other machines; "" if they are private. A loopback
// listener counts as exposed if a reverse proxy is configured: with trusted_proxies, or
// with a non-loopback name in server.names. Rules of the proxy for paths are not known.
func (c Config) PhoneExposed() string {
	switch {
	case !Loopback(c.Listen):
		return "listen"
	case len(c.TrustedProxies) > 0:
		return "trusted_proxies"
	}
	for i, name := range c.Server.Names {
		if !localName(name) {
			return index("server.names", i)
		}
	}
	return ""
}

// localName reports whether a name or IP address is always local.
func localName(name string) bool {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if _, err := netip.ParseAddr(name); err == nil {
		return Loopback(net.JoinHostPort(name, "0"))
	}
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}
