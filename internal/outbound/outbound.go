// Package outbound asks servers that customers name: for the sound of a template
// today. A customer must not be able to have this server look into the network that
// it stands in, so an address is judged when it is connected to, after the name was
// resolved: what a name resolves to at any other moment proves nothing (DNS
// rebinding).
//
// The package must not know what it is asked for.
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

// Times after which a server is given up.
const (
	connectTimeout = 3 * time.Second
	totalTimeout   = 10 * time.Second
)

// ErrForbidden is wrapped where a URL, or what its name resolves to, may not be
// asked.
//
// A name that is not known is told in the same words: what resolves in the own network
// is nothing to tell a customer.
var ErrForbidden = errors.New("this address may not be asked, or its name is not known")

// Config is whom a [Client] may ask beyond the public internet, on ports 80 and 443.
type Config struct {
	Networks []netip.Prefix // such as the operator's own LAN
	Ports    []int          // in addition
}

// Client asks. It may be used by many goroutines. It follows no redirects, keeps no
// connections and goes through no proxy.
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
			DisableCompression:     true, // what was limited would not be what comes out
			MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// Get fetches a document of at most limit bytes. An error names the cause, but not
// the address that a name resolved to, which is nothing to tell a customer.
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

// cause is what of an error may be told.
func cause(err error) error {
	if _, unknown := errors.AsType[*net.DNSError](err); unknown || errors.Is(err, ErrForbidden) {
		return ErrForbidden
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return errors.New("no answer in time")
	}
	return errors.New("no connection")
}

// allowURL refuses what is wrong before anything is resolved.
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

// control sees the address of each connection before it is made.
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

// public reports whether an address belongs to the internet at large, and not to
// this machine, its network, or a way around such rules. The lists are IANA's
// registries of special-purpose addresses (RFC 6890) and RFC 6052.
func public(addr netip.Addr) bool {
	return addr.IsGlobalUnicast() && !addr.IsPrivate() &&
		!slices.ContainsFunc(special(), func(p netip.Prefix) bool { return p.Contains(addr) })
}

func special() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),        // this network
		netip.MustParsePrefix("100.64.0.0/10"),    // carriers' own
		netip.MustParsePrefix("192.0.0.0/24"),     // protocols
		netip.MustParsePrefix("192.0.2.0/24"),     // documentation, and the two below
		netip.MustParsePrefix("198.51.100.0/24"),  //
		netip.MustParsePrefix("203.0.113.0/24"),   //
		netip.MustParsePrefix("192.88.99.0/24"),   // 6to4 relays
		netip.MustParsePrefix("198.18.0.0/15"),    // benchmarks
		netip.MustParsePrefix("168.63.129.16/32"), // a cloud's own services
		netip.MustParsePrefix("240.0.0.0/4"),      // reserved, and broadcast
		netip.MustParsePrefix("64:ff9b::/96"),     // IPv4 behind a translator
		netip.MustParsePrefix("64:ff9b:1::/48"),   // the same, locally
		netip.MustParsePrefix("::/96"),            // IPv4 in disguise
		netip.MustParsePrefix("::ffff:0:0:0/96"),  // the same, translated
		netip.MustParsePrefix("100::/64"),         // discarded
		netip.MustParsePrefix("2001::/23"),        // protocols, Teredo among them
		netip.MustParsePrefix("2001:db8::/32"),    // documentation
		netip.MustParsePrefix("2002::/16"),        // 6to4: IPv4 in disguise
		netip.MustParsePrefix("3fff::/20"),        // documentation
		netip.MustParsePrefix("5f00::/16"),        // segment routing
		netip.MustParsePrefix("fec0::/10"),        // site-local
	}
}
