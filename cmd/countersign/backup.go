package main

import (
	"fmt"

	"countersign/internal/store"
)

type backupCmd struct {
	configFlag
	outputFlags
	To string `arg:"" help:"File to write; must not exist." type:"path"`
}

// Run writes the copy and prints its tables and checks.
func (c *backupCmd) Run(p *process) error {
	if c.To == "-" {
		return usagef("<to>: must be a file, not standard output: a backup is checked before it gets its name")
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
		return printTables(p, c.outputFlags, savedTables{Database: database, Backup: c.To, KeyFile: cfg.KeyFile, Tables: tableRows(tables)},
			fmt.Sprintf("\nintegrity check: ok; row counts: same as the database\nwritten: %s\nnot in it: key file %s, without which it cannot be opened\n", c.To, cfg.KeyFile))
	})
}

// savedTables is the JSON form of a backup or its restoration.
type savedTables struct {
	Database string     `json:"database"`
	Backup   string     `json:"backup"`
	KeyFile  string     `json:"key_file"`        // not in the backup
	Aside    []string   `json:"aside,omitempty"` // new names of the old database's files
	Tables   []tableRow `json:"tables"`
}

// tableRow is a [store.TableRows] with JSON names.
type tableRow struct {
	Name string `json:"name"`
	Rows int64  `json:"rows"`
}

func tableRows(tables []store.TableRows) []tableRow {
	rows := make([]tableRow, len(tables))
	for i, t := range tables {
		rows[i] = tableRow(t)
	}
	return rows
}

// printTables prints the rows of each table, and foot below the table form.
func printTables(p *process, f outputFlags, saved savedTables, foot string) error {
	return list[tableRow]{
		document: saved, rows: saved.Tables,
		header: []string{"TABLE", "ROWS"},
		row:    func(t tableRow) []any { return []any{t.Name, t.Rows} },
		foot:   foot,
	}.print(p, f)
}
