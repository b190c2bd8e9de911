package store

import (
	"context"
	"testing"

	"countersign/internal/await"
	"countersign/internal/pgtest"
)

// TestListen: Listen wakes for each committed notification of another node, also after the
// loss of its connection.
func TestListen(t *testing.T) {
	t.Parallel()
	database := pgtest.Prepared(t, "migrated", Migrate)
	here, there := openPostgres(t, database), openPostgres(t, database)
	ctx, stop := context.WithCancel(t.Context())
	heard, done := make(chan struct{}, 100), make(chan struct{})
	go func() {
		defer close(done)
		here.Listen(ctx, func() { heard <- struct{}{} })
	}()
	defer func() { stop(); <-done }()
	want := func(what string) {
		t.Helper()
		await.Closed(t, "heard: "+what, heard)
	}
	handOver := func() {
		t.Helper()
		if err := there.Write(t.Context(), Scope{}, func(tx *Tx) error { return tx.NotifyHandOff() }); err != nil {
			t.Fatal(err)
		}
	}
	want("the connection")
	handOver()
	want("what was handed over")
	pgtest.Exec(t, database, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND query LIKE 'LISTEN%'`)
	want("the connection, opened again")
	handOver()
	want("what was handed over then")
}
