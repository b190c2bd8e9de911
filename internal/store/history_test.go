package store_test

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// BenchmarkCheck measures the time of a start, a check and a search by one caller, one
// after the other, with a number of archived verifications and settled charges. It also
// measures the octets written to the log, which do not depend on the load of the machine.
// COUNTERSIGN_FINISHED adds another number.
func BenchmarkCheck(b *testing.B) {
	sizes := []int{10_000, 1_000_000}
	if n, err := strconv.Atoi(os.Getenv("COUNTERSIGN_FINISHED")); err == nil {
		sizes = append(sizes, n)
	}
	for _, n := range slices.Compact(sizes) {
		b.Run(fmt.Sprint("finished=", n), func(b *testing.B) {
			h := newHistory(b, n)
			before := h.written(b)
			for i := 0; b.Loop(); i++ {
				h.verify(b, i)
			}
			b.ReportMetric((h.written(b)-before)/float64(b.N), "log-B/op")
			h.report(b)
		})
	}
}

// history is a database with archived verifications.
type history struct {
	db       *store.DB
	database string
	size     int
	times    map[string][]time.Duration
}

// written returns the octets that the server has written to its log.
func (h *history) written(b *testing.B) (octets float64) {
	b.Helper()
	pgtest.Scan(b, h.database, `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::FLOAT8`, &octets)
	return octets
}

const historyMonths = 13

func newHistory(b *testing.B, size int) *history {
	b.Helper()
	database := pgtest.Prepared(b, "migrated", store.Migrate)
	db, err := store.Open(b.Context(), store.Config{Database: database, Key: key, Log: slog.New(slog.DiscardHandler)})
	mustBench(b, err)
	b.Cleanup(func() { mustBench(b, db.Close()) })
	mustBench(b, db.CreateAccount(b.Context(), store.NewAccount{
		Account: verify.Account{Key: "demo0001", Balance: 1 << 50}, Secret: "secret",
	}, t0))
	for m := range historyMonths {
		mustBench(b, db.Prepare(b.Context(), t0.AddDate(0, -m, 0)))
	}
	first := t0.AddDate(0, 1-historyMonths, 0)
	span := t0.Sub(first).Milliseconds()
	// Skips the checks of foreign keys; the archive has none.
	pgtest.Exec(b, database, fmt.Sprintf(`BEGIN;
		SET LOCAL session_replication_role = replica;
		CREATE TEMP TABLE past ON COMMIT DROP AS
			SELECT i, md5(i::TEXT) AS id, %d + i::BIGINT * %d / %d AS ended FROM generate_series(0, %d) i;
		INSERT INTO archive (id, account, address, finalized_at, submitted_at, document)
			SELECT decode(id, 'hex'), 'demo0001', '4477' || lpad(i::TEXT, 8, '0'), ended, ended - 60000, %s FROM past;
		INSERT INTO ledger_past (key, account, kind, amount, created_at)
			SELECT 'charge/' || id, 'demo0001', 'charge', -12050000, ended - 60000 FROM past;
		COMMIT`, first.UnixMilli(), span, size, size-1, pastDocument))
	pgtest.Exec(b, database, `VACUUM ANALYZE`)
	pgtest.Exec(b, database, `CHECKPOINT`)
	return &history{db: db, database: database, size: size, times: map[string][]time.Duration{}}
}

// pastDocument is an SQL expression for the document of a verification with an event, a check
// and their facts; placeholder is the ref of its part.
var pastDocument = fmt.Sprintf(`decode('%x', 'hex')`, store.PastDocument(placeholder))

const placeholder = "00000000/0"

func mustBench(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// verify starts a verification, checks its code, and searches for an old one.
func (h *history) verify(b *testing.B, i int) {
	var v verify.Verification
	h.time("start", func() {
		var err error
		beginning := verify.Beginning{Request: request("demo0001", fmt.Sprintf("44780%07d", i)), Price: verify.Unit / 8}
		v, err = start(b.Context(), h.db, beginning, false, t0)
		mustBench(b, err)
	})
	h.time("check", func() {
		mustBench(b, h.db.Write(b.Context(), store.Scope{Verification: v.ID}, func(tx *store.Tx) error {
			stored, _, err := tx.Verification(v.ID)
			if err != nil {
				return err
			}
			c, err := stored.Check(v.PIN, "192.0.2.1", verify.Uncapped{}, at(1))
			if err != nil {
				return err
			}
			return tx.Save(c)
		}))
	})
	past := md5.Sum([]byte(strconv.Itoa(i * 7919 % h.size)))
	h.time("search", func() {
		if _, ok, err := h.db.Verification(b.Context(), verify.ID(past)); !ok || err != nil {
			b.Fatalf("verification not found in the archive: %v", err)
		}
	})
}

func (h *history) time(what string, do func()) {
	begun := time.Now()
	do()
	h.times[what] = append(h.times[what], time.Since(begun))
}

func (h *history) report(b *testing.B) {
	for what, times := range h.times {
		slices.Sort(times)
		for _, percent := range []int{50, 99} {
			took := times[(len(times)-1)*percent/100]
			b.ReportMetric(float64(took.Microseconds()), fmt.Sprintf("%s-p%d-µs", what, percent))
		}
	}
}

// BenchmarkArchive archives batches of a hundred verifications, each with an event, a part
// and a check.
func BenchmarkArchive(b *testing.B) {
	const size = 100_000
	database := pgtest.Prepared(b, "migrated", store.Migrate)
	db, err := store.Open(b.Context(), store.Config{Database: database, Key: key, Log: slog.New(slog.DiscardHandler)})
	mustBench(b, err)
	defer db.Close()
	mustBench(b, db.CreateAccount(b.Context(), store.NewAccount{Account: verify.Account{Key: "demo0001"}, Secret: "secret"}, t0))
	documents := strings.ReplaceAll(pastDocument, hex.EncodeToString([]byte(placeholder)),
		`', 'hex') || convert_to(lpad(i::TEXT, 8, '0') || '/0', 'UTF8') || decode('`)
	pgtest.Exec(b, database, fmt.Sprintf(`BEGIN;
		SET LOCAL session_replication_role = replica;
		CREATE TEMP TABLE past ON COMMIT DROP AS
			SELECT i, decode(md5(i::TEXT), 'hex') AS id, %d + i AS ended FROM generate_series(1, %d) i;
		INSERT INTO verifications (id, account, address, status, submitted_at, finalized_at, due_reason, fence, document)
			SELECT id, 'demo0001', '4477' || lpad(i::TEXT, 8, '0'), 'SUCCESS', ended - 60000, ended, '', 3,
				%s FROM past;
		INSERT INTO message_ids SELECT 'acme-sms', lpad(i::TEXT, 8, '0') || '/0', id FROM past;
		COMMIT`, t0.UnixMilli(), size, documents))
	pgtest.Exec(b, database, `VACUUM ANALYZE`)
	var times []time.Duration
	for b.Loop() {
		begun := time.Now()
		moved, err := db.Archive(b.Context(), store.Cutoffs{Codes: t0.AddDate(1, 0, 0)}, 100)
		mustBench(b, err)
		if moved != 100 {
			b.Fatalf("%d were archived: the database has too few verifications for this benchtime", moved)
		}
		times = append(times, time.Since(begun))
	}
	// The last tenth shows whether deleted rows slow the search.
	(&history{times: map[string][]time.Duration{"batch": times, "last": slices.Clone(times[len(times)*9/10:])}}).report(b)
}
