package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"

	"countersign/internal/adminapi"
	"countersign/internal/store"
	"countersign/internal/vault"
)

type migrateCmd struct {
	Up     migrateUpCmd     `cmd:"" help:"Migrate the schema to this program's version, as the server does at start."`
	Status migrateStatusCmd `cmd:"" help:"List the schema migrations and their dates."`
	Copy   migrateCopyCmd   `cmd:"" help:"Move an installation from SQLite to PostgreSQL, while its server is stopped."`
}

type migrateUpCmd struct{ configFlag }

// Run applies the missing migrations. It creates a missing SQLite database, and its key
// file if missing. For PostgreSQL it creates neither: the nodes have the key file.
func (c *migrateUpCmd) Run(p *process) error {
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	database, err := cfg.StoreDatabase()
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	state, err := store.Inspect(p.ctx, database)
	if err != nil {
		return err
	}
	create := state < store.Prepared && !store.IsPostgres(database)
	if create {
		if err := makeDirectories(database, cfg.KeyFile); err != nil {
			return err
		}
	}
	if err := store.Migrate(p.ctx, database); err != nil || !create {
		return err
	}
	p.printf("created database %s\n", database)
	switch err := vault.NewKey().Save(cfg.KeyFile); {
	case err == nil:
		p.printf("created key file %s; keep a copy apart from the database\n", cfg.KeyFile)
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	return nil
}

type migrateStatusCmd struct {
	adminFlag
	outputFlags
}

// Run lists the migrations.
func (c *migrateStatusCmd) Run(p *process) error {
	steps, err := c.steps(p)
	if err != nil {
		return err
	}
	return list[adminapi.SchemaStep]{
		document: adminapi.Schema{Steps: steps}, rows: steps,
		header: []string{"VERSION", "APPLIED", "NAME"},
		row: func(s adminapi.SchemaStep) []any {
			applied := "no"
			if s.Applied != "" {
				applied = isoTime(s.Applied)
			}
			return []any{s.Version, applied, s.Name}
		},
		id: func(s adminapi.SchemaStep) string { return strconv.FormatInt(s.Version, 10) },
	}.print(p, c.outputFlags)
}

// steps reads the migrations from the server or from the database, which it does not
// change. Opening the store with the key would migrate it.
func (c *migrateStatusCmd) steps(p *process) ([]adminapi.SchemaStep, error) {
	cfg, err := c.load(p)
	if err != nil {
		return nil, err
	}
	client, done, err := c.server(p, cfg)
	if err != nil {
		return nil, err
	}
	if client != nil {
		var schema adminapi.Schema
		err := selectAnother(client.Do(p.ctx, adminapi.Request{Method: http.MethodGet, Path: "/schema"}, &schema))
		return schema.Steps, errors.Join(err, done())
	}
	database, err := cfg.StoreDatabase()
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	if !store.IsPostgres(database) { // an empty list for a missing SQLite file would mislead
		if _, err := c.inspect(p, database); err != nil {
			return nil, err
		}
	}
	steps, err := store.Migrations(p.ctx, database)
	return adminapi.SchemaSteps(steps), err
}
