package simulation

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign/internal/message"
	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

// template creates the database of each world, and has the texts of messages.
type template struct {
	key      vault.Key
	messages *message.Catalog
	parallel int // worlds per processor
	// create creates a database with its accounts. drop removes it.
	create func(seed uint64) (database string, drop func() error, err error)
}

// makeTemplate returns a template on SQLite, or on PostgreSQL if COUNTERSIGN_TEST_DATABASE is
// "postgres".
func makeTemplate(t *testing.T) template {
	t.Helper()
	messages, err := message.New()
	if err != nil {
		t.Fatal(err)
	}
	tpl := template{key: vault.NewKey(), messages: messages}
	if os.Getenv("COUNTERSIGN_TEST_DATABASE") == "postgres" {
		tpl.create, tpl.parallel = onPostgres(t, tpl.prepare), 4 // most wait for the server
	} else {
		tpl.create, tpl.parallel = onSQLite(t, tpl.prepare), 1
	}
	return tpl
}

// prepare creates the accounts in an empty database.
func (tpl template) prepare(ctx context.Context, database string) error {
	db, err := store.Open(ctx, store.Config{Database: database, Key: tpl.key, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	for _, key := range accounts() {
		err = errors.Join(err, db.CreateAccount(ctx, store.NewAccount{
			Account: verify.Account{Key: key, Name: "Simulation", Balance: credit, OnUndeliverable: verify.UndeliverableNextEvent},
			Secret:  "secret",
		}, time.Unix(0, 0)))
	}
	return errors.Join(err, db.Close())
}

// onPostgres copies a database for each world. A schema is not enough: advisory locks and
// channels of NOTIFY belong to a database.
func onPostgres(t *testing.T, prepare func(context.Context, string) error) func(uint64) (string, func() error, error) {
	t.Helper()
	name := "simulation_" + strings.ToLower(rand.Text()) // a repeated test has another key
	pgtest.Prepared(t, name, prepare)
	server := pgtest.Shared(t)
	// A wait for a lock of a paused node is real, and virtual time stops.
	const limits = "&lock_timeout=300&deadlock_timeout=100"
	return func(uint64) (string, func() error, error) {
		database, drop, err := server.Copy(context.Background(), name)
		return database + limits, func() error { return drop(context.Background()) }, err
	}
}

// onSQLite copies a file for each world.
func onSQLite(t *testing.T, prepare func(context.Context, string) error) func(uint64) (string, func() error, error) {
	t.Helper()
	dir := quick(t)
	original := pgtest.File(t, filepath.Join(dir, "original.db"), "simulation_"+rand.Text(), prepare)
	file, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	return func(seed uint64) (string, func() error, error) {
		world, err := os.MkdirTemp(dir, fmt.Sprint(seed))
		if err != nil {
			return "", nil, err
		}
		database := filepath.Join(world, "world.db")
		return database, func() error { return os.RemoveAll(world) }, os.WriteFile(database, file, 0o600)
	}
}

// quick returns a directory in memory: the simulation has no power cut.
func quick(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "countersign-simulation")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
