package store_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"countersign/internal/pgtest"
	"countersign/internal/store"
)

// Tests of an archive with partitions.

func partitions(t *testing.T, database string) (names string) {
	t.Helper()
	pgtest.Scan(t, database, `SELECT COALESCE(string_agg(inhrelid::regclass::TEXT, ' ' ORDER BY 1), '')
		FROM (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'archive'::regclass ORDER BY inhrelid::regclass::TEXT) p`, &names)
	return names
}

// TestPostgresPrepare: several nodes make the partitions of this month and the next, with
// the correct bounds.
func TestPostgresPrepare(t *testing.T) {
	t.Parallel()
	database := postgres(t)
	nodes := [2]*store.DB{openFile(t, database, key), openFile(t, database, key)}
	newYear := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	each(nodes, 5, func(db *store.DB, _ int) {
		if err := db.Prepare(t.Context(), newYear.Add(-ms)); err != nil {
			t.Error(err)
		}
	})
	if got := partitions(t, database); got != "archive_2025_12 archive_2026_01" {
		t.Errorf("the partitions are %s", got)
	}
	elsewhere := time.FixedZone("", -10*3600)
	must(t, nodes[0].Prepare(t.Context(), newYear.In(elsewhere)))
	if got := partitions(t, database); got != "archive_2025_12 archive_2026_01 archive_2026_02" {
		t.Errorf("the partitions are %s", got)
	}

	addAccount(t, nodes[0], "demo0001", 0)
	finish(t, nodes[0], "447700900000", newYear.Add(-ms))
	finish(t, nodes[0], "447700900001", newYear)
	finish(t, nodes[0], "447700900002", newYear.AddDate(0, 5, 0)) // without a prepared partition
	archive(t, nodes[0], store.Cutoffs{Codes: newYear.AddDate(1, 0, 0)}, 10, 3)
	for month, number := range map[string]string{"2025_12": "447700900000", "2026_01": "447700900001", "2026_06": "447700900002"} {
		var got string
		pgtest.Scan(t, database, `SELECT address FROM archive_`+month, &got)
		if got != number {
			t.Errorf("in %s is %s, want %s", month, got, number)
		}
	}
}

// TestPostgresDropWaits: while a month is being read, it is not dropped, and later readers
// do not wait.
func TestPostgresDropWaits(t *testing.T) {
	t.Parallel()
	database := postgres(t)
	db := openFile(t, database, key)
	addAccount(t, db, "demo0001", 0)
	v := finish(t, db, "447700900000", t0)
	archive(t, db, store.Cutoffs{Codes: t0}, 10, 1)
	reader, err := pgx.Connect(t.Context(), database)
	must(t, err)
	defer reader.Close(t.Context())
	_, err = reader.Exec(t.Context(), `BEGIN; LOCK TABLE archive IN ACCESS SHARE MODE`)
	must(t, err)
	drop(t, db, t0.AddDate(1, 0, 0), false)
	find(t, db, v.ID)
	_, err = reader.Exec(t.Context(), `ROLLBACK`)
	must(t, err)
	drop(t, db, t0.AddDate(1, 0, 0), true)
	wantGone(t, db, v.ID)
}

// TestPostgresArchiveBusy: Archive skips rows locked by another transaction until the next run.
func TestPostgresArchiveBusy(t *testing.T) {
	t.Parallel()
	database := postgres(t)
	db := openFile(t, database, key)
	addAccount(t, db, "demo0001", 0)
	busy, free := finish(t, db, "447700900000", at(0)), finish(t, db, "447700900001", at(1))
	other, err := pgx.Connect(t.Context(), database)
	must(t, err)
	defer other.Close(t.Context())
	tx, err := other.Begin(t.Context())
	must(t, err)
	var id []byte
	must(t, tx.QueryRow(t.Context(), `SELECT id FROM verifications WHERE address = $1 FOR NO KEY UPDATE`, busy.To.Given).Scan(&id))
	archive(t, db, store.Cutoffs{Codes: at(10)}, 10, 1)
	wantFound(t, db, busy)
	wantFound(t, db, withoutCodes(free))
	must(t, tx.Rollback(t.Context()))
	archive(t, db, store.Cutoffs{Codes: at(10)}, 10, 1)
	wantFound(t, db, withoutCodes(busy))
}
