package store

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"countersign/internal/store/sqlite"
)

//go:embed migrations
var migrations embed.FS

// ErrNewerSchema is wrapped where a newer program has changed the database already.
var ErrNewerSchema = errors.New("the schema is newer than this program; use a newer countersign")

// ErrOldSchema is wrapped where a development version from before the first release made
// the database.
var ErrOldSchema = errors.New("it was made by a development version from before the first release, which this program cannot read; use a new database")

// Migrate brings the schema of a database up to this program's version, as Open
// does, and leaves it at that. It makes the database where that is a file.
func Migrate(ctx context.Context, database string) error {
	return withSchema(ctx, database, func(db *sql.DB, d dialect) error { return migrate(ctx, db, d) })
}

// Migration is one step of the schema.
type Migration struct {
	Version int64
	Name    string    // of its file
	Applied time.Time // zero while it is not
}

// Migrations lists the steps of the schema, by version. It refuses one that has steps
// which this program does not know.
func Migrations(ctx context.Context, database string) (list []Migration, err error) {
	if !IsPostgres(database) {
		if _, err := os.Stat(database); err != nil {
			return nil, fmt.Errorf("no database: %w", err) // and none is to be made
		}
	}
	err = withSchema(ctx, database, func(db *sql.DB, d dialect) error {
		p, err := d.provider(db)
		if err != nil {
			return err
		}
		all, err := p.Status(ctx)
		if err != nil {
			return fmt.Errorf("read schema version: %w", err)
		}
		if _, _, err := d.versions(ctx, db, p); err != nil {
			return err
		}
		for _, m := range all {
			list = append(list, Migration{m.Source.Version, path.Base(m.Source.Path), m.AppliedAt})
		}
		return nil
	})
	return list, err
}

// withSchema opens a database for work on its schema.
func withSchema(ctx context.Context, database string, do func(*sql.DB, dialect) error) error {
	db, d, err := openSchema(ctx, database)
	if err == nil {
		err = cmp.Or(do(db, d), db.Close())
	}
	if err != nil {
		return fmt.Errorf("database %s: %w", Redact(database), diskFull(database, err))
	}
	return nil
}

func openSchema(ctx context.Context, database string) (*sql.DB, dialect, error) {
	if !IsPostgres(database) {
		if err := createPrivate(database); err != nil {
			return nil, onSQLite(), err
		}
		db, err := openSQLite(database, writeCache)
		return db, onSQLite(), err
	}
	conf, err := parsePostgres(database)
	if err != nil {
		return nil, onPostgres(), err
	}
	db := stdlib.OpenDB(*conf) // without limits of time: a migration may take its own
	if err := checkServer(ctx, db); err != nil {
		if u := unavailable(err); u != nil {
			err = u
		}
		return nil, onPostgres(), cmp.Or(err, db.Close())
	}
	return db, onPostgres(), nil
}

// migrate brings the schema up to this program's version, and refuses a newer one. Of
// several nodes that start at once one does the work, and the others wait for it.
func migrate(ctx context.Context, db *sql.DB, d dialect) (err error) {
	unlock, err := d.lockSchema(ctx, db)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, unlock()) }()
	p, err := d.provider(db)
	if err != nil {
		return err
	}
	have, want, err := d.versions(ctx, db, p)
	if err != nil || have == want {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate schema from version %d to %d: %w", have, want, firstReason(err))
	}
	return nil
}

// versions are that of the schema and the one that this program knows. It refuses a
// schema that a newer program has changed.
func (d dialect) versions(ctx context.Context, db *sql.DB, p *goose.Provider) (have, want int64, err error) {
	have, want, err = p.GetVersions(ctx)
	if err != nil {
		return have, want, fmt.Errorf("read schema version: %w", firstReason(err))
	}
	if err := d.refuseOld(ctx, db, have); err != nil {
		return have, want, err
	}
	if have > want {
		return have, want, fmt.Errorf("schema version %d, but this program knows %d: %w", have, want, ErrNewerSchema)
	}
	return have, want, nil
}

// refuseOld returns ErrOldSchema for a schema of a development version: its histories of
// addresses do not name verifications in progress. Its version is 1 to 14.
func (d dialect) refuseOld(ctx context.Context, db *sql.DB, have int64) error {
	if have == 0 {
		return nil
	}
	columns := func(table string) string {
		if d.postgres() {
			return `SELECT attname::TEXT AS name FROM pg_attribute WHERE attrelid = to_regclass('` + table + `') AND attnum > 0 AND NOT attisdropped`
		}
		return `SELECT name FROM pragma_table_info('` + table + `')`
	}
	find := `SELECT EXISTS (` + columns("verifications") + `) AND NOT EXISTS (SELECT 1 FROM (` + columns("guards") + `) guards WHERE name = 'running')`
	var old bool
	if err := db.QueryRowContext(ctx, find).Scan(&old); err != nil {
		return fmt.Errorf("read the schema: %w", err)
	}
	if old {
		return fmt.Errorf("schema version %d: %w", have, ErrOldSchema)
	}
	return nil
}

// firstReason returns the error of the database in an error of goose, with the failed step
// of the schema. It leaves out the error of the rollback after it.
func firstReason(err error) error {
	if p, ok := errors.AsType[*goose.PartialError](err); ok && p.Failed != nil {
		return fmt.Errorf("step %d: %w", p.Failed.Source.Version, firstReason(p.Err))
	}
	if _, e := sqlite.AsError(err); e != nil {
		return e
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e
	}
	return err
}

func (d dialect) provider(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations/"+d.name)
	if err != nil {
		return nil, err
	}
	p, err := goose.NewProvider(d.goose, db, files)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	return p, nil
}

// schemaLock is the number of the advisory lock; any that nobody else uses.
const schemaLock = 0x636f756e74657273 // "counters"

// lockSchema keeps other nodes from migrating. The lock is that of a connection,
// so a node that dies leaves none behind.
func (d dialect) lockSchema(ctx context.Context, db *sql.DB) (unlock func() error, err error) {
	if !d.postgres() { // where only one process writes at a time
		return func() error { return nil }, nil
	}
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
