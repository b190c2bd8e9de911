package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/adminapi"
	"countersign/internal/config"
	"countersign/internal/deliver"
	"countersign/internal/store"
	"countersign/internal/web"
)

// adminWrite bounds an answer of the admin API; what is longer asks for more as it goes.
const adminWrite = time.Minute

// listenAdmin serves the admin API, if it is configured, on a listener of its own.
func (s *Server) listenAdmin(ctx context.Context, database string, reg prometheus.Registerer) error {
	cfg := s.opts.Config.Admin
	if cfg.Listen == "" {
		return nil
	}
	api := adminapi.New(adminapi.Config{
		Store: s.db, Clock: s.opts.Clock, Log: s.log, Caps: Caps(s.opts.Config.Fraud), CarrierNames: s.opts.Config.CarrierNames(),
		WAV:      wavSpeaker{s.speaker}.WAV,
		Forget:   s.engine.ForgetNumber,
		Carriers: func() []deliver.CarrierStatus { return s.status() },
		Schema:   func(ctx context.Context) ([]store.Migration, error) { return store.Migrations(ctx, database) },
	})
	guard, err := adminapi.NewGuard(api, adminapi.GuardConfig{
		TokenFile: cfg.TokenFile, Clock: s.opts.Clock, Log: s.log, Metrics: reg,
	})
	if err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	gated, err := s.gate(guard, adminListener())
	if err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	handler := web.Access{
		Log: s.log, Clock: s.opts.Clock, Metrics: reg, NotFound: http.HandlerFunc(adminapi.NotFound),
	}.Wrap(gated)
	if s.admin, err = s.listen(ctx, adminListener(), handler, s.operatorLimits()); err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	s.admin.server.WriteTimeout = adminWrite
	s.adminURL = "http://" + s.admin.Addr().String()
	if s.admin.server.TLSConfig, err = adminTLS(cfg.TLS); err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	if s.admin.server.TLSConfig != nil {
		s.adminURL = "https://" + s.admin.Addr().String()
	}
	return nil
}

// adminTLS is nil without a certificate. A client may show one, too.
func adminTLS(files config.AdminTLS) (*tls.Config, error) {
	if files.Cert == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	if files.ClientCA == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(files.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("tls.client_ca: %w", err)
	}
	cfg.ClientCAs = x509.NewCertPool()
	if !cfg.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls.client_ca: there is no certificate in %s", files.ClientCA)
	}
	cfg.ClientAuth = tls.VerifyClientCertIfGiven
	return cfg, nil
}

// AdminURL is where the admin API is served; "" if it is not.
func (s *Server) AdminURL() string { return s.adminURL }
