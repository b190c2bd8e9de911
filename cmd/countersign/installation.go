package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"countersign/internal/atomicfile"
	"countersign/internal/config"
	"countersign/internal/store"
	"countersign/internal/vault"
)

// Only serve, demo and migrate up create databases. A key file without its database
// usually means an unmounted volume. A new installation there would report ready, but
// have no accounts, caps or block list.

// existing returns the database of an existing installation and its key.
func (f configFlag) existing(p *process, cfg config.Config) (database string, key vault.Key, err error) {
	if database, err = p.validDatabase(cfg); err != nil {
		return "", key, err
	}
	state, err := f.inspect(p, database)
	if err != nil {
		return "", key, err
	}
	key, err = vault.LoadKey(cfg.KeyFile)
	switch {
	case !errors.Is(err, fs.ErrNotExist):
	case state == store.Used:
		err = noKey(database, cfg.KeyFile)
	default:
		err = fmt.Errorf("key file %s is missing (%s); select another with --config FILE, COUNTERSIGN_CONFIG or COUNTERSIGN_KEY_FILE; the first countersign serve creates it, or: (umask 077; openssl rand -hex 32 >%[1]s)",
			cfg.KeyFile, f.origin(p, "key_file"))
	}
	return database, key, err
}

// inspect returns the state of a database. Without a database, the error names its path,
// the origin of the path, and the ways to select another.
func (f configFlag) inspect(p *process, database string) (store.State, error) {
	state, err := store.Inspect(p.ctx, database)
	if err != nil || state >= store.Prepared {
		return state, err
	}
	return state, fmt.Errorf("no database: %s (%s) %s; select another with --config FILE, COUNTERSIGN_CONFIG or COUNTERSIGN_DATABASE, or create one with countersign serve --init or countersign migrate up",
		store.Redact(database), f.origin(p, "database"), state)
}

// origin returns the origin of a setting's value, for errors.
func (f configFlag) origin(p *process, key string) string {
	if place := p.settings.Place(key); place != "" {
		return "from " + place
	}
	if path, _ := f.file(p); path != "" {
		return "the default; " + path + " does not set it"
	}
	return "the default; there is no configuration file " + p.configFile
}

// validDatabase checks a configuration and returns the database in it.
func (p *process) validDatabase(cfg config.Config) (string, error) {
	if err := p.valid(cfg); err != nil {
		return "", err
	}
	database, err := cfg.StoreDatabase()
	if err != nil {
		return "", fmt.Errorf("database: %w", err)
	}
	return database, nil
}

func noKey(database, file string) error {
	return fmt.Errorf("database %s exists but its key file %s is missing; restore the key file (a new key cannot decrypt the database)",
		store.Redact(database), file)
}

// firstStart returns the path of a file that exists while a new installation is created.
// A crash during creation leaves a key without a database; the next start continues.
func firstStart(keyFile string) string { return keyFile + ".first-start" }

// started ends the first start. It is idempotent, and writes only during a first start,
// since the directory of the key file may be read-only.
func started(keyFile string) error {
	if _, err := os.Lstat(firstStart(keyFile)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.Remove(firstStart(keyFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("end the first start: %w", err)
	}
	return nil
}

// startable returns the key for a server that starts. It creates the key file of a new
// installation: if both database and key file are missing, after an interrupted first
// start, or with init. Call started once the database is complete.
func (p *process) startable(cfg config.Config, init bool, log *slog.Logger) (key vault.Key, err error) {
	database, err := p.validDatabase(cfg)
	if err != nil {
		return key, err
	}
	state, err := store.Inspect(p.ctx, database)
	if err != nil {
		return key, err
	}
	key, err = vault.LoadKey(cfg.KeyFile)
	missing := errors.Is(err, fs.ErrNotExist)
	_, interrupted := os.Stat(firstStart(cfg.KeyFile)) // nil after an interrupted first start
	switch {
	case err != nil && !missing:
		return key, err
	case missing && state == store.Used:
		return key, noKey(database, cfg.KeyFile)
	case init && state == store.Used:
		return key, fmt.Errorf("--init: database %s is already an installation; start the server without --init", store.Redact(database))
	case !missing && !init && interrupted != nil && state < store.Prepared:
		return key, fmt.Errorf("key file %s exists, but database %s %s: mount its volume, or restore a backup (countersign restore --from FILE); for a new installation run countersign serve --init once",
			cfg.KeyFile, store.Redact(database), state)
	case state == store.Used:
		return key, nil
	}
	if err := makeDirectories(database, cfg.KeyFile); err != nil {
		return key, err
	}
	if missing {
		if err := atomicfile.WriteFile(firstStart(cfg.KeyFile), nil, 0o600); err != nil {
			return key, fmt.Errorf("first start: %w", err)
		}
		key = vault.NewKey()
		if err := key.Save(cfg.KeyFile); err != nil {
			return key, err
		}
	}
	log.Warn("new installation without accounts; keep a copy of the key file apart from the database",
		"database", store.Redact(database), "key_file", cfg.KeyFile, "key_file_created", missing)
	return key, nil
}

// makeDirectories creates the directories of a new installation.
func makeDirectories(database, keyFile string) error {
	dirs := []string{filepath.Dir(keyFile)}
	if !store.IsPostgres(database) {
		dirs = append(dirs, filepath.Dir(database))
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make data directory: %w", err)
		}
	}
	return nil
}
