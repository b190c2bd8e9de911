package server

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/store"
	"countersign/internal/web"
)

// makeReadiness returns the source of /readyz.
func (s *Server) makeReadiness(reg prometheus.Registerer) *web.Readiness {
	return web.NewReadiness(web.ReadinessConfig{
		Draining: s.drain.Draining, Probe: s.probe, Verify: s.db.Verify, Damage: store.Damaged,
		Clock: s.opts.Clock, Log: s.log, Metrics: reg,
	})
}

// probe returns an error if the clock of this node differs too much from the database's,
// or if the database does not work.
func (s *Server) probe(ctx context.Context) error {
	if s.steady != nil {
		if err := s.steady.Skewed(); err != nil {
			return err
		}
	}
	return s.db.Ping(ctx)
}

// checkFiles detects deleted, replaced and truncated database files.
func (s *Server) checkFiles(ctx context.Context) error {
	err := s.db.CheckFiles(ctx)
	if s.db.Shrunk() {
		s.ready.Suspect()
	}
	return err
}
