// Package certificate serves TLS certificates from files. It reloads changed files, warns
// before a certificate expires, and exports the time of expiry.
//
// The package does not depend on HTTP or the configuration.
package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// Every is the interval between checks of the files of a listener.
	Every = 5 * time.Second
	// WarnBefore is the time before the expiry at which warnings start.
	WarnBefore = 14 * 24 * time.Hour
	// warnEvery is the interval between warnings.
	warnEvery = 24 * time.Hour
)

// Files are the paths of PEM files.
type Files struct {
	Cert     string // certificate, with its chain
	Key      string
	ClientCA string // authorities of client certificates; "" to request none
}

// Config is the configuration of the certificate of a listener.
type Config struct {
	Listener string // api or admin: in log lines, errors and the metric
	Files    Files
	Log      *slog.Logger
	Clock    clockwork.Clock
	Metrics  *Metrics
}

// Metrics are the metrics of all certificates.
type Metrics struct{ expiry *prometheus.GaugeVec }

// NewMetrics registers the metrics of certificates.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "countersign_tls_certificate_expiry_timestamp_seconds",
		Help: "Unix time at which the certificate in use expires, by listener: api or admin.",
	}, []string{"listener"})}
	reg.MustRegister(m.expiry)
	return m
}

// Source is the certificate of one listener. It is safe for concurrent use.
type Source struct {
	cfg    Config
	inUse  atomic.Pointer[material]
	mu     sync.Mutex
	files  Files
	stamps [3]stamp  // versions of the files at the last read
	failed string    // error of the last reload; "" after a success
	warned time.Time // time of the last log line about the expiry
}

// material is a certificate in use. Each TLS configuration has separate keys for session
// tickets, so a session cannot be resumed across a reload.
type material struct {
	config *tls.Config
	leaf   *x509.Certificate
}

// Open reads the files. It returns an error if they are unreadable or do not match.
func Open(cfg Config) (*Source, error) {
	s := &Source{cfg: cfg, files: cfg.Files}
	s.stamps = stamps(s.files)
	m, err := read(s.files)
	if err != nil {
		return nil, err
	}
	s.use(m)
	s.warn()
	return s, nil
}

// Server returns the TLS configuration of a listener. Each handshake uses the current
// certificate.
func (s *Source) Server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return s.inUse.Load().config, nil
		},
	}
}

// Check reloads the files if they have changed or if the last reload failed. If they do
// not match, the previous certificate remains in use and the error is logged once. Check
// also warns of an imminent expiry.
func (s *Source) Check() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := stamps(s.files); s.failed != "" || !slices.EqualFunc(now[:], s.stamps[:], stamp.equal) {
		s.retry()
	}
	s.warn()
}

// Reload reads files even if they are unchanged, and uses them from now on. On error the
// previous files and certificate remain in use.
func (s *Source) Reload(files Files) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.reload(files)
	s.warn()
	return err
}

// retry reloads the current files and logs an error unless it repeats the last one.
func (s *Source) retry() {
	switch err := s.reload(s.files); {
	case err == nil:
		s.cfg.Log.Info("certificate reloaded", "listener", s.cfg.Listener, "file", s.files.Cert, "expires", s.inUse.Load().leaf.NotAfter)
	case s.failed != err.Error():
		s.failed = err.Error()
		s.cfg.Log.Error("certificate not reloaded; the previous one stays in use until the files are complete and match",
			"listener", s.cfg.Listener, "expires", s.inUse.Load().leaf.NotAfter, "error", err)
	}
}

func (s *Source) reload(files Files) error {
	before := stamps(files) // before read, so that Check detects a change during it
	m, err := read(files)
	if err != nil {
		return err
	}
	s.files, s.stamps, s.failed = files, before, ""
	s.use(m)
	return nil
}

// use makes a certificate current. It resets s.warned, so that the next warn checks the
// new expiry immediately.
func (s *Source) use(m *material) {
	s.inUse.Store(m)
	s.warned = time.Time{}
	s.cfg.Metrics.expiry.WithLabelValues(s.cfg.Listener).Set(float64(m.leaf.NotAfter.Unix()))
}

// warn logs at most once a day that the certificate in use is invalid or expires soon.
func (s *Source) warn() {
	now, leaf := s.cfg.Clock.Now(), s.inUse.Load().leaf
	if since := now.Sub(s.warned); since >= 0 && since < warnEvery {
		return
	}
	var level slog.Level
	var problem string
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		level, problem = slog.LevelError, "certificate has expired and clients refuse it"
	case now.Before(leaf.NotBefore):
		level, problem = slog.LevelWarn, "certificate is not valid yet and clients refuse it"
	case left <= WarnBefore:
		level, problem = slog.LevelWarn, "certificate expires soon"
	default:
		return
	}
	s.cfg.Log.Log(context.Background(), level, problem+"; replace its files, which are reloaded without a restart",
		"listener", s.cfg.Listener, "file", s.files.Cert, "valid_from", leaf.NotBefore, "expires", leaf.NotAfter)
	s.warned = now
}

// read returns the material of files. It returns an error if they are unreadable or do not
// match.
func read(files Files) (*material, error) {
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if _, unread := errors.AsType[*fs.PathError](err); unread {
		return nil, err // contains the file name
	}
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", files.Cert, files.Key, err)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"}, // net/http adds these only to the configuration of Server
	}
	if files.ClientCA != "" {
		pem, err := os.ReadFile(files.ClientCA)
		if err != nil {
			return nil, fmt.Errorf("client_ca: %w", err)
		}
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("client_ca: no certificate in %s; it must be PEM", files.ClientCA)
		}
		config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return &material{config, pair.Leaf}, nil
}

// stamp identifies a version of a file, replaced by rename or written in place. The zero
// value means an unreadable file.
type stamp struct{ os.FileInfo }

func (a stamp) equal(b stamp) bool {
	if a.FileInfo == nil || b.FileInfo == nil {
		return a.FileInfo == b.FileInfo
	}
	return os.SameFile(a.FileInfo, b.FileInfo) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

func stamps(files Files) (list [3]stamp) {
	for i, path := range []string{files.Cert, files.Key, files.ClientCA} {
		if info, err := os.Stat(path); err == nil {
			list[i] = stamp{info}
		}
	}
	return list
}
