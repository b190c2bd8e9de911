package config

import (
	"net"
	"net/netip"
	"strings"
)

// PhoneExposed returns the setting that lets other machines reach the pages of the API's
// listener, which include /phone; "" if it is private. A listener on the loopback is exposed
// if a reverse proxy is configured: with trusted_proxies, or with a name in server.names
// beyond the loopback. The paths that a proxy passes on are not known here.
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

// localName reports whether a name or IP address can only be of this machine.
func localName(name string) bool {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if _, err := netip.ParseAddr(name); err == nil {
		return Loopback(net.JoinHostPort(name, "0"))
	}
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}
