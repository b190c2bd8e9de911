package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/verify"
)

const postgresSpell = 5 * time.Second // of each measurement

// BenchmarkPostgres measures, on one server of PostgreSQL in one run, how many
// verifications a node writes in a second, with their charge and first event, and how
// many transactions pgbench makes that insert one row of the same size as a
// verification's. Both with as many clients, and every commit on disk.
func BenchmarkPostgres(b *testing.B) {
	server := pgtest.Start(b)
	for _, clients := range []int{1, 8, 64, 256} {
		db := openPostgres(b, server)
		b.Run(fmt.Sprint("accept/by=countersign/clients=", clients), func(b *testing.B) {
			b.ReportMetric(perSecond(b, clients, func(n int64) error { return acceptOne(b, db.store, n) }), "verifications/s")
			b.ReportMetric(0, "ns/op")
		})
		var size float64
		pgtest.Scan(b, db.url, "SELECT avg(pg_column_size(v.*))::FLOAT8 FROM verifications v", &size)
		b.Run(fmt.Sprint("accept/by=pgbench/clients=", clients), func(b *testing.B) {
			b.ReportMetric(pgbench(b, server, db.url, clients, int(size)), "transactions/s")
			b.ReportMetric(size, "octets/row")
			b.ReportMetric(0, "ns/op")
		})
	}
	for _, nodes := range []int{1, 2} {
		b.Run(fmt.Sprint("claim/nodes=", nodes), func(b *testing.B) { claim(b, server, nodes) })
	}
}

type postgresDB struct {
	url   string
	key   store.Key
	store *store.DB
}

// openPostgres makes a database with an account.
func openPostgres(b *testing.B, server *pgtest.Server) postgresDB {
	b.Helper()
	db := postgresDB{url: server.Create(b, "template0"), key: store.NewKey()}
	db.store = db.node(b)
	err := db.store.CreateAccount(b.Context(), store.NewAccount{
		Account: verify.Account{Key: "bench001", Balance: 1 << 50}, Secret: "secret",
	}, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	return db
}

// node is one more node on the database.
func (d postgresDB) node(b *testing.B) *store.DB {
	b.Helper()
	db, err := store.Open(b.Context(), store.Config{Database: d.url, Key: d.key, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	return db
}

// perSecond has so many clients do something for a while.
func perSecond(b *testing.B, clients int, do func(n int64) error) float64 {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), postgresSpell)
	defer cancel()
	var next, done atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := do(next.Add(1)); err != nil {
					b.Error(err)
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(done.Load()) / postgresSpell.Seconds()
}

func newVerification(n int64, now time.Time) (*store.Row, verify.Event) {
	v, e := verify.Start(verify.Request{
		Account: "bench001", Number: fmt.Sprintf("44770%07d", n), Country: "GB", Brand: "Acme", Locale: "en-gb", CodeLength: 4,
		Workflow: verify.Workflow{
			Steps: []verify.Step{
				{Channel: verify.SMS, Wait: 125 * time.Second}, {Channel: verify.TTS, Wait: 180 * time.Second},
				{Channel: verify.TTS, Wait: 300 * time.Second},
			},
			PINLife: 300 * time.Second, CancelAfter: 30 * time.Second,
		},
	}, verify.Unit/8, now, rand.Reader)
	return &store.Row{Verification: v}, e
}

func acceptOne(b *testing.B, db *store.DB, n int64) error {
	now := time.Now()
	row, first := newVerification(n, now)
	row.Take("node", now.Add(10*time.Second))
	limit := store.Limit{Account: row.Account, PerSecond: 65_535, Now: time.Now}
	return db.WriteLimited(b.Context(), limit, func(tx *store.Tx) error {
		running, paid, err := tx.ChargeUnlessRunning(row.Verification, store.Payer{}, now)
		if err != nil || !paid || running != nil {
			return errors.Join(err, fmt.Errorf("paid %t, running %v", paid, running))
		}
		return tx.Insert(row, first)
	})
}

var pgbenchResult = regexp.MustCompile(`tps = ([0-9.]+)`)

// pgbench has PostgreSQL's own load insert rows of a size.
func pgbench(b *testing.B, server *pgtest.Server, url string, clients, size int) float64 {
	b.Helper()
	const header = 24 + 16 // of a row, and its key
	pgtest.Exec(b, url, `CREATE TABLE IF NOT EXISTS one_row (id UUID PRIMARY KEY DEFAULT gen_random_uuid(), payload TEXT)`)
	cmd := server.Command("pgbench", "--no-vacuum", "--protocol=prepared", "--client", strconv.Itoa(clients), "--jobs", "2",
		"--time", strconv.Itoa(int(postgresSpell.Seconds())), "--file", "-", url)
	cmd.Stdin = strings.NewReader(fmt.Sprintf("INSERT INTO one_row (payload) VALUES (repeat('x', %d));\n", max(size-header, 1)))
	out, err := cmd.CombinedOutput()
	found := pgbenchResult.FindSubmatch(out)
	if err != nil || found == nil {
		b.Fatalf("pgbench: %v\n%s", err, out)
	}
	tps, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return tps
}

// claim has nodes take rows that are due, as their runners do, until none is left.
func claim(b *testing.B, server *pgtest.Server, nodes int) {
	const rows, batch = 40_000, 128
	db := openPostgres(b, server)
	now := time.Now()
	for from := int64(0); from < rows; from += batch {
		err := db.store.Write(b.Context(), func(tx *store.Tx) error {
			for n := from; n < min(from+batch, rows); n++ {
				row, first := newVerification(n, now.Add(-time.Hour))
				if err := tx.Insert(row, first); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	var taken atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for node := range nodes {
		db := db.node(b)
		wg.Go(func() {
			for taken.Load() < rows {
				found := 0
				err := db.Write(b.Context(), func(tx *store.Tx) error {
					due, _, err := tx.Due(now, batch)
					found = len(due)
					for _, row := range due {
						row.Take(fmt.Sprint("node", node), now.Add(time.Hour))
						err = errors.Join(err, tx.Save(row))
					}
					return err
				})
				if err != nil {
					b.Error(err)
					return
				}
				taken.Add(int64(found))
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(taken.Load())/time.Since(began).Seconds(), "claims/s")
	b.ReportMetric(0, "ns/op")
}
