package store_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"countersign/internal/copy"
	"countersign/internal/pgtest"
	"countersign/internal/store"
)

// BenchmarkCopy copies and compares 20,000 finished verifications, each with its event,
// check, charge and delivered part.
func BenchmarkCopy(b *testing.B) {
	const verifications, tables = 20_000, 5
	path := filepath.Join(b.TempDir(), "countersign.db")
	if err := store.Migrate(b.Context(), path); err != nil {
		b.Fatal(err)
	}
	file, err := pgtest.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	file.SetMaxOpenConns(1) // one connection, which has the temporary table
	for _, query := range []string{
		`INSERT INTO accounts (key, name, created_at) VALUES ('demo0001', 'Demo', 1000)`,
		`CREATE TEMP TABLE ids AS WITH RECURSIVE r (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < $1)
			SELECT i, randomblob(16) AS id, randomblob(16) AS event FROM r`,
		`INSERT INTO verifications (id, account, address, status, submitted_at, finalized_at, due_reason, fence, document)
			SELECT id, 'demo0001', '4477' || i, 'SUCCESS', 1000, 2000, '', 3, ` + fmt.Sprintf("x'%x'", store.PastDocument("1")) + ` FROM ids`,
		`INSERT INTO message_ids (carrier, ref, verification) SELECT 'a', hex(event), id FROM ids`,
		`INSERT INTO ledger (key, account, kind, amount, created_at) SELECT 'charge/' || hex(id), 'demo0001', 'charge', -5, 1000 FROM ids`,
	} {
		if _, err := file.ExecContext(b.Context(), query, verifications); err != nil {
			b.Fatal(err)
		}
	}
	if err := file.Close(); err != nil {
		b.Fatal(err)
	}
	pgtest.Shared(b) // starts the server, which takes a while
	for b.Loop() {
		if _, err := copy.Run(b.Context(), copy.Config{From: path, To: pgtest.URL(b), Key: key}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(verifications*tables*b.N)/b.Elapsed().Seconds(), "rows/s")
}
