package check

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"countersign/internal/config"
	"countersign/internal/deliver"
	"countersign/internal/deliver/sip"
	"countersign/internal/deliver/smpp"
	"countersign/internal/server"
)

// connectTimeout bounds the time for one connection, with a bind or a response.
const connectTimeout = 12 * time.Second

// probe connects to one part of a carrier.
type probe struct {
	setting, what, remedy string
	severity              Severity
	do                    func(context.Context) error
}

// connect connects to every carrier at the same time, and to the public URL. A carrier of
// another type has no connection.
func connect(ctx context.Context, in *installation) (found []Finding) {
	probes := probesOf(in)
	errs := make([]error, len(probes))
	var running sync.WaitGroup
	for i, p := range probes {
		running.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, connectTimeout)
			defer cancel()
			errs[i] = p.do(ctx)
		})
	}
	running.Wait()
	for i, p := range probes {
		switch {
		case errors.Is(errs[i], context.DeadlineExceeded):
			errs[i] = fmt.Errorf("no answer in %s", connectTimeout)
		case errs[i] == nil:
			continue
		}
		found = append(found, Finding{"", p.severity, p.setting, p.what + ": " + errs[i].Error(), p.remedy})
	}
	return found
}

func probesOf(in *installation) (list []probe) {
	receipts := false
	for i, c := range in.Config.Carriers {
		switch c.Type {
		case config.CarrierSMPP:
			for j, address := range c.SMPP.Addresses {
				list = append(list, probe{
					carrierKey(i, fmt.Sprintf(".smpp.addresses[%d]", j)), "bind of carrier " + c.Name + " to " + address,
					"check address, tls, system_id and password, whether the carrier knows the address of this machine, and whether all of its binds are in use",
					Error, func(ctx context.Context) error { return bindOnce(ctx, in, c, address) },
				})
			}
		case config.CarrierSIP:
			what, remedy := "options", "check host and transport, and whether a firewall lets SIP through"
			if c.SIP.Register {
				what, remedy = "registration", "check host, transport, user and password"
			}
			list = append(list, probe{carrierKey(i, ".sip.host"), what + " of trunk " + c.Name + " at " + c.SIP.Host, remedy, Error, func(ctx context.Context) error {
				cfg, err := server.SIPConfig(c)
				if err != nil {
					return nil //nolint:nilerr // the check "carrier settings" reports it
				}
				return sip.Probe(ctx, cfg)
			}})
		case config.CarrierHTTPSMS:
			list = append(list, probe{carrierKey(i, ".http.url"), "connection of gateway " + c.Name,
				"check the host in the URL, and whether a firewall lets the connection through", Error,
				func(ctx context.Context) error { return dial(ctx, c.HTTP.URL) }})
			if c.HTTP.Receipts.Secret != "" && in.Config.Server.PublicURL != "" && !receipts {
				receipts = true
				list = append(list, probe{"server.public_url", "receipts of gateway " + c.Name,
					"start the server, and have the proxy pass /carriers/ on to it", Warning,
					func(ctx context.Context) error { return fetch(ctx, in.Config.Server.PublicURL, c.Name) }})
			}
		}
	}
	return list
}

// bindOnce binds to one address as a transmitter, so that receipts for a
// running server do not come here, and unbinds.
func bindOnce(ctx context.Context, in *installation, c config.Carrier, address string) error {
	cfg, err := server.SMPPConfig(c)
	if err != nil {
		return nil //nolint:nilerr // the check "carrier settings" reports it
	}
	cfg.Mode, cfg.Binds, cfg.Addresses, cfg.Log, cfg.Reports = smpp.Transmitter, 1, []string{address}, in.Log, deliver.NoReports()
	carrier, err := smpp.New(cfg)
	if err != nil {
		return err
	}
	return errors.Join(carrier.Bound(ctx), carrier.Close())
}

// dial connects to the host of a URL, over TLS for https. It sends no request, which might
// be a message.
func dial(ctx context.Context, target string) error {
	u, err := url.Parse(target)
	if err != nil || strings.Contains(u.Host, "{{") {
		return nil //nolint:nilerr // the host depends on the account
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	address := net.JoinHostPort(u.Hostname(), port)
	var conn net.Conn
	if u.Scheme == "https" {
		conn, err = (&tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS12}}).DialContext(ctx, "tcp", address)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}
	if err != nil {
		return err
	}
	return conn.Close()
}

// fetch requests the receipt path of a gateway without its secret. The response of a server is
// 401.
func fetch(ctx context.Context, public, gateway string) error {
	target := strings.TrimSuffix(public, "/") + "/carriers/" + gateway + "/receipts"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	if err := res.Body.Close(); err != nil {
		return err
	}
	if res.StatusCode != http.StatusUnauthorized {
		return fmt.Errorf("%s answers %s in place of 401 Unauthorized", target, res.Status)
	}
	return nil
}
