package main

import (
	"errors"
	"fmt"

	"countersign/internal/config"
	"countersign/internal/store"
	"countersign/internal/vault"
)

type migrateCopyCmd struct {
	configFlag
	outputFlags
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
	key, err := vault.LoadKey(cfg.KeyFile)
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
	copied := copiedTables{Tables: []copiedTable{}}
	for _, t := range tables {
		copied.Tables = append(copied.Tables, copiedTable(t))
	}
	return list[copiedTable]{
		document: copied, rows: copied.Tables,
		header: []string{"TABLE", "COPIED", "COMPARED"},
		row:    func(t copiedTable) []any { return []any{t.Name, t.Copied, t.Compared} },
	}.print(p, c.outputFlags)
}

// copiedTables is the JSON form of a copy.
type copiedTables struct {
	Tables []copiedTable `json:"tables"`
}

// copiedTable is a [store.CopiedTable] with JSON names.
type copiedTable struct {
	Name     string `json:"name"`
	Copied   int    `json:"copied"`
	Compared int    `json:"compared"`
}
