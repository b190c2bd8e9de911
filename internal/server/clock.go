package server

import (
	"context"
	"fmt"
	"time"

	"countersign/internal/store"
)

// followServer makes the clock of a PostgreSQL server the reference before the database
// is opened, which needs the time. It ignores a failure: store.Open and followDatabase
// use the same server and return its error.
func (s *Server) followServer(ctx context.Context, database string) {
	if s.steady == nil || !store.IsPostgres(database) {
		return
	}
	err := store.WithServerTime(ctx, database, func(read func(context.Context) (time.Time, error)) error {
		return s.steady.Follow(ctx, read)
	})
	if err != nil {
		s.log.Debug("cannot read the clock of the database", "error", err)
	}
}

// followDatabase makes the clock of the open database the reference.
func (s *Server) followDatabase(ctx context.Context) error {
	if s.steady == nil || !s.db.Shared() {
		return nil
	}
	if err := s.steady.Follow(ctx, s.db.ServerTime); err != nil {
		return fmt.Errorf("read the clock of the database: %w", err)
	}
	return nil
}

// runClock compares the clocks until the returned function is called.
func (s *Server) runClock(ctx context.Context) (stop func()) {
	if s.steady == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.steady.Run(ctx, s.engine.Wake)
	}()
	return func() {
		cancel()
		<-done
	}
}

// reference is engine.Config.Reference.
func (s *Server) reference() func() time.Time {
	if s.steady == nil {
		return s.opts.Clock.Now
	}
	return s.steady.Reference
}

// hold is engine.Config.Hold.
func (s *Server) hold() func() error {
	if s.steady == nil {
		return nil
	}
	return s.steady.Hold
}

// doubt returns the source of retention's doubt about the clock, or nil without a steady
// clock.
func (s *Server) doubt() func() error {
	if s.steady == nil {
		return nil
	}
	return s.steady.Doubt
}
