// Package outbound fetches documents from URLs that customers specify, such as the sounds
// of a template. It prevents access to the operator's network (SSRF). The IP address is
// checked for each connection after the name was resolved, since an earlier check would
// not stop DNS rebinding.
//
// The package does not depend on the kind of documents.
package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Timeouts of a request.
const (
	connectTimeout = 3 * time.Second
	totalTimeout   = 10 * time.Second
)

// ErrForbidden indicates that access to a URL, or to the address of its host, is not
// allowed. Unknown names return the same error, so that customers cannot probe names in
// the operator's network.
var ErrForbidden = errors.New("the address is not permitted, or its name does not resolve")

// Config extends the allowed destinations: the public internet on ports 80 and 443.
type Config struct {
	Networks []netip.Prefix // additional networks, such as the operator's LAN
	Ports    []int          // additional ports
}

// Client fetches documents. It is safe for concurrent use. It does not follow redirects,
// keep connections open or use proxies.
type Client struct {
	cfg  Config
	http *http.Client
}

// New returns a client.
func New(cfg Config) *Client {
	c := &Client{cfg: cfg}
	dialer := &net.Dialer{Timeout: connectTimeout, ControlContext: c.control}
	c.http = &http.Client{
		Timeout: totalTimeout,
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSHandshakeTimeout:    connectTimeout,
			DisableKeepAlives:      true,
			DisableCompression:     true, // the limit applies to the document as sent
			MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// Get fetches a document of at most limit bytes. The error may be shown to the customer:
// it does not contain the resolved address.
func (c *Client) Get(ctx context.Context, address string, limit int64) ([]byte, error) {
	if err := c.allowURL(address); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: not a URL", ErrForbidden)
	}
	req.Header.Set("User-Agent", "countersign")
	res, err := c.http.Do(req)
	if err != nil {
		return nil, cause(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered with HTTP status %d", res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return nil, cause(err)
	}
	if err != nil {
		return nil, errors.New("the answer broke off")
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("larger than %d bytes", limit)
	}
	return body, nil
}

// cause returns the part of an error that may be shown to the customer.
func cause(err error) error {
	if _, unknown := errors.AsType[*net.DNSError](err); unknown || errors.Is(err, ErrForbidden) {
		return ErrForbidden
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return errors.New("no answer in time")
	}
	return errors.New("no connection")
}

// allowURL returns an error if the URL is invalid or its port is not allowed. It does not
// resolve the name.
func (c *Client) allowURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil, u.Hostname() == "":
		return fmt.Errorf("%w: not a URL", ErrForbidden)
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%w: neither http nor https", ErrForbidden)
	case u.User != nil:
		return fmt.Errorf("%w: it names a user", ErrForbidden)
	}
	port := 443
	if u.Scheme == "http" {
		port = 80
	}
	if u.Port() != "" {
		if port, err = strconv.Atoi(u.Port()); err != nil {
			return fmt.Errorf("%w: not a port", ErrForbidden)
		}
	}
	if port != 80 && port != 443 && !slices.Contains(c.cfg.Ports, port) {
		return fmt.Errorf("%w: port %d", ErrForbidden, port)
	}
	return nil
}

// control returns ErrForbidden if the address of a new connection is not allowed.
func (c *Client) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !strings.HasPrefix(network, "tcp") {
		return ErrForbidden
	}
	addr := at.Addr().Unmap().WithZone("")
	if slices.ContainsFunc(c.cfg.Networks, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return nil
	}
	if !public(addr) {
		return ErrForbidden
	}
	return nil
}

// public reports whether an address belongs to the public internet: not to this machine, a
// local network, or a range that embeds IPv4 addresses. The ranges are from the IANA
// registries of special-purpose addresses (RFC 6890) and RFC 6052.
func public(addr netip.Addr) bool {
	return addr.IsGlobalUnicast() && !addr.IsPrivate() &&
		!slices.ContainsFunc(special(), func(p netip.Prefix) bool { return p.Contains(addr) })
}

func special() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),        // this network
		netip.MustParsePrefix("100.64.0.0/10"),    // carrier-grade NAT
		netip.MustParsePrefix("192.0.0.0/24"),     // protocols
		netip.MustParsePrefix("192.0.2.0/24"),     // documentation, and the two below
		netip.MustParsePrefix("198.51.100.0/24"),  //
		netip.MustParsePrefix("203.0.113.0/24"),   //
		netip.MustParsePrefix("192.88.99.0/24"),   // 6to4 relays
		netip.MustParsePrefix("198.18.0.0/15"),    // benchmarks
		netip.MustParsePrefix("168.63.129.16/32"), // platform services of Azure
		netip.MustParsePrefix("240.0.0.0/4"),      // reserved, and broadcast
		netip.MustParsePrefix("64:ff9b::/96"),     // NAT64
		netip.MustParsePrefix("64:ff9b:1::/48"),   // NAT64, local use
		netip.MustParsePrefix("::/96"),            // IPv4-compatible
		netip.MustParsePrefix("::ffff:0:0:0/96"),  // IPv4-translated
		netip.MustParsePrefix("100::/64"),         // discard-only
		netip.MustParsePrefix("2001::/23"),        // protocols, including Teredo
		netip.MustParsePrefix("2001:db8::/32"),    // documentation
		netip.MustParsePrefix("2002::/16"),        // 6to4, embeds IPv4
		netip.MustParsePrefix("3fff::/20"),        // documentation
		netip.MustParsePrefix("5f00::/16"),        // segment routing
		netip.MustParsePrefix("fec0::/10"),        // site-local
	}
}
