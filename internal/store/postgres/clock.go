package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// readClock returns the time of the server at the moment of the call. It does not return
// the start time of a transaction, as now() does.
const readClock = `SELECT clock_timestamp()`

// WithClock calls use with a function that returns the time of a server that is not open yet.
// The function uses a connection that ends with the call.
func (u URL) WithClock(ctx context.Context, use func(read func(context.Context) (time.Time, error)) error) error {
	conf, err := u.parse()
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, hurried(conf))
	if err != nil {
		return fmt.Errorf("read the clock of %s: %w", u, err)
	}
	read := func(ctx context.Context) (at time.Time, err error) {
		err = conn.QueryRow(ctx, readClock).Scan(&at)
		return at, err
	}
	if _, err = read(ctx); err == nil { // prepares the statement, so that the next reading is one round trip
		err = use(read)
	}
	return errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
}
