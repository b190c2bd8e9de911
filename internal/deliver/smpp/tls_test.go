package smpp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver/smpp"
	"countersign/internal/deliver/smpp/smsc"
)

// TestTLS: a bind over TLS succeeds only with a valid certificate.
func TestTLS(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		DNSNames: []string{"smsc.example"}, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	known := x509.NewCertPool()
	known.AddCert(certificate)
	far := smsc.Config{TLS: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, MaxMessages: 100}
	tests := []struct {
		name   string
		config *tls.Config
		want   string // part of the error; "" for success
	}{
		{"known", &tls.Config{RootCAs: known, ServerName: "smsc.example"}, ""},
		{"unknown", &tls.Config{ServerName: "smsc.example"}, "certificate"},
		{"another name", &tls.Config{RootCAs: known, ServerName: "other.example"}, "other.example"},
		{"plain", nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			far := far
			if tt.config == nil {
				far.TLS = nil
			}
			d := open(t, far, func(c *smpp.Config) { c.TLS = tt.config })
			err := d.Bound(t.Context())
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("bound with %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			send(t, d, 3)
			d.awaitReceipts(3)
			d.smsc.DropAll()
			await.Until(t, "bound again", func() bool { _, err := d.Send(t.Context(), sms("again")); return err == nil })
		})
	}
}
