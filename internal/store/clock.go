package store

import (
	"context"
	"time"

	"countersign/internal/store/postgres"
)

// ServerTime returns the time of the PostgreSQL server.
func (db *DB) ServerTime(ctx context.Context) (at time.Time, err error) {
	err = db.queryRow(ctx, db.dialect.Clock, nil, &at)
	return at, err
}

// WithServerTime calls use with a function that returns the time of a PostgreSQL server
// that is not open yet. The function uses a connection that ends with the call.
func WithServerTime(ctx context.Context, database string, use func(read func(context.Context) (time.Time, error)) error) error {
	return postgres.URL(database).WithClock(ctx, use)
}
