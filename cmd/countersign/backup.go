package main

import "countersign/internal/store"

type backupCmd struct {
	configFlag
	To string `arg:"" help:"File to write; must not exist." type:"path"`
}

// Run writes the copy.
func (c *backupCmd) Run(p *process) error {
	return c.change(p, func(db *store.DB) error { return db.Backup(p.ctx, c.To) })
}
