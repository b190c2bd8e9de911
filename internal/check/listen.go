package check

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"countersign/internal/config"
	"countersign/internal/store"
	"countersign/internal/web"
)

// virtualPhone checks that /phone, which shows every code without a login, is not exposed.
func virtualPhone(_ context.Context, in *installation) (found []Finding) {
	exposed := in.Config.PhoneExposed()
	if exposed == "" {
		return nil
	}
	by := "listen is " + in.Config.Listen + ", which other machines can reach"
	if exposed != "listen" {
		by = exposed + " is set, so a reverse proxy is in front of it and may pass /phone on"
	}
	for i, c := range in.Config.Carriers {
		if c.Type == config.CarrierVirtual && !c.Virtual.Public {
			found = append(found, fail(carrierKey(i, ".virtual.public"),
				fmt.Sprintf("virtual carrier %s shows every code at /phone without a login, and %s", c.Name, by),
				"replace the carrier with your own; or listen on 127.0.0.1 without a proxy; or, if everyone may read every code, set "+carrierKey(i, ".virtual.public: true"))...)
		}
	}
	return found
}

// httpListener is a listener of the configuration.
type httpListener struct {
	setting, address string
	tls              bool
}

func httpListeners(cfg config.Config) []httpListener {
	return []httpListener{
		{"listen", cfg.Listen, cfg.TLS.Cert != ""},
		{"ops_listen", cfg.OpsListen, false},
		{"admin.listen", cfg.Admin.Listen, cfg.Admin.TLS.Cert != ""},
	}
}

// ports checks that each address can be listened on, unless a server of ours has it.
func ports(ctx context.Context, in *installation) (found []Finding) {
	database, _ := in.Config.StoreDatabase() // the check "database" reports an error
	running := store.Serving(database)
	for _, l := range httpListeners(in.Config) {
		if l.address == "" {
			continue
		}
		socket, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.address)
		if err == nil {
			err = socket.Close()
		}
		if errors.Is(err, syscall.EADDRINUSE) && ours(ctx, l) {
			running = true
			continue
		}
		found = append(found, portFinding(l.setting, l.address, "tcp", err)...)
	}
	for i, c := range in.Config.Carriers {
		if c.Type != config.CarrierSIP || c.SIP.Listen == "" || c.SIP.Transport != "" && c.SIP.Transport != "udp" {
			continue
		}
		socket, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", c.SIP.Listen)
		if err == nil {
			err = socket.Close()
		}
		if errors.Is(err, syscall.EADDRINUSE) && running {
			continue
		}
		found = append(found, portFinding(carrierKey(i, ".sip.listen"), c.SIP.Listen, "udp", err)...)
	}
	return found
}

func portFinding(setting, address, network string, err error) []Finding {
	_, port, _ := net.SplitHostPort(address) // a validated address has a port
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		list := "ss -ltnp"
		if network == "udp" {
			list = "ss -lunp"
		}
		return fail(setting, fmt.Sprintf("another program uses %s port %s", network, address),
			fmt.Sprintf("stop it (%s 'sport = :%s' shows it), or set another port", list, port))
	case errors.Is(err, syscall.EACCES):
		return fail(setting, fmt.Sprintf("%s may not listen on %s", userName(), address),
			"add AmbientCapabilities=CAP_NET_BIND_SERVICE to the unit, or set a port from 1024 on")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fail(setting, "this machine does not have the address "+address, "set an address of this machine (ip addr), or 0.0.0.0 for all")
	}
	return fail(setting, err.Error(), "set host:port of this machine")
}

// ours reports whether a server of this program listens there. Each listener answers
// /healthz in its own words.
func ours(ctx context.Context, l httpListener) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	scheme := "http"
	if l.tls {
		scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+l.address+"/healthz", nil)
	if err != nil {
		return false
	}
	req.Host = "localhost" // every listener accepts it
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // nothing secret is sent
	}}
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return false
	}
	switch l.setting {
	case "ops_listen":
		return res.StatusCode == http.StatusOK && strings.TrimSpace(string(body)) == "ok"
	case "admin.listen":
		return strings.HasPrefix(res.Header.Get("Content-Type"), web.ProblemType)
	}
	return res.StatusCode == http.StatusNotFound && strings.Contains(string(body), "Facility not allowed")
}

// receipts checks that HTTP gateways can reach /carriers/NAME/receipts.
func receipts(_ context.Context, in *installation) (found []Finding) {
	cfg := in.Config
	const remedy = "set server.public_url to the URL by which gateways reach this server, such as https://verify.example.com"
	for i, c := range cfg.Carriers {
		if c.Type != config.CarrierHTTPSMS || c.HTTP.Receipts.Secret == "" {
			continue
		}
		setting, path := carrierKey(i, ".http.receipts"), "/carriers/"+c.Name+"/receipts"
		switch {
		case cfg.Server.PublicURL == "" && cfg.PhoneExposed() == "":
			found = append(found, warn(setting, fmt.Sprintf("gateway %s cannot reach %s: listen is %s and no proxy is configured", c.Name, path, cfg.Listen),
				remedy+", and pass "+path+" on to it")...)
		case cfg.Server.PublicURL != "":
			found = append(found, publicURL(cfg, c.Name)...)
		}
	}
	return found
}

// publicURL checks the public URL without a connection.
func publicURL(cfg config.Config, gateway string) []Finding {
	u, err := url.Parse(cfg.Server.PublicURL)
	if err != nil {
		return nil // the validation reports it
	}
	host := u.Hostname()
	addr := net.ParseIP(host)
	const setting = "server.public_url"
	switch {
	case config.Loopback(net.JoinHostPort(host, "0")), addr != nil && (addr.IsPrivate() || addr.IsUnspecified() || addr.IsLinkLocalUnicast()):
		return warn(setting, fmt.Sprintf("receipts of gateway %s cannot reach %s, which is not an address of the public internet", gateway, u),
			"set a URL that the gateway can reach; ignore this if the gateway is in your own network")
	case (len(cfg.Server.Names) > 0 || config.Loopback(cfg.Listen)) && !named(cfg.Server.Names, host):
		return warn("server.names", fmt.Sprintf("receipts of gateway %s for %s get HTTP 421, unless the proxy replaces the Host header", gateway, host),
			"add "+host+" to server.names")
	}
	return nil
}

// named reports whether a host is one of the names of the server.
func named(names []string, host string) bool {
	for _, name := range names {
		parent, wild := strings.CutPrefix(name, "*.")
		if strings.EqualFold(name, host) || wild && strings.HasSuffix(strings.ToLower(host), "."+strings.ToLower(parent)) {
			return true
		}
	}
	return false
}
