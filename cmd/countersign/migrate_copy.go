package main

import (
	"errors"
	"fmt"

	"countersign/internal/config"
	"countersign/internal/copy"
	"countersign/internal/store"
	"countersign/internal/vault"
)

type migrateCopyCmd struct {
	configFlag
	outputFlags
	From string `required:"" help:"SQLite database (sqlite:PATH) to move. Stop its server first." placeholder:"DATABASE"`
	To   string `required:"" help:"Empty PostgreSQL database (postgres://...), or the target of an interrupted copy." placeholder:"DATABASE"`
}

// Run copies and compares the tables. It uses only the key file of the configuration,
// which the installation keeps.
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
	tables, err := copy.Run(p.ctx, copy.Config{From: from, To: to, Key: key})
	if errors.Is(err, copy.ErrCopied) {
		p.printf("%s is already copied to %s. No change was made.\n", from, store.Redact(to))
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

// copiedTable is a [copy.Table] with JSON names.
type copiedTable struct {
	Name     string `json:"name"`
	Copied   int    `json:"copied"`
	Compared int    `json:"compared"`
}
