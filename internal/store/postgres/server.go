package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"countersign/internal/store/driver"
)

// oldestServer is the oldest supported release of PostgreSQL.
const oldestServer = 13

func dialect() driver.Dialect {
	return driver.Dialect{
		Name:  "postgres",
		Goose: "postgres",

		Shared:     true,
		RoundTrips: true,

		Begin:      "BEGIN",
		Lock:       ` FOR NO KEY UPDATE`,
		Claim:      ` FOR NO KEY UPDATE SKIP LOCKED`,
		Take:       ` FOR UPDATE SKIP LOCKED`,
		Among:      ` = ANY($1)`,
		IDs:        func(ids [][]byte) (any, error) { return ids, nil },
		LockNumber: `SELECT pg_advisory_xact_lock($1)`,
		LockTable:  `LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE`,
		Notify:     `SELECT pg_notify($1, '')`,
		Clock:      readClock,
		Columns:    `SELECT attname::TEXT AS name FROM pg_attribute WHERE attrelid = to_regclass('%s') AND attnum > 0 AND NOT attisdropped`,

		PingSize: 32,
		RetryFor: stmtTimeout,
	}
}

// Dialect returns the SQL of PostgreSQL.
func (URL) Dialect() driver.Dialect { return dialect() }

// Schema connects to the server without limits of time, which a migration may exceed. It
// refuses a server that cannot keep the data.
func (u URL) Schema(ctx context.Context) (*sql.DB, error) {
	conf, err := u.parse()
	if err != nil {
		return nil, err
	}
	db := stdlib.OpenDB(*conf)
	if err := checkServer(ctx, db); err != nil {
		if u := unavailable(err); u != nil {
			err = u
		}
		return nil, cmp.Or(err, db.Close())
	}
	return db, nil
}

// LockSchema waits until no other node changes the schema. The lock belongs to a
// connection, so the death of a node releases it.
func (URL) LockSchema(ctx context.Context, db *sql.DB) (unlock func() error, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, schemaLock); err != nil {
		return nil, cmp.Or(fmt.Errorf("lock schema: %w", err), conn.Close())
	}
	return func() error {
		_, err := conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, schemaLock)
		return cmp.Or(err, conn.Close())
	}, nil
}

// Inspect calls use with a connection.
func (u URL) Inspect(_ context.Context, use func(*sql.DB) error) error {
	conf, err := u.parse()
	if err != nil {
		return err
	}
	db := newPrimary(conf, slog.New(slog.DiscardHandler)).pool()
	db.SetMaxOpenConns(1)
	return cmp.Or(use(db), db.Close())
}

// Serving reports false: any number of nodes may use a server.
func (URL) Serving() bool { return false }

// checkServer refuses a server that is too old or has another encoding than UTF-8.
func checkServer(ctx context.Context, db *sql.DB) error {
	var version int
	var encoding string
	err := db.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::INT, current_setting('server_encoding')`).
		Scan(&version, &encoding)
	switch {
	case err != nil:
		return err
	case version < oldestServer*10000:
		return fmt.Errorf("PostgreSQL %d is too old; at least %d is needed", version/10000, oldestServer)
	case encoding != "UTF8":
		return fmt.Errorf("the encoding of the database is %s; it must be UTF8", encoding)
	}
	return nil
}

// Exclusive connects to the server, waits up to a time until no writer of a node is connected,
// and keeps them away until Release. The error wraps driver.ErrInUse after the wait.
func (u URL) Exclusive(ctx context.Context, wait time.Duration) (conn *pgx.Conn, err error) {
	conf, err := u.parse()
	if err != nil {
		return nil, err
	}
	if conn, err = pgx.ConnectConfig(ctx, conf); err != nil {
		return nil, err
	}
	if err = setDurable(ctx, conn); err == nil {
		_, err = conn.Exec(ctx, fmt.Sprintf(`SET lock_timeout = %d`, wait.Milliseconds()))
	}
	if err == nil {
		if _, err = conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(copyLock)); SQLState(err) == LockNotAvailable {
			err = driver.ErrInUse
		}
	}
	if err != nil {
		_ = conn.Close(context.WithoutCancel(ctx)) // the first error is the reason
		return nil, err
	}
	return conn, nil
}

// Release closes a connection of Exclusive. It first releases the lock. The server would do
// so a moment after the end of the connection, and would refuse a node that starts
// immediately.
func Release(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	_, _ = conn.Exec(ctx, `SELECT pg_advisory_unlock($1)`, int64(copyLock)) // without effect if the connection is lost
	_ = conn.Close(ctx)                                                     // the lock is released in any case
}

// share marks the database as in use by a node, and refuses the target of a running copy
// (Exclusive). The mark ends with the connection.
func share(ctx context.Context, conn *pgx.Conn) error {
	var free bool
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock_shared($1)`, int64(copyLock)).Scan(&free); err != nil {
		return err
	}
	if !free {
		return driver.ErrHalfCopied
	}
	return nil
}
