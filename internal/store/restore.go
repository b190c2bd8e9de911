package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"countersign/internal/atomicfile"
	"countersign/internal/store/sqlite"
	"countersign/internal/vault"
)

// Restore describes the replacement of an SQLite database by a backup.
type Restore struct {
	Database string    // path of the database; it need not exist
	From     string    // path of a file that DB.Backup wrote; it is not changed
	Key      vault.Key // must open the backup
	Now      time.Time
}

// Restored is the result of a Restore.
type Restored struct {
	Database string // path with all symlinks resolved
	Tables   []TableRows
	Aside    []string // new names of the old database and its auxiliary files
}

// Run checks the backup, moves the old database aside under a dated name, and puts the
// backup in its place, with the schema of this program. It makes all checks
// before it moves a file. It returns ErrInUse while a server runs, and vault.ErrKey if
// the key does not open the backup.
func (r Restore) Run(ctx context.Context) (done Restored, err error) {
	if IsPostgres(r.Database) {
		return done, ErrBackup
	}
	done.Database = r.Database
	if target, err := filepath.EvalSymlinks(r.Database); err == nil {
		done.Database = target
	}
	lock, err := sqlite.LockFile(done.Database)
	switch {
	case err == nil:
		defer func() { err = cmp.Or(err, lock.Release()) }()
	case !errors.Is(err, fs.ErrNotExist):
		return done, fmt.Errorf("database %s: %w", done.Database, err)
	}
	if err := r.checkSource(); err != nil {
		return done, err
	}
	f, err := atomicfile.Replace(done.Database, 0o600)
	if err != nil {
		return done, err
	}
	defer func() { err = cmp.Or(err, f.Close(), sqlite.RemoveBeside(f.Name())) }()
	if done.Tables, err = r.prepare(ctx, f); err != nil {
		return done, fmt.Errorf("backup %s: %w", r.From, sqlite.File(done.Database).Full(err))
	}
	if done.Aside, err = moveAside(done.Database, r.Now); err != nil {
		return done, err
	}
	if err := f.Commit(); err != nil {
		return done, fmt.Errorf("%w (the old database is now %v)", err, done.Aside)
	}
	return done, nil
}

// checkSource refuses files that are not a complete backup.
func (r Restore) checkSource() error {
	info, err := os.Stat(r.From)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("backup %s is not a file", r.From)
	}
	if now, err := os.Stat(r.Database); err == nil && os.SameFile(info, now) {
		return fmt.Errorf("backup %s is the database itself", r.From)
	}
	for _, end := range []string{"-wal", "-journal"} {
		if beside, err := os.Stat(r.From + end); err == nil && beside.Size() > 0 {
			return fmt.Errorf("backup %s has unmerged changes in %s%s beside it; restore a file written by countersign backup", r.From, r.From, end)
		}
	}
	return nil
}

// prepare copies the backup to f, checks it, brings its schema up to date, and checks
// that the key opens it.
func (r Restore) prepare(ctx context.Context, f *atomicfile.File) ([]TableRows, error) {
	if err := sqlite.RemoveBeside(f.Name()); err != nil {
		return nil, err
	}
	from, err := os.Open(r.From)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(f, from)
	if err = cmp.Or(err, from.Close()); err != nil {
		return nil, err
	}
	if err := keepOwner(f, r.Database); err != nil {
		return nil, err
	}
	tables, err := sqlite.VerifyFile(ctx, f.Name())
	if err != nil {
		return nil, err
	}
	var state State
	at := sqlite.File(f.Name())
	err = at.Read(func(db *sql.DB) (err error) {
		state, err = stateOf(ctx, db, at.Dialect())
		return err
	})
	if err != nil {
		return nil, err
	}
	if state != Used {
		return nil, fmt.Errorf("not a backup of an installation: it %s", state)
	}
	if err := r.open(ctx, at); err != nil {
		return nil, err
	}
	if _, err := sqlite.VerifyFile(ctx, f.Name()); err != nil {
		return nil, fmt.Errorf("after the schema was brought up to date: %w", err)
	}
	return tables, nil
}

func (r Restore) open(ctx context.Context, at sqlite.File) error {
	file, err := at.Schema(ctx)
	if err != nil {
		return err
	}
	if err = migrate(ctx, file, at); err == nil {
		err = newDB(at, slog.New(slog.DiscardHandler)).openKeys(ctx, file, Config{Key: r.Key, Now: r.Now})
	}
	return cmp.Or(err, file.Close())
}

// keepOwner gives f the owner of the old database or, without one, of its directory. The
// server could not open a file of root.
func keepOwner(f *atomicfile.File, database string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(database)
	if err != nil {
		info, err = os.Stat(filepath.Dir(f.Name()))
	}
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		return f.Chown(int(owner.Uid), int(owner.Gid))
	}
	return nil
}

// moveAside renames a database with its auxiliary files: SQLite would apply an old
// write-ahead log to the new database. It returns the new names.
func moveAside(path string, now time.Time) (moved []string, err error) {
	aside := path + ".before-" + now.UTC().Format("2006-01-02-150405")
	for _, end := range append([]string{""}, sqlite.Beside()...) {
		if _, err := os.Lstat(path + end); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if _, err := os.Lstat(aside + end); err == nil {
			return moved, fmt.Errorf("move the old database aside: %w", &fs.PathError{Op: "rename", Path: aside + end, Err: fs.ErrExist})
		}
		if err := os.Rename(path+end, aside+end); err != nil {
			return moved, fmt.Errorf("move the old database aside: %w", err)
		}
		moved = append(moved, aside+end)
	}
	return moved, nil
}
