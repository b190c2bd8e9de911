package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/deliver"
	"countersign/internal/engine"
	"countersign/internal/refusal"
	"countersign/internal/store"
	"countersign/internal/template"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

// BenchmarkFlood compares accepted starts alone, with ten refused starts each, and with
// the refused ones recorded. The modes take turns, so the ratios are of one run.
func BenchmarkFlood(b *testing.B) {
	f := newFlood(b)
	const each = 2000
	var took [3]time.Duration
	for round := 0; b.Loop(); round++ {
		for i := range took {
			mode := (round + i) % len(took)
			began := time.Now()
			f.starts(b, each, mode > 0, mode > 1)
			took[mode] += time.Since(began)
		}
	}
	per := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(b.N*each) }
	b.ReportMetric(per(took[0]), "µs/start")
	b.ReportMetric(per(took[1]), "µs/start-flooded")
	b.ReportMetric(per(took[2]), "µs/start-recorded")
	b.ReportMetric(took[2].Seconds()/took[1].Seconds(), "recorded/flooded")
	b.ReportMetric(0, "ns/op")
}

type flood struct {
	engine  *engine.Engine
	log     *refusal.Log
	account verify.Account
	n       atomic.Int64
}

func newFlood(b *testing.B) *flood {
	log := slog.New(slog.DiscardHandler)
	clock := clockwork.NewRealClock()
	db, err := store.Open(b.Context(), store.Config{Database: b.TempDir() + "/countersign.db", Key: vault.NewKey(), Log: log, Serve: true})
	if err != nil {
		b.Fatal(err)
	}
	f := &flood{account: verify.Account{Key: "demo0001", Unlimited: true}}
	if err := db.CreateAccount(b.Context(), store.NewAccount{Account: f.account, Secret: "secret"}, clock.Now()); err != nil {
		b.Fatal(err)
	}
	messages, err := catalog()
	if err != nil {
		b.Fatal(err)
	}
	router, err := deliver.NewRouter(deliver.RouterConfig{
		Routes: []deliver.Route{{Carriers: []string{"phone"}}, {Prefix: "4499"}}, Carriers: map[string]deliver.Carrier{"phone": nowhere{}},
	})
	if err != nil {
		b.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	f.engine = engine.New(engine.Config{
		Store: db, Router: router, Clock: clock, Log: log, Metrics: reg, Messages: template.NewWriter(messages, db, log),
	})
	f.engine.Resume()
	f.log = refusal.New(refusal.Config{Store: db, Clock: clock, Log: log, Metrics: reg})
	f.log.Start()
	b.Cleanup(func() {
		ctx := context.WithoutCancel(b.Context())
		_, _ = f.engine.Stop(ctx), f.log.Stop(ctx)
		_ = db.Close()
	})
	return f
}

// nowhere accepts every message.
type nowhere struct{}

func (nowhere) Send(context.Context, deliver.Message) (deliver.Submission, error) {
	return deliver.Submission{}, nil
}

// starts makes n accepted starts from 32 goroutines; if flooded, with ten refused ones each.
func (f *flood) starts(b *testing.B, n int, flooded, recorded bool) {
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range n / 32 {
				f.start(b, "4477")
				for i := 0; flooded && i < 10; i++ {
					f.refuse(b, recorded)
				}
			}
		})
	}
	wg.Wait()
}

func (f *flood) request(prefix string) verify.Request {
	return verify.Request{
		Account: f.account.Key, To: verify.PhoneAddress(fmt.Sprintf("%s%08d", prefix, f.n.Add(1)), "GB"), Brand: "Acme", Locale: "en-gb", CodeLength: 4,
		Workflow: verify.Workflow{Steps: []verify.Step{{Channel: verify.SMS}}, PINLife: time.Hour, PINPolicy: verify.ReusePIN},
	}
}

func (f *flood) start(b *testing.B, prefix string) {
	if _, err := f.engine.Start(b.Context(), f.account, f.request(prefix)); err != nil {
		b.Error(err)
	}
}

func (f *flood) refuse(b *testing.B, recorded bool) {
	req := f.request("4499") // a random number without a route
	_, err := f.engine.Start(b.Context(), f.account, req)
	refused, ok := err.(*verify.Error) //nolint:errorlint // as Start returns it
	if !ok {
		b.Errorf("start: %v", err)
		return
	}
	if recorded {
		f.log.Add(verify.Refusal{Account: f.account.Key, Number: req.To.Given, Cause: refused.Cause(), Source: "192.0.2.1"})
	}
}
