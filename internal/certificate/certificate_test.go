package certificate_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/certificate"
)

// pair returns a certificate for localhost and its key, in PEM.
type pair struct{ cert, key []byte }

func issue(t *testing.T, name string, from, until time.Time) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: from, NotAfter: until, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
}

// journal collects log lines.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(b)
}

func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.buf.String(), text)
}

// site is an HTTPS server with a certificate from files.
type site struct {
	*certificate.Source

	t     *testing.T
	dir   string
	files certificate.Files
	clock *clockwork.FakeClock
	log   *journal
	reg   *prometheus.Registry
	url   string
}

var epoch = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func open(t *testing.T, first pair) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), clock: clockwork.NewFakeClockAt(epoch), log: &journal{}, reg: prometheus.NewRegistry()}
	s.files = certificate.Files{Cert: filepath.Join(s.dir, "cert.pem"), Key: filepath.Join(s.dir, "key.pem")}
	s.write(s.files.Cert, first.cert)
	s.write(s.files.Key, first.key)
	var err error
	if s.Source, err = certificate.Open(certificate.Config{
		Listener: "api", Files: s.files, Log: slog.New(slog.NewTextHandler(s.log, nil)), Clock: s.clock, Metrics: certificate.NewMetrics(s.reg),
	}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto) // checked by the client
	}))
	server.TLS, server.EnableHTTP2 = s.Server(), true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *site) write(path string, data []byte) {
	s.t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// rename replaces a file like certbot and Kubernetes.
func (s *site) rename(path string, data []byte) {
	s.t.Helper()
	s.write(path+".new", data)
	if err := os.Rename(path+".new", path); err != nil {
		s.t.Fatal(err)
	}
}

// serves requires that the server presents the certificate of a name and uses HTTP/2.
func (s *site) serves(name string) {
	s.t.Helper()
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Get(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.TLS.PeerCertificates[0].Subject.CommonName; got != name || res.ProtoMajor != 2 {
		s.t.Errorf("the server presents the certificate of %q over %s, want %q over HTTP/2", got, res.Proto, name)
	}
}

// TestReload: replaced files are in use after the next check, for every method of
// replacement. Until they match, the previous pair remains in use.
func TestReload(t *testing.T) {
	t.Parallel()
	next := func(t *testing.T) pair { t.Helper(); return issue(t, "new", epoch.Add(-day), epoch.Add(90*day)) }
	for name, tt := range map[string]struct {
		steps  func(s *site, p pair) []func()
		errors int
	}{
		"renamed": {func(s *site, p pair) []func() {
			return []func(){func() { s.rename(s.files.Cert, p.cert); s.rename(s.files.Key, p.key) }}
		}, 0},
		"in place": {func(s *site, p pair) []func() {
			return []func(){func() { s.write(s.files.Cert, p.cert); s.write(s.files.Key, p.key) }}
		}, 0},
		"certificate first": {func(s *site, p pair) []func() {
			return []func(){func() { s.rename(s.files.Cert, p.cert) }, func() {}, func() { s.rename(s.files.Key, p.key) }}
		}, 1},
		"key first": {func(s *site, p pair) []func() {
			return []func(){func() { s.write(s.files.Key, p.key) }, func() {}, func() { s.write(s.files.Cert, p.cert) }}
		}, 1},
		"half a file": {func(s *site, p pair) []func() {
			s.rename(s.files.Key, p.key)
			return []func(){func() { s.write(s.files.Cert, p.cert[:len(p.cert)/2]) }, func() {}, func() { s.write(s.files.Cert, p.cert) }}
		}, 1},
		"removed": {func(s *site, p pair) []func() {
			return []func(){
				func() { _ = os.Remove(s.files.Cert) }, func() {},
				func() { s.write(s.files.Cert, p.cert); s.write(s.files.Key, p.key) },
			}
		}, 1},
		"a directory behind a link": {func(s *site, p pair) []func() {
			return []func(){func() {
				other := filepath.Join(s.dir, "..data")
				if err := os.Mkdir(other, 0o700); err != nil {
					s.t.Fatal(err)
				}
				for path, data := range map[string][]byte{s.files.Cert: p.cert, s.files.Key: p.key} {
					target := filepath.Join(other, filepath.Base(path))
					s.write(target, data)
					_ = os.Remove(path)
					if err := os.Symlink(target, path); err != nil {
						s.t.Fatal(err)
					}
				}
			}}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, issue(t, "old", epoch.Add(-day), epoch.Add(60*day)))
			s.Check()
			s.serves("old")
			steps := tt.steps(s, next(t))
			for i, step := range steps {
				step()
				s.Check()
				if i < len(steps)-1 {
					s.serves("old")
				}
			}
			s.serves("new")
			s.Check() // unchanged files
			if got := s.log.count("certificate not reloaded"); got != tt.errors {
				t.Errorf("logged %d errors, want %d:\n%s", got, tt.errors, s.log.buf.String())
			}
			if got := s.log.count("certificate reloaded"); got != 1 {
				t.Errorf("logged %d reloads, want 1:\n%s", got, s.log.buf.String())
			}
			if got, want := expiry(t, s.reg), float64(epoch.Add(90*day).Unix()); got != want {
				t.Errorf("the metric is %.0f, want %.0f", got, want)
			}
		})
	}
}

func expiry(t *testing.T, reg *prometheus.Registry) float64 {
	t.Helper()
	const name = "countersign_tls_certificate_expiry_timestamp_seconds"
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) != 1 || families[0].GetName() != name || len(families[0].GetMetric()) != 1 {
		t.Fatalf("got %v, want one series of %s", families, name)
	}
	m := families[0].GetMetric()[0]
	if l := m.GetLabel()[0]; l.GetName() != "listener" || l.GetValue() != "api" {
		t.Errorf("the label is %s", l)
	}
	return m.GetGauge().GetValue()
}

