package main

import (
	"fmt"
	"os"

	"countersign/internal/store"
)

type backupCmd struct {
	configFlag
	To string `arg:"" help:"File to write; must not exist." type:"path"`
}

// Run writes the copy. Unlike other commands it makes no database where there is
// none: the copy of an empty one would pass for a backup.
func (c *backupCmd) Run(p *process) error {
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	path, err := cfg.StoreDatabase()
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if store.IsPostgres(path) {
		return store.ErrBackup
	}
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("no database to back up: %w", err)
	}
	return c.change(p, func(db *store.DB) error { return db.Backup(p.ctx, c.To) })
}
