package server

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/store"
	"countersign/internal/web"
)

// makeReadiness returns the source of the answers of /readyz.
func (s *Server) makeReadiness(reg prometheus.Registerer) *web.Readiness {
	return web.NewReadiness(web.ReadinessConfig{
		Draining: s.drain.Draining, Probe: s.probe, Verify: s.db.Verify, Damage: store.Damaged,
		Clock: s.opts.Clock, Log: s.log, Metrics: reg,
	})
}

// probe returns an error while the clock of this node is too far from the database's, or
// the database does not serve.
func (s *Server) probe(ctx context.Context) error {
	if s.steady != nil {
		if err := s.steady.Skewed(); err != nil {
			return err
		}
	}
	return s.db.Ping(ctx)
}

// checkFiles looks for database files that were deleted, replaced or truncated.
func (s *Server) checkFiles(ctx context.Context) error {
	err := s.db.CheckFiles(ctx)
	if s.db.Shrunk() {
		s.ready.Suspect()
	}
	return err
}
