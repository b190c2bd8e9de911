package main

import (
	"errors"
	"fmt"
	"net/http"
	"text/tabwriter"

	"countersign/internal/adminapi"
	"countersign/internal/store"
)

type migrateCmd struct {
	Up     migrateUpCmd     `cmd:"" help:"Bring the schema up to this program's version, as the server does when it starts."`
	Status migrateStatusCmd `cmd:"" help:"List the steps of the schema, and when each was applied."`
	Copy   migrateCopyCmd   `cmd:"" help:"Move an installation from SQLite to PostgreSQL, while its server is stopped."`
}

type migrateUpCmd struct{ configFlag }

// Run applies what is missing.
func (c *migrateUpCmd) Run(p *process) error {
	database, err := c.database(p)
	if err != nil {
		return err
	}
	return store.Migrate(p.ctx, database)
}

type migrateStatusCmd struct{ adminFlag }

// Run lists the steps.
func (c *migrateStatusCmd) Run(p *process) error {
	steps, err := c.steps(p)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "VERSION\tAPPLIED\tNAME")
	for _, s := range steps {
		applied := "no"
		if s.Applied != "" {
			applied = isoTime(s.Applied)
		}
		_, _ = fmt.Fprintf(w, "%d\t%s\t%s\n", s.Version, applied, s.Name)
	}
	return w.Flush()
}

// steps asks the server, or looks into the database, which it leaves as it is: with
// the key, too, it would be brought up to date.
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
		err := client.Do(p.ctx, adminapi.Request{Method: http.MethodGet, Path: "/schema"}, &schema)
		return schema.Steps, errors.Join(err, done())
	}
	database, err := c.database(p)
	if err != nil {
		return nil, err
	}
	steps, err := store.Migrations(p.ctx, database)
	return adminapi.SchemaSteps(steps), err
}

// database names the database of the configuration, for work that needs no key.
func (f configFlag) database(p *process) (string, error) {
	cfg, err := f.load(p)
	if err != nil {
		return "", err
	}
	database, err := cfg.StoreDatabase()
	if err != nil {
		return "", fmt.Errorf("database: %w", err)
	}
	return database, nil
}
