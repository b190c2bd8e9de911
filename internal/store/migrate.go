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

	"github.com/pressly/goose/v3"

	"countersign/internal/store/driver"
)

//go:embed migrations
var migrations embed.FS

// ErrNewerSchema is wrapped if a newer program has changed the database.
var ErrNewerSchema = errors.New("the schema is newer than this program; use a newer countersign")

// ErrOldSchema is wrapped if a development version from before the first release made the
// database.
var ErrOldSchema = errors.New("it was made by a development version from before the first release, which this program cannot read; use a new database")

// Migrate brings the schema of a database up to this program's version, as Open does, and
// closes it. It creates a missing database file.
func Migrate(ctx context.Context, database string) error {
	return withSchema(ctx, database, func(db *sql.DB, at driver.Database) error { return migrate(ctx, db, at) })
}

// Migration is one step of the schema.
type Migration struct {
	Version int64
	Name    string    // name of its file
	Applied time.Time // zero if not applied
}

// Migrations lists the steps of the schema by version. Its error wraps ErrNewerSchema if
// the database has unknown steps.
func Migrations(ctx context.Context, database string) (list []Migration, err error) {
	if !IsPostgres(database) {
		if _, err := os.Stat(database); err != nil {
			return nil, fmt.Errorf("no database: %w", err) // Schema would create the file
		}
	}
	err = withSchema(ctx, database, func(db *sql.DB, at driver.Database) error {
		p, err := provider(db, at)
		if err != nil {
			return err
		}
		all, err := p.Status(ctx)
		if err != nil {
			return fmt.Errorf("read schema version: %w", err)
		}
		if _, _, err := versions(ctx, db, at, p); err != nil {
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
func withSchema(ctx context.Context, database string, do func(*sql.DB, driver.Database) error) error {
	at := at(database)
	db, err := at.Schema(ctx)
	if err == nil {
		err = cmp.Or(do(db, at), db.Close())
	}
	if err != nil {
		return fmt.Errorf("database %s: %w", at, at.Full(err))
	}
	return nil
}

// migrate brings the schema up to this program's version, and refuses a newer one. If
// several nodes start at the same time, one migrates and the others wait.
func migrate(ctx context.Context, db *sql.DB, at driver.Database) (err error) {
	unlock, err := at.LockSchema(ctx, db)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, unlock()) }()
	p, err := provider(db, at)
	if err != nil {
		return err
	}
	have, want, err := versions(ctx, db, at, p)
	if err != nil || have == want {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate schema from version %d to %d: %w", have, want, firstReason(at, err))
	}
	return nil
}

// versions returns the version of the schema and the program's version. It refuses a
// newer schema.
func versions(ctx context.Context, db *sql.DB, at driver.Database, p *goose.Provider) (have, want int64, err error) {
	have, want, err = p.GetVersions(ctx)
	if err != nil {
		return have, want, fmt.Errorf("read schema version: %w", firstReason(at, err))
	}
	if err := refuseOld(ctx, db, at.Dialect(), have); err != nil {
		return have, want, err
	}
	if have > want {
		return have, want, fmt.Errorf("schema version %d, but this program supports %d: %w", have, want, ErrNewerSchema)
	}
	return have, want, nil
}

// refuseOld returns ErrOldSchema for a schema of a development version: its histories of
// addresses do not name verifications in progress. Its version is 1 to 14.
func refuseOld(ctx context.Context, db *sql.DB, d driver.Dialect, have int64) error {
	if have == 0 {
		return nil
	}
	columns := func(table string) string { return fmt.Sprintf(d.Columns, table) }
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
func firstReason(at driver.Database, err error) error {
	if p, ok := errors.AsType[*goose.PartialError](err); ok && p.Failed != nil {
		return fmt.Errorf("step %d: %w", p.Failed.Source.Version, firstReason(at, p.Err))
	}
	if e := at.Reason(err); e != nil {
		return e
	}
	return err
}

func provider(db *sql.DB, at driver.Database) (*goose.Provider, error) {
	d := at.Dialect()
	files, err := fs.Sub(migrations, "migrations/"+d.Name)
	if err != nil {
		return nil, err
	}
	p, err := goose.NewProvider(goose.Dialect(d.Goose), db, files)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	return p, nil
}

// checkCopied returns ErrHalfCopied for the target of an incomplete copy.
func checkCopied(ctx context.Context, db *sql.DB) error {
	var half bool
	err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM settings WHERE name = $1 AND value = $2)`, CopyMark, []byte(CopyBegun)).Scan(&half)
	if err == nil && half {
		err = ErrHalfCopied
	}
	return err
}
