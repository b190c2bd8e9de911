package config

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
)

// Admin says where the admin API is served, to whom, and how the command line finds
// it.
type Admin struct {
	Listen    string   `yaml:"listen"`     // host:port; "" for none
	TokenFile string   `yaml:"token_file"` // path of the tokens; made when missing; "" for client certificates only
	TLS       AdminTLS `yaml:"tls"`

	URL    string      `yaml:"url"`    // where the command line finds it, when it is not on this machine
	Client AdminClient `yaml:"client"` // of the command line
}

// AdminTLS names the certificate of the admin API, and whose certificates it takes
// for a token. All paths are of PEM files.
type AdminTLS struct {
	Cert     string `yaml:"cert"`
	Key      string `yaml:"key"`
	ClientCA string `yaml:"client_ca"` // "" when certificates are not taken
}

// AdminClient is what the command line shows to the admin API, and what it trusts. All
// paths are of PEM files.
type AdminClient struct {
	CA   string `yaml:"ca"`   // "" for those of the system
	Cert string `yaml:"cert"` // "" to show a token only
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
		p.addf("admin.listen", "can be reached from other machines: give admin.tls.cert and admin.tls.key, or an address of the loopback")
	}
	if a.TLS.ClientCA != "" && a.TLS.Cert == "" {
		p.addf("admin.tls.client_ca", "cannot be used without admin.tls.cert")
	}
	if a.TokenFile == "" && a.TLS.ClientCA == "" {
		p.addf("admin.token_file", "must be given, or admin.tls.client_ca, so that somebody is let in")
	}
}

// CheckURL reports why the command line cannot ask at URL.
func (a Admin) CheckURL() error {
	if a.URL == "" {
		return nil
	}
	u, err := url.Parse(a.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("must be an http or https URL, such as https://verify.example.com:9443")
	}
	if u.Scheme == "http" && !Loopback(net.JoinHostPort(u.Hostname(), "0")) {
		return errors.New("must be https, but for the loopback: a token must not go over a network in clear")
	}
	return nil
}

// Loopback reports whether an address (host:port) can only be reached from this
// machine.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// CarrierNames lists the carriers by their names.
func (c Config) CarrierNames() []string {
	var names []string
	for _, carrier := range c.Carriers {
		names = append(names, carrier.Name)
	}
	return names
}
