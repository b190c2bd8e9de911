package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/certificate"
	"countersign/internal/config"
	"countersign/internal/task"
)

// certificates contains the certificates of all TLS listeners.
type certificates struct {
	log     *slog.Logger
	clock   clockwork.Clock
	metrics *certificate.Metrics
	sources map[string]*certificate.Source // keys are listener names
	runner  *task.Runner                   // checks the files
}

func (c *certificates) init(opts Options, reg prometheus.Registerer) {
	c.log, c.clock = opts.Log, opts.Clock
	c.metrics, c.sources = certificate.NewMetrics(reg), map[string]*certificate.Source{}
	c.runner = task.New(task.Config{Name: "certificates", Clock: c.clock, Log: c.log, Run: c.check, MaxSleep: certificate.Every})
}

// open returns the TLS configuration of a listener; nil without a certificate.
func (c *certificates) open(listener string, files certificate.Files) (*tls.Config, error) {
	if files.Cert == "" {
		return nil, nil //nolint:nilnil // plain HTTP is not an error
	}
	source, err := certificate.Open(certificate.Config{
		Listener: listener, Files: files, Log: c.log, Clock: c.clock, Metrics: c.metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	c.sources[listener] = source
	return source.Server(), nil
}

func (c *certificates) check(context.Context) (time.Time, error) {
	for _, source := range c.sources {
		source.Check()
	}
	return c.clock.Now().Add(certificate.Every), nil
}

func apiFiles(cfg config.Config) certificate.Files {
	return certificate.Files{Cert: cfg.TLS.Cert, Key: cfg.TLS.Key}
}

func adminFiles(cfg config.Config) certificate.Files {
	return certificate.Files{Cert: cfg.Admin.TLS.Cert, Key: cfg.Admin.TLS.Key, ClientCA: cfg.Admin.TLS.ClientCA}
}

// ReloadCertificates reads the certificates in cfg and uses them for new connections. It
// returns the settings of the reloaded certificates. A listener with unusable files keeps
// its certificate, and err has the reason. A listener switches between plain HTTP and TLS
// only at start.
func (s *Server) ReloadCertificates(cfg config.Config) (reloaded []string, err error) {
	var errs []error
	for _, l := range []struct {
		listener, setting string
		files             certificate.Files
	}{
		{apiListener().name, "tls", apiFiles(cfg)},
		{adminListener().name, "admin.tls", adminFiles(cfg)},
	} {
		source := s.certificates.sources[l.listener]
		if source == nil || l.files.Cert == "" {
			continue
		}
		if err := source.Reload(l.files); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.setting, err))
			continue
		}
		reloaded = append(reloaded, l.setting)
	}
	return reloaded, errors.Join(errs...)
}
