package bench

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

// BenchmarkPostgres measures the due rows per second that nodes claim, on one server of
// PostgreSQL with every commit on disk.
func BenchmarkPostgres(b *testing.B) {
	server := pgtest.Start(b)
	for _, nodes := range []int{1, 2} {
		b.Run(fmt.Sprint("claim/nodes=", nodes), func(b *testing.B) { claim(b, server, nodes) })
	}
}

type postgresDB struct {
	url   string
	key   vault.Key
	store *store.DB
}

// openPostgres creates a database with an account.
func openPostgres(b *testing.B, server *pgtest.Server) postgresDB {
	b.Helper()
	db := postgresDB{url: server.Create(b, "template0"), key: vault.NewKey()}
	db.store = db.node(b)
	err := db.store.CreateAccount(b.Context(), store.NewAccount{
		Account: verify.Account{Key: account, Balance: 1 << 50}, Secret: "secret",
	}, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	return db
}

// node opens the database as another node.
func (d postgresDB) node(b *testing.B) *store.DB {
	b.Helper()
	db, err := store.Open(b.Context(), store.Config{Database: d.url, Key: d.key, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	return db
}

// newBeginning returns the input of a start, without the number history and the funds.
func newBeginning(n int64) verify.Beginning {
	return verify.Beginning{
		Request: verify.Request{
			Account: account, To: verify.PhoneAddress(fmt.Sprintf("44770%07d", n), "GB"), Brand: "Acme", Locale: "en-gb", CodeLength: 4,
			Workflow: verify.Workflow{
				Steps: []verify.Step{
					{Channel: verify.SMS, Wait: 125 * time.Second}, {Channel: verify.TTS, Wait: 180 * time.Second},
					{Channel: verify.TTS, Wait: 300 * time.Second},
				},
				PINLife: 300 * time.Second, CancelAfter: 30 * time.Second,
			},
		},
		Payer: account, Node: "node",
	}
}

// account is the account of all verifications.
const account = "bench001"

// claim acquires the leases of all due rows with concurrent nodes, like their runners.
func claim(b *testing.B, server *pgtest.Server, nodes int) {
	const rows, batch = 40_000, 128
	db := openPostgres(b, server)
	now := time.Now()
	for from := int64(0); from < rows; from += batch {
		err := db.store.Write(b.Context(), store.Scope{}, func(tx *store.Tx) error {
			for n := from; n < min(from+batch, rows); n++ {
				in := newBeginning(n)
				in.History = verify.Uncapped{}
				begun, _, err := verify.Begin(in, now.Add(-time.Hour), rand.Reader)
				if err != nil {
					return err
				}
				if err := tx.Save(begun); err != nil {
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
				err := db.Write(b.Context(), store.Scope{}, func(tx *store.Tx) error {
					due, _, err := tx.Due(now, batch)
					found = len(due)
					for _, row := range due {
						row.Lease = verify.Lease{Node: fmt.Sprint("node", node), Until: now.Add(time.Hour), Token: row.Lease.Token + 1}
						err = errors.Join(err, tx.Save(verify.Change{Verification: row.Verification}))
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
