package config

import (
	"fmt"
	"net/url"
	"slices"
)

// SecretFile is a file that only the server's user should be able to read.
type SecretFile struct {
	Setting string // such as admin.token_file
	Path    string
}

// SecretFiles returns the configured files with secrets. path is the configuration file,
// or ""; it is included if the configuration has a password.
func (c Config) SecretFiles(path string) []SecretFile {
	list := []SecretFile{
		{"key_file", c.KeyFile},
		{"admin.token_file", c.Admin.TokenFile},
		{"tls.key", c.TLS.Key},
		{"admin.tls.key", c.Admin.TLS.Key},
		{"admin.client.key", c.Admin.Client.Key},
	}
	inline := hasPassword(c.Database)
	for i, carrier := range c.Carriers {
		list = append(list,
			SecretFile{fmt.Sprintf("carriers[%d].smpp.password_file", i), carrier.SMPP.PasswordFile},
			SecretFile{fmt.Sprintf("carriers[%d].http.basic_password_file", i), carrier.HTTP.BasicPasswordFile},
			SecretFile{fmt.Sprintf("carriers[%d].sip.password_file", i), carrier.SIP.PasswordFile},
		)
		inline = inline || carrier.SMPP.Password != "" || carrier.SIP.Password != "" || carrier.HTTP.BasicPassword != "" ||
			carrier.HTTP.Receipts.Secret != ""
	}
	if inline {
		list = append(list, SecretFile{"--config", path})
	}
	return slices.DeleteFunc(list, func(f SecretFile) bool { return f.Path == "" })
}

// hasPassword reports whether a database URL has a password.
func hasPassword(database string) bool {
	u, err := url.Parse(database)
	if err != nil {
		return false
	}
	_, set := u.User.Password()
	return set || u.Query().Get("password") != ""
}
