package store

import (
	"context"
	"database/sql"
	"time"

	"countersign/internal/store/sqlite"
)

// reader reads outside of writes, with a pool of connections.
type reader interface {
	query(ctx context.Context, text string, args ...any) (rows, error)
	// queryRow reads the first row into dest. It returns sql.ErrNoRows for an empty result.
	queryRow(ctx context.Context, text string, args []any, dest ...any) error
	stats() PoolStats
	close() error
}

// PoolStats is the state of a pool of connections.
type PoolStats struct {
	InUse, Idle int           // open connections
	Limit       int           // connections that the pool may open
	Waits       int64         // waits for a free connection
	Waited      time.Duration // sum of these waits
}

// fileReader reads an SQLite file.
type fileReader struct{ *sqlite.Pool }

func (r fileReader) query(ctx context.Context, text string, args ...any) (rows, error) {
	found, err := r.Query(ctx, text, args...)
	if err != nil {
		return nil, err // A nil *sqlite.Rows would not be a nil rows.
	}
	return found, nil
}

func (r fileReader) queryRow(ctx context.Context, text string, args []any, dest ...any) error {
	return r.QueryRow(ctx, text, args, dest...)
}

func (r fileReader) stats() PoolStats { return PoolStats(r.Stats()) }

func (r fileReader) close() error { return r.Close() }

// sqlReader reads with database/sql.
type sqlReader struct{ *sql.DB }

func (r sqlReader) query(ctx context.Context, text string, args ...any) (rows, error) {
	found, err := r.QueryContext(ctx, text, args...) //nolint:rowserrcheck // the caller does
	if err != nil {
		return nil, err // A nil *sql.Rows would not be a nil rows.
	}
	return found, nil
}

func (r sqlReader) queryRow(ctx context.Context, text string, args []any, dest ...any) error {
	return r.QueryRowContext(ctx, text, args...).Scan(dest...)
}

func (r sqlReader) stats() PoolStats {
	s := r.Stats()
	return PoolStats{InUse: s.InUse, Idle: s.Idle, Limit: s.MaxOpenConnections, Waits: s.WaitCount, Waited: s.WaitDuration}
}

func (r sqlReader) close() error { return r.Close() }
