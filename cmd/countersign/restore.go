package main

import (
	"errors"
	"fmt"

	"countersign/internal/store"
	"countersign/internal/vault"
)

type restoreCmd struct {
	configFlag
	outputFlags
	confirmFlag
	From string `required:"" help:"File written by countersign backup. It is not changed." type:"path" placeholder:"FILE"`
}

// Run replaces the database with a backup.
func (c *restoreCmd) Run(p *process) error {
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	database, err := p.validDatabase(cfg)
	if err != nil {
		return err
	}
	if store.IsPostgres(database) {
		return fmt.Errorf("%w: stop all servers, then restore the dump into a new, empty database with pg_restore --single-transaction, and restart the servers", store.ErrBackup)
	}
	if err := c.confirm(p, "%s replaces database %s, which is moved aside.", c.From, database); err != nil {
		return err
	}
	key, err := vault.LoadKey(cfg.KeyFile)
	if err != nil {
		return err
	}
	done, err := store.Restore{Database: database, From: c.From, Key: key, Now: p.now()}.Run(p.ctx)
	switch {
	case errors.Is(err, store.ErrInUse):
		return fmt.Errorf("restore: database %s: %w; stop it first", database, err)
	case errors.Is(err, vault.ErrKey):
		return fmt.Errorf("restore: %w: replace %s with the key file from the time of the backup", err, cfg.KeyFile)
	case err != nil:
		return fmt.Errorf("restore: %w", err)
	}
	foot := fmt.Sprintf("\nThe backup is intact, and the key file %s decrypts it.\n", cfg.KeyFile)
	if len(done.Aside) == 0 {
		foot += fmt.Sprintf("No database existed at %s.\n", done.Database)
	}
	for _, name := range done.Aside {
		foot += fmt.Sprintf("The old database was moved to %s\n", name)
	}
	foot += fmt.Sprintf("%s is now %s. Start the server.\n", done.Database, c.From)
	saved := savedTables{Database: done.Database, Backup: c.From, KeyFile: cfg.KeyFile, Aside: done.Aside, Tables: tableRows(done.Tables)}
	return printTables(p, c.outputFlags, saved, foot)
}
