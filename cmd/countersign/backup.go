package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"countersign/internal/store"
)

type backupCmd struct {
	configFlag
	To string `arg:"" help:"File to write; must not exist." type:"path"`
}

// Run writes the copy, and prints its tables and the checks.
func (c *backupCmd) Run(p *process) error {
	if c.To == "-" {
		return errors.New("<to>: must be a file: a backup is checked before it gets its name")
	}
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	database, err := cfg.StoreDatabase()
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if store.IsPostgres(database) {
		return store.ErrBackup
	}
	return c.change(p, func(db *store.DB) error {
		tables, err := db.Backup(p.ctx, c.To)
		if err != nil {
			return err
		}
		if err := printTables(p, tables); err != nil {
			return err
		}
		p.printf("\nintegrity check: ok; row counts: same as the database\nwritten: %s\nnot in it: key file %s, without which it cannot be opened\n", c.To, cfg.KeyFile)
		return nil
	})
}

// printTables prints the rows of each table.
func printTables(p *process, tables []store.TableRows) error {
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "TABLE\tROWS")
	for _, t := range tables {
		_, _ = fmt.Fprintf(w, "%s\t%d\n", t.Name, t.Rows)
	}
	return w.Flush()
}
