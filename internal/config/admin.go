package config

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
)

// Admin configures the admin API and the command line's access to it.
type Admin struct {
	Listen    string   `yaml:"listen"`     // host:port; "" to disable the API
	TokenFile string   `yaml:"token_file"` // path of the tokens; created if missing; "" for client certificates only
	TLS       AdminTLS `yaml:"tls"`

	URL    string      `yaml:"url"`    // URL for the command line; "" if the API is on this machine
	Client AdminClient `yaml:"client"` // TLS files of the command line
}

// AdminTLS holds the TLS files of the admin API. All paths are of PEM files.
type AdminTLS struct {
	Cert     string `yaml:"cert"`
	Key      string `yaml:"key"`
	ClientCA string `yaml:"client_ca"` // CA of client certificates accepted in place of a token; "" for tokens only
}

// AdminClient holds the TLS files of the command line. All paths are of PEM files.
type AdminClient struct {
	CA   string `yaml:"ca"`   // trusted CA certificates; "" for the system CAs
	Cert string `yaml:"cert"` // client certificate; "" for tokens only
	Key  string `yaml:"key"`
}

func (a Admin) validate(p *problems) {
	pair := func(key, cert, secret string) {
		switch {
		case cert == "" && secret != "":
			p.addf(key+".cert", "must be given with %s.key", key)
		case cert != "" && secret == "":
			p.addf(key+".key", "must be given with %s.cert", key)
		}
	}
	pair("admin.tls", a.TLS.Cert, a.TLS.Key)
	pair("admin.client", a.Client.Cert, a.Client.Key)
	p.add("admin.url", a.CheckURL())
	if a.Listen == "" {
		return
	}
	err := checkAddress(a.Listen)
	p.add("admin.listen", err)
	if err == nil && a.TLS.Cert == "" && !Loopback(a.Listen) {
		p.addf("admin.listen", "can be reached from other machines: set admin.tls.cert and admin.tls.key, or use a loopback address")
	}
	if a.TLS.ClientCA != "" && a.TLS.Cert == "" {
		p.addf("admin.tls.client_ca", "cannot be used without admin.tls.cert")
	}
	if a.TokenFile == "" && a.TLS.ClientCA == "" {
		p.addf("admin.token_file", "is required unless admin.tls.client_ca is set")
	}
}

// CheckURL returns an error if URL is not usable by the command line.
func (a Admin) CheckURL() error {
	if a.URL == "" {
		return nil
	}
	u, err := url.Parse(a.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("must be an http or https URL, such as https://verify.example.com:9443")
	}
	if u.Scheme == "http" && !Loopback(net.JoinHostPort(u.Hostname(), "0")) {
		return errors.New("must be https, except on the loopback: the token must not cross a network unencrypted")
	}
	return nil
}

// Loopback reports whether an address (host:port) is reachable only from this machine.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// CarrierNames returns the names of the carriers.
func (c Config) CarrierNames() []string {
	var names []string
	for _, carrier := range c.Carriers {
		names = append(names, carrier.Name)
	}
	return names
}
