package server

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/adminapi"
	"countersign/internal/deliver"
	"countersign/internal/store"
	"countersign/internal/web"
)

// adminWrite limits a response of the admin API; long responses extend it.
const adminWrite = time.Minute

// listenAdmin serves the admin API on a separate listener, if it is configured.
func (s *Server) listenAdmin(ctx context.Context, database string, reg prometheus.Registerer) error {
	cfg := s.opts.Config.Admin
	if cfg.Listen == "" {
		return nil
	}
	api := adminapi.New(adminapi.Config{
		Store: s.db, Clock: s.opts.Clock, Log: s.log, Caps: s.caps, CarrierNames: s.opts.Config.CarrierNames(),
		WAV:        wavSpeaker{s.speaker}.WAV,
		Forget:     s.forgetNumber,
		Explaining: s.explaining(),
		Carriers:   func() []deliver.CarrierStatus { return s.status() },
		Schema:     func(ctx context.Context) ([]store.Migration, error) { return store.Migrations(ctx, database) },
	})
	authenticator, err := adminapi.NewAuthenticator(api, adminapi.AuthConfig{
		TokenFile: cfg.TokenFile, Clock: s.opts.Clock, Log: s.log, Metrics: reg,
	})
	if err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	gated, err := s.gate(authenticator, adminListener())
	if err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	handler := web.Access{
		Log: s.log, Clock: s.opts.Clock, Metrics: reg, NotFound: http.HandlerFunc(adminapi.NotFound),
	}.Wrap(gated)
	if s.admin, err = s.listen(ctx, adminListener(), handler, s.operatorLimits()); err != nil {
		return err // err names admin.listen
	}
	s.admin.server.WriteTimeout = adminWrite
	s.adminURL = "http://" + s.admin.Addr().String()
	if s.admin.server.TLSConfig, err = s.certificates.open(adminListener().name, adminFiles(s.opts.Config)); err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	if s.admin.server.TLSConfig != nil {
		s.adminURL = "https://" + s.admin.Addr().String()
	}
	return nil
}

// forgetNumber erases a number, including refusals in memory.
func (s *Server) forgetNumber(ctx context.Context, f store.Forget) (store.Forgotten, error) {
	if err := s.refused.Flush(ctx); err != nil {
		return store.Forgotten{}, err
	}
	done, err := s.engine.ForgetNumber(ctx, f)
	if err == nil {
		s.refused.Forget(f.Number)
	}
	return done, err
}

// AdminURL returns the URL of the admin API; "" if it is not served.
func (s *Server) AdminURL() string { return s.adminURL }
