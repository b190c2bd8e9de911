package store_test

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// BenchmarkAccept measures the database's share of a verification: it is accepted, counted
// for its number and charged, and the outcome of its first message is recorded. 64 callers
// share commits.
func BenchmarkAccept(b *testing.B) {
	for engine, database := range map[string]func() string{
		"sqlite":   func() string { return filepath.Join(b.TempDir(), "countersign.db") },
		"postgres": func() string { return pgtest.Prepared(b, "migrated", store.Migrate) },
	} {
		b.Run(engine, func(b *testing.B) {
			db, err := store.Open(b.Context(), store.Config{Database: database(), Key: key, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			if err := db.CreateAccount(b.Context(), store.NewAccount{
				Account: verify.Account{Key: "demo0001", Balance: 1 << 50}, Secret: "secret",
			}, t0); err != nil {
				b.Fatal(err)
			}
			var n atomic.Int64
			b.SetParallelism(32)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := accept(b, db, n.Add(1)); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

func accept(b *testing.B, db *store.DB, n int64) error {
	req := request("demo0001", fmt.Sprintf("44770%07d", n))
	now := t0.Add(time.Duration(n) * 100 * time.Microsecond).Truncate(time.Millisecond) // 10,000 a second
	var v verify.Verification
	err := db.Write(b.Context(), store.Scope{Account: req.Account, Number: req.To.Given, Begins: req.Account}, func(tx *store.Tx) error {
		g, err := tx.NumberHistory(req.To.Given)
		if err != nil {
			return err
		}
		c, err := beginning(tx, verify.Beginning{Request: req, Price: verify.Unit / 8}, false, now)
		if err != nil {
			return err
		}
		v = c.Verification
		g.Number = twenty().Sent(g.Number, req.Account, now)
		return errors.Join(tx.Save(c), tx.SaveNumberHistory(g, twenty().StaleAt(g.Number)))
	})
	if err != nil {
		return err
	}
	ref := fmt.Sprint(n)
	return db.Write(b.Context(), store.Scope{Changes: v.ID}, func(tx *store.Tx) error {
		v, _, err := tx.Verification(v.ID)
		if err != nil {
			return err
		}
		if _, _, err := tx.TakeReceipt(verify.Ref{Carrier: "a", ID: ref}, now); err != nil {
			return err
		}
		return tx.Save(v.Outcome(accepted(v, ref), onFailure(), now))
	})
}
