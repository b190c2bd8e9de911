package store_test

import (
	"path/filepath"
	"testing"

	"countersign/internal/pgtest"
	"countersign/internal/store"
)

// BenchmarkCopy copies and compares 20,000 verifications that are over, each with
// its event, check, charge and delivered part.
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
	file.SetMaxOpenConns(1) // that of the temporary table
	for _, query := range []string{
		`INSERT INTO accounts (key, name, created_at) VALUES ('demo0001', 'Demo', 1000)`,
		`CREATE TEMP TABLE ids AS WITH RECURSIVE r (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < $1)
			SELECT i, randomblob(16) AS id, randomblob(16) AS event FROM r`,
		`INSERT INTO verifications (id, account, number, country, brand, sender, locale, code_length, chosen_pin, workflow, price, submitted_at,
				status, finalized_at, generation, pin_expires_at, tries, events, first_event_at, last_event_at, last_event_id, fence)
			SELECT id, 'demo0001', '4477' || i, 'GB', 'Acme', '', 'en-gb', 4, FALSE,
				'{"steps":[{"channel":"sms","wait":125000},{"channel":"tts","wait":180000}],"pin_life":300000}', 5, 1000,
				'SUCCESS', 2000, 1, 301000, 1, 1, 1000, 1000, event, 3 FROM ids`,
		`INSERT INTO events (id, verification, seq, channel, generation, state, attempt, started_at, carrier, cost)
			SELECT event, id, 0, 'sms', 1, 'delivered', 1, 1000, 'a', 5 FROM ids`,
		`INSERT INTO checks (verification, seq, generation, valid, ip_address, received_at) SELECT id, 0, 1, TRUE, '192.0.2.1', 2000 FROM ids`,
		`INSERT INTO parts (carrier, ref, verification, event_seq, attempt, seq, count, state, error) SELECT 'a', hex(event), id, 0, 1, 0, 1, 'delivered', '' FROM ids`,
		`INSERT INTO ledger (key, account, kind, amount, created_at) SELECT 'charge/' || hex(id), 'demo0001', 'charge', -5, 1000 FROM ids`,
	} {
		if _, err := file.ExecContext(b.Context(), query, verifications); err != nil {
			b.Fatal(err)
		}
	}
	if err := file.Close(); err != nil {
		b.Fatal(err)
	}
	pgtest.Shared(b) // starts, which takes a while
	for b.Loop() {
		if _, err := store.Copy(b.Context(), store.CopyConfig{From: path, To: pgtest.URL(b), Key: key}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(verifications*tables*b.N)/b.Elapsed().Seconds(), "rows/s")
}
