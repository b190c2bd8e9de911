package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"countersign/internal/certificate"
	"countersign/internal/config"
)

// pair is a certificate of the configuration with its key.
type pair struct{ setting, cert, key string }

func pairs(cfg config.Config) (list []pair) {
	for _, p := range []pair{
		{"tls.cert", cfg.TLS.Cert, cfg.TLS.Key},
		{"admin.tls.cert", cfg.Admin.TLS.Cert, cfg.Admin.TLS.Key},
		{"admin.client.cert", cfg.Admin.Client.Cert, cfg.Admin.Client.Key},
	} {
		if p.cert != "" {
			list = append(list, p)
		}
	}
	return list
}

// certificates checks that certificates can be used now and for some time, and that files
// with authorities contain certificates.
func certificates(_ context.Context, in *installation) (found []Finding) {
	for _, p := range pairs(in.Config) {
		loaded, err := tls.LoadX509KeyPair(p.cert, p.key)
		if err != nil {
			found = append(found, fail(p.setting, fmt.Sprintf("certificate %s with key %s: %v", p.cert, p.key, err),
				"provide a certificate and its key, both in PEM and readable for "+userName())...)
			continue
		}
		found = append(found, valid(p.setting, p.cert, loaded.Leaf, in.Now())...)
	}
	for _, ca := range []struct{ setting, path string }{
		{"admin.tls.client_ca", in.Config.Admin.TLS.ClientCA},
		{"admin.client.ca", in.Config.Admin.Client.CA},
	} {
		if ca.path == "" {
			continue
		}
		text, err := os.ReadFile(ca.path)
		switch {
		case err != nil:
			found = append(found, fail(ca.setting, err.Error(), "provide the file, readable for "+userName())...)
		case !x509.NewCertPool().AppendCertsFromPEM(text):
			found = append(found, fail(ca.setting, "file "+ca.path+" has no certificate", "replace it with the PEM file of the authority")...)
		}
	}
	return found
}

// valid judges the time for which a certificate is valid.
func valid(setting, path string, leaf *x509.Certificate, now time.Time) []Finding {
	const renew = "renew it and replace its files, which a running server reloads within 5 s"
	left := leaf.NotAfter.Sub(now)
	switch {
	case left <= 0:
		return fail(setting, fmt.Sprintf("certificate %s expired on %s, and clients refuse it", path, leaf.NotAfter.UTC().Format(time.DateOnly)), renew)
	case now.Before(leaf.NotBefore):
		return warn(setting, fmt.Sprintf("certificate %s is not valid before %s", path, leaf.NotBefore.UTC().Format(time.RFC3339)), "check the clock of this machine, or use another certificate")
	case left <= certificate.WarnBefore:
		return warn(setting, fmt.Sprintf("certificate %s expires in %d days, on %s", path, int(left.Hours()/24), leaf.NotAfter.UTC().Format(time.DateOnly)), renew)
	}
	return nil
}

// certificateNames checks that the certificate of the API has the names by which clients
// address the server.
func certificateNames(_ context.Context, in *installation) (found []Finding) {
	cfg := in.Config
	loaded, err := tls.LoadX509KeyPair(cfg.TLS.Cert, cfg.TLS.Key)
	if err != nil {
		return nil // the check "certificates" reports it
	}
	names := map[string]string{} // setting by name
	var order []string
	for i, name := range cfg.Server.Names {
		if !strings.HasPrefix(name, "*.") {
			names[name], order = fmt.Sprintf("server.names[%d]", i), append(order, name)
		}
	}
	if u, err := url.Parse(cfg.Server.PublicURL); err == nil && u.Scheme == "https" && names[u.Hostname()] == "" {
		names[u.Hostname()], order = "server.public_url", append(order, u.Hostname())
	}
	for _, name := range order {
		if err := loaded.Leaf.VerifyHostname(name); err != nil {
			found = append(found, warn(names[name], fmt.Sprintf("certificate %s is not for %s, so clients refuse it there", cfg.TLS.Cert, name),
				"use a certificate with this name, or remove the name")...)
		}
	}
	return found
}
