package adminapi_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"countersign/internal/adminapi"
	"countersign/internal/config"
	"countersign/internal/server"
)

// authority issues certificates.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign(pkix.Name{CommonName: name}, nil, nil)
	a.save(name+".pem", "CERTIFICATE", a.cert.Raw)
	return a
}

// sign creates a certificate; without a parent it is self-signed.
func (a *authority) sign(subject pkix.Name, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(a.t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must(a.t, err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: subject, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: parent == nil, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	must(a.t, err)
	cert, err := x509.ParseCertificate(der)
	must(a.t, err)
	return cert, key
}

func (a *authority) save(name, kind string, der []byte) (path string) {
	a.t.Helper()
	path = filepath.Join(a.dir, name)
	must(a.t, writeFile(path, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))))
	return path
}

// issue creates files with a certificate and its key.
func (a *authority) issue(subject pkix.Name) (cert, key string) {
	a.t.Helper()
	c, k := a.sign(subject, a.cert, a.key)
	der, err := x509.MarshalPKCS8PrivateKey(k)
	must(a.t, err)
	return a.save(subject.CommonName+".pem", "CERTIFICATE", c.Raw), a.save(subject.CommonName+".key", "PRIVATE KEY", der)
}

// TestCertificates checks that only a certificate of the configured authority replaces a
// token, under its own name.
func TestCertificates(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	o := start(t, func(opts *server.Options) {
		cert, key := ours.issue(pkix.Name{CommonName: "server"})
		opts.Config.Admin.TLS = config.AdminTLS{Cert: cert, Key: key, ClientCA: filepath.Join(ours.dir, "ours.pem")}
	})
	// as returns a client with a certificate and an optional token.
	as := func(a *authority, subject pkix.Name, token string) *adminapi.Client {
		conf := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		conf.RootCAs.AddCert(ours.cert)
		if a != nil {
			pair, err := tls.LoadX509KeyPair(a.issue(subject))
			must(t, err)
			conf.Certificates = []tls.Certificate{pair}
		}
		transport := &http.Transport{TLSClientConfig: conf}
		t.Cleanup(transport.CloseIdleConnections)
		return &adminapi.Client{URL: o.AdminURL(), Token: token, HTTP: &http.Client{Transport: checked{t, loadDocument(t), transport}}}
	}
	bar := adminapi.Request{Method: "POST", Path: "/accounts/demo0001/bar"}
	must(t, as(ours, pkix.Name{CommonName: "anna"}, "").Do(t.Context(), bar, nil))
	if p := refused(t, as(ours, pkix.Name{CommonName: "board", OrganizationalUnit: []string{"read-only"}}, ""), bar); p.Status != 403 {
		t.Errorf("read-only certificate: %+v", p)
	}
	if p := refused(t, as(nil, pkix.Name{}, ""), bar); p.Status != 401 {
		t.Errorf("without a certificate: %+v", p)
	}
	if p := refused(t, as(ours, pkix.Name{CommonName: "anna"}, other), bar); p.Status != 401 {
		t.Errorf("with a wrong token: %+v", p)
	}
	if err := as(theirs, pkix.Name{CommonName: "anna"}, "").Do(t.Context(), bar, nil); err == nil {
		t.Error("the certificate of another authority is accepted")
	}
	token, err := adminapi.ReadToken(o.tokenFile)
	must(t, err)
	var log adminapi.AuditLog
	must(t, as(nil, pkix.Name{}, token).Do(t.Context(), get("/audit"), &log))
	if len(log.Entries) != 1 || log.Entries[0].Who != "cert:anna" {
		t.Errorf("logged %+v", log)
	}
}
