package main

import (
	"errors"
	"fmt"

	"countersign/internal/store"
)

type restoreCmd struct {
	configFlag
	From string `required:"" help:"File written by countersign backup. It is not changed." type:"path" placeholder:"FILE"`
}

// Run puts a backup in the place of the database.
func (c *restoreCmd) Run(p *process) error {
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	database, err := validDatabase(cfg)
	if err != nil {
		return err
	}
	if store.IsPostgres(database) {
		return fmt.Errorf("%w: stop all servers, then restore the dump into a new, empty database with pg_restore --single-transaction, and start them again", store.ErrBackup)
	}
	key, err := store.LoadKey(cfg.KeyFile)
	if err != nil {
		return err
	}
	done, err := store.Restore{Database: database, From: c.From, Key: key, Now: p.now()}.Run(p.ctx)
	switch {
	case errors.Is(err, store.ErrInUse):
		return fmt.Errorf("restore: database %s: %w; stop it first", database, err)
	case errors.Is(err, store.ErrKey):
		return fmt.Errorf("restore: %w: put the key file from the time of the backup in the place of %s", err, cfg.KeyFile)
	case err != nil:
		return fmt.Errorf("restore: %w", err)
	}
	if err := printTables(p, done.Tables); err != nil {
		return err
	}
	p.printf("\nThe backup is sound, and the key file %s opens it.\n", cfg.KeyFile)
	if len(done.Aside) == 0 {
		p.printf("There was no database at %s before.\n", done.Database)
	}
	for _, name := range done.Aside {
		p.printf("The old database was moved to %s\n", name)
	}
	p.printf("%s is now %s. Start the server.\n", done.Database, c.From)
	return nil
}