// TestExpiry: a warning is logged once a day from 14 days before the expiry, an error
// after it, and neither after a renewal.
func TestExpiry(t *testing.T) {
	t.Parallel()
	const soon, expired = "certificate expires soon", "certificate has expired"
	s := open(t, issue(t, "old", epoch.Add(-day), epoch.Add(20*day)))
	for now := time.Duration(0); now < 30*day; now += 6 * time.Hour {
		s.Check()
		left := 20*day - now
		wantSoon, wantExpired := 0, 0
		if left <= 14*day {
			wantSoon = min(1+int((now-6*day)/day), 14)
		}
		if left <= 0 {
			wantExpired = 1 + int(-left/day)
		}
		if a, b := s.log.count(soon), s.log.count(expired); a != wantSoon || b != wantExpired {
			t.Fatalf("after %s: %d warnings and %d errors, want %d and %d", now, a, b, wantSoon, wantExpired)
		}
		s.clock.Advance(6 * time.Hour)
	}
	if got, want := s.log.count("level=ERROR"), s.log.count(expired); got != want {
		t.Errorf("%d errors, want %d", got, want)
	}
	before := s.log.count(soon) + s.log.count(expired)
	p := issue(t, "new", epoch, epoch.Add(120*day))
	s.rename(s.files.Cert, p.cert)
	s.rename(s.files.Key, p.key)
	for range 10 {
		s.Check()
		s.clock.Advance(day)
	}
	s.serves("new")
	if got := s.log.count(soon) + s.log.count(expired); got != before {
		t.Errorf("%d lines about the expiry after the renewal", got-before)
	}
}

