package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"countersign/internal/config"
	"countersign/internal/store"
)

type migrateCopyCmd struct {
	configFlag
	From string `required:"" help:"SQLite database (sqlite:PATH) to move. Its server must be stopped." placeholder:"DATABASE"`
	To   string `required:"" help:"Empty PostgreSQL database (postgres://...) to move it to, or that of a copy that was interrupted." placeholder:"DATABASE"`
}

// Run copies and compares. Of the configuration it needs the key file only, which
// stays that of the installation.
func (c *migrateCopyCmd) Run(p *process) error {
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	from, err := config.Config{Database: c.From}.StoreDatabase()
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	to, err := config.Config{Database: c.To}.StoreDatabase()
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	key, err := store.LoadKey(cfg.KeyFile)
	if err != nil {
		return err
	}
	tables, err := store.Copy(p.ctx, store.CopyConfig{From: from, To: to, Key: key})
	if errors.Is(err, store.ErrCopied) {
		p.printf("%s was copied to %s already. Nothing was changed.\n", from, store.Redact(to))
		return nil
	}
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "TABLE\tCOPIED\tCOMPARED")
	for _, t := range tables {
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\n", t.Name, t.Copied, t.Compared)
	}
	return w.Flush()
}
