package server_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"countersign/internal/await"
	"countersign/internal/certificate"
	"countersign/internal/config"
	"countersign/internal/server"
	"countersign/internal/vault"
)

// issue writes a certificate that expires 90 days after now, with its key, and returns
// its serial number.
func issue(t *testing.T, dir string, now time.Time) (serial string) {
	t.Helper()
	made, cert, err := server.SelfSigned(now)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(made.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"cert.pem": cert, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path+".new", data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	leaf, err := x509.ParseCertificate(made.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf.SerialNumber.String()
}

// TestCertificates checks that both TLS listeners use a replaced certificate after the
// next scheduled check, and that its expiry is exported and logged.
func TestCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	clock := clockwork.NewFakeClockAt(time.Now())
	log := &journal{}
	opts := options(filepath.Join(dir, "countersign.db"), vault.NewKey())
	opts.Clock, opts.Log = clock, slog.New(slog.NewTextHandler(log, nil))
	files := config.TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	opts.Config.TLS = files
	opts.Config.Admin.Listen, opts.Config.Admin.TokenFile = "127.0.0.1:0", filepath.Join(dir, "token")
	opts.Config.Admin.TLS = config.AdminTLS{Cert: files.Cert, Key: files.Key}
	first := issue(t, dir, clock.Now())
	r := run(t, opts)
	defer r.halt()
	defer clock.Advance(time.Hour) // ends the drain
	shown := func(address string) string {
		t.Helper()
		conn, err := tls.Dial("tcp", strings.TrimPrefix(address, "https://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	for _, address := range []string{r.URL(), r.AdminURL()} {
		if got := shown(address); got != first {
			t.Errorf("%s shows %s, want %s", address, got, first)
		}
	}
	second := issue(t, dir, clock.Now().Add(-80*24*time.Hour)) // 10 days are left
	await.Until(t, "in use: the new certificate", func() bool {
		if shown(r.URL()) == second && shown(r.AdminURL()) == second {
			return true
		}
		clock.Advance(certificate.Every)
		return false
	})
	res, err := http.Get(r.OpsURL() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, listener := range []string{"api", "admin"} {
		if want := `countersign_tls_certificate_expiry_timestamp_seconds{listener="` + listener + `"} 1.`; !strings.Contains(string(body), want) {
			t.Errorf("%s is not in the metrics", want)
		}
		if want := `"certificate expires soon; replace its files, which are reloaded without a restart" listener=` + listener; strings.Count(log.String(), want) != 1 {
			t.Errorf("want exactly one %s in the log\n%s", want, log)
		}
	}
}