// TestInvalidAtOnce: a certificate that is expired or not yet valid at the start is
// logged immediately, and served.
func TestInvalidAtOnce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		from, until time.Duration
		want        string
	}{
		"expired":     {-10 * day, -day, "level=ERROR msg=\"certificate has expired"},
		"in the past": {-10 * day, day, "level=WARN msg=\"certificate expires soon"},
		"future":      {day, 90 * day, "level=WARN msg=\"certificate is not valid yet"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, issue(t, name, epoch.Add(tt.from), epoch.Add(tt.until)))
			if s.log.count(tt.want) != 1 {
				t.Errorf("the log is\n%s", s.log.buf.String())
			}
			s.serves(name)
		})
	}
}

// TestReloadOther: other files are used if they are valid, otherwise ignored.
func TestReloadOther(t *testing.T) {
	t.Parallel()
	s := open(t, issue(t, "old", epoch, epoch.Add(60*day)))
	other := certificate.Files{Cert: filepath.Join(s.dir, "other.pem"), Key: filepath.Join(s.dir, "other-key.pem")}
	if err := s.Reload(other); err == nil || !strings.Contains(err.Error(), "other.pem") {
		t.Errorf("files that do not exist: %v", err)
	}
	s.Check()
	s.serves("old")
	p := issue(t, "other", epoch, epoch.Add(60*day))
	s.write(other.Cert, p.cert)
	s.write(other.Key, p.key)
	if err := s.Reload(other); err != nil {
		t.Fatal(err)
	}
	s.serves("other")
	p = issue(t, "next", epoch, epoch.Add(60*day))
	s.rename(other.Cert, p.cert)
	s.rename(other.Key, p.key)
	s.Check()
	s.serves("next")
}

// TestClientCA: the authorities of client certificates are reloaded as well.
func TestClientCA(t *testing.T) {
	t.Parallel()
	s := open(t, issue(t, "server", epoch, epoch.Add(60*day)))
	client, stranger := issue(t, "client", time.Now().Add(-day), time.Now().Add(day)), issue(t, "stranger", epoch, epoch.Add(60*day))
	with := s.files
	with.ClientCA = filepath.Join(s.dir, "ca.pem")
	s.write(with.ClientCA, stranger.cert)
	if err := s.Reload(with); err != nil {
		t.Fatal(err)
	}
	accepted := func() bool {
		key, err := tls.X509KeyPair(client.cert, client.key)
		if err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{TLSClientConfig: &tls.Config{
			InsecureSkipVerify: true,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &key, nil
			},
		}}
		defer transport.CloseIdleConnections()
		res, err := (&http.Client{Transport: transport}).Get(s.url)
		if err != nil {
			return false
		}
		return res.Body.Close() == nil
	}
	if accepted() {
		t.Error("accepted a client of another authority")
	}
	s.rename(with.ClientCA, client.cert)
	s.Check()
	if !accepted() {
		t.Error("refused a client of the new authority")
	}
	s.rename(with.ClientCA, []byte("no PEM"))
	s.Check()
	if !accepted() || s.log.count("certificate not reloaded") != 1 {
		t.Errorf("a damaged file changed the accepted authorities; the log is\n%s", s.log.buf.String())
	}
}

// TestOpen: errors contain the file name.
func TestOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := issue(t, "a", epoch, epoch.Add(day))
	good, key, bad := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "bad.pem")
	for path, data := range map[string][]byte{good: p.cert, key: p.key, bad: issue(t, "b", epoch, epoch.Add(day)).key} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, files := range map[string]certificate.Files{
		"nothing.pem":   {Cert: filepath.Join(dir, "nothing.pem"), Key: key},
		"bad.pem":       {Cert: good, Key: bad},
		"client_ca":     {Cert: good, Key: key, ClientCA: bad},
		"authority.pem": {Cert: good, Key: key, ClientCA: filepath.Join(dir, "authority.pem")},
	} {
		_, err := certificate.Open(certificate.Config{
			Listener: "api", Files: files, Log: slog.New(slog.DiscardHandler), Clock: clockwork.NewFakeClock(),
			Metrics: certificate.NewMetrics(prometheus.NewRegistry()),
		})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
