// Package certificate serves TLS certificates from files. It reloads files that change,
// warns before a certificate expires, and exports the time of expiry.
//
// The package must not know HTTP or the configuration.
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
	// Every is the time between two looks at the files of a listener.
	Every = 5 * time.Second
	// WarnBefore is the time before the expiry from which on a warning is logged.
	WarnBefore = 14 * 24 * time.Hour
	// warnEvery is the time between two such warnings.
	warnEvery = 24 * time.Hour
)

// Files are the paths of PEM files.
type Files struct {
	Cert     string // certificate, with its chain
	Key      string
	ClientCA string // authorities of client certificates; "" if they are not requested
}

// Config describes the certificate of a listener.
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

// Source is the certificate of one listener. Its methods may be called concurrently.
type Source struct {
	cfg    Config
	inUse  atomic.Pointer[material]
	mu     sync.Mutex
	files  Files
	stamps [3]stamp  // versions of the files when they were last read
	failed string    // error of the last reload; "" after a success
	warned time.Time // time of the last line about the expiry
}

// material is a certificate in use. Each TLS configuration has its own keys of session
// tickets, so a session cannot be resumed across a reload.
type material struct {
	config *tls.Config
	leaf   *x509.Certificate
}

// Open reads the files. It fails if the server could not start with them.
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

// Server returns the configuration of a listener. Each handshake uses the certificate
// that is in use then.
func (s *Source) Server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return s.inUse.Load().config, nil
		},
	}
}

// Check reloads files that have changed since they were read, or whose last reload
// failed. If they do not fit together, the previous certificate stays in use, and the
// error is logged once. It also logs an expiry that is near.
func (s *Source) Check() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := stamps(s.files); s.failed != "" || !slices.EqualFunc(now[:], s.stamps[:], stamp.equal) {
		s.retry()
	}
	s.warn()
}

// Reload reads files, whether or not they have changed, and uses them from now on. On an
// error the previous files and certificate stay in use.
func (s *Source) Reload(files Files) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.reload(files)
	s.warn()
	return err
}

// retry reloads the present files and logs the first of equal errors.
func (s *Source) retry() {
	switch err := s.reload(s.files); {
	case err == nil:
		s.cfg.Log.Info("certificate reloaded", "listener", s.cfg.Listener, "file", s.files.Cert, "expires", s.inUse.Load().leaf.NotAfter)
	case s.failed != err.Error():
		s.failed = err.Error()
		s.cfg.Log.Error("certificate not reloaded; the previous one stays in use until the files are complete and fit together",
			"listener", s.cfg.Listener, "expires", s.inUse.Load().leaf.NotAfter, "error", err)
	}
}

func (s *Source) reload(files Files) error {
	before := stamps(files) // a change while they are read differs
	m, err := read(files)
	if err != nil {
		return err
	}
	s.files, s.stamps, s.failed = files, before, ""
	s.use(m)
	return nil
}

// use takes a certificate for all handshakes from now on. The next warn logs an expiry
// that is near, whenever the last line was.
func (s *Source) use(m *material) {
	s.inUse.Store(m)
	s.warned = time.Time{}
	s.cfg.Metrics.expiry.WithLabelValues(s.cfg.Listener).Set(float64(m.leaf.NotAfter.Unix()))
}

// warn logs, once a day, that the certificate in use is invalid or expires soon.
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

// read returns the material of files that are complete and fit together.
func read(files Files) (*material, error) {
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if _, unread := errors.AsType[*fs.PathError](err); unread {
		return nil, err // with the name of the file
	}
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", files.Cert, files.Key, err)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"}, // net/http adds them to the configuration of Server only
	}
	if files.ClientCA != "" {
		pem, err := os.ReadFile(files.ClientCA)
		if err != nil {
			return nil, fmt.Errorf("client_ca: %w", err)
		}
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("client_ca: there is no certificate in %s", files.ClientCA)
		}
		config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return &material{config, pair.Leaf}, nil
}

// stamp identifies a version of a file: replaced by rename, or written in place. The
// zero value stands for an unreadable file.
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
