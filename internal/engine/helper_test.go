package engine_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/await"
	"countersign/internal/deliver"
	"countersign/internal/engine"
	"countersign/internal/logtest"
	"countersign/internal/message"
	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/template"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// catalog is shared by all engines here, since loading it takes longer than most tests.
var catalog = sync.OnceValues(message.New)

// at returns the time s seconds after the start.
func at(s float64) time.Time { return t0.Add(time.Duration(s * float64(time.Second))) }

// bench is an engine with a separate database, and a carrier and a clock controlled by the
// test.
type bench struct {
	*engine.Engine
	db      *store.DB
	path    string
	clock   *clockwork.FakeClock
	carrier *carrier
	account verify.Account
	t       *testing.T
}

// carrier accepts every message; with gate set, each waits for a receive from gate.
type carrier struct {
	gate chan struct{}

	mu   sync.Mutex
	sent []deliver.Message
}

func (c *carrier) Send(ctx context.Context, m deliver.Message) (deliver.Submission, error) {
	c.mu.Lock()
	c.sent = append(c.sent, m)
	c.mu.Unlock()
	if c.gate != nil {
		select {
		case <-c.gate:
		case <-ctx.Done():
			return deliver.Submission{}, ctx.Err()
		}
	}
	return deliver.Submission{Refs: []string{"ref"}}, nil
}

func (c *carrier) all() []deliver.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]deliver.Message(nil), c.sent...)
}

// setUp returns an engine that does not take due steps before Resume.
func setUp(t *testing.T, change ...func(*bench, *engine.Config)) *bench {
	t.Helper()
	database := pgtest.Chosen(t, filepath.Join(t.TempDir(), "countersign.db"), "migrated", store.Migrate)
	return setUpNode(t, database, vault.NewKey(), clockwork.NewFakeClockAt(t0), change...)
}

// setUpNode returns an engine on a database that other engines may share.
func setUpNode(t *testing.T, database string, key vault.Key, clock *clockwork.FakeClock, change ...func(*bench, *engine.Config)) *bench {
	t.Helper()
	b := &bench{
		t: t, clock: clock, carrier: &carrier{}, path: database,
		account: verify.Account{Key: "demo0001", Balance: 100 * verify.Unit},
	}
	var err error
	b.db, err = store.Open(t.Context(), store.Config{Database: b.path, Key: key, Now: clock.Now(), Log: slog.New(slog.DiscardHandler), Serve: true})
	must(t, err)
	messages, err := catalog()
	must(t, err)
	router, err := deliver.NewRouter(deliver.RouterConfig{
		Routes: []deliver.Route{{Carriers: []string{"phone"}}}, Carriers: map[string]deliver.Carrier{"phone": b.carrier}, Now: b.clock.Now,
	})
	must(t, err)
	err = b.db.CreateAccount(t.Context(), store.NewAccount{
		Account: b.account, Secret: "secret", SignatureMethod: "sha256", SignatureSecret: "signature secret",
	}, t0)
	if !errors.Is(err, store.ErrAccountExists) { // another node created it
		must(t, err)
	}
	cfg := engine.Config{
		Store: b.db, Router: router, Clock: b.clock,
		Messages: template.NewWriter(messages, b.db, slog.New(slog.DiscardHandler)),
		Log:      logtest.New(t), Metrics: prometheus.NewRegistry(),
	}
	for _, c := range change {
		c(b, &cfg)
	}
	b.Engine = engine.New(cfg)
	t.Cleanup(func() {
		ctx, giveUp := context.WithCancel(context.Background())
		giveUp()
		_ = b.Stop(ctx) // ends remaining deliveries
		_ = b.db.Close()
	})
	return b
}

// resume lets the engine take due steps until the test ends.
func (b *bench) resume() {
	b.Resume()
	b.t.Cleanup(func() {
		if err := b.Stop(context.WithoutCancel(b.t.Context())); err != nil {
			b.t.Errorf("stop engine: %v", err)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// kind returns the kind of a refusal, or -1 for any other error and for nil.
func kind(err error) verify.Kind {
	if e, ok := errors.AsType[*verify.Error](err); ok {
		return e.Kind
	}
	return -1
}

func (b *bench) request() verify.Request {
	return verify.Request{
		Account: b.account.Key, To: verify.PhoneAddress(number, "GB"), Brand: "Acme", Locale: "en-gb", CodeLength: 4,
		Workflow: verify.Workflow{
			Steps: []verify.Step{
				{Channel: verify.SMS, Wait: 125 * time.Second}, {Channel: verify.TTS, Wait: 180 * time.Second},
				{Channel: verify.TTS, Wait: 300 * time.Second},
			},
			PINLife: 300 * time.Second, PINPolicy: verify.ReusePIN, CancelAfter: 30 * time.Second,
		},
	}
}

func (b *bench) record(id verify.ID) verify.Verification {
	b.t.Helper()
	rec, ok, err := b.db.Verification(b.t.Context(), id)
	if err != nil || !ok {
		b.t.Fatalf("record of %s: %v, %v", id, ok, err)
	}
	return rec
}

// settled waits until the outcome of event seq is recorded. The same commit releases the
// lease of the row.
func (b *bench) settled(id verify.ID, seq int) verify.Event {
	b.t.Helper()
	var e verify.Event
	await.Until(b.t, fmt.Sprintf("recorded: the outcome of event %d", seq), func() bool {
		events := b.record(id).Events
		if len(events) <= seq {
			return false
		}
		e = events[seq]
		return e.State != verify.EventSubmitting
	})
	return e
}

func (b *bench) lease(id verify.ID) verify.Lease {
	b.t.Helper()
	return b.record(id).Lease
}

// renewed waits until the lease of the only row ends at the given time. It reads without a
// lock, since renewals skip locked rows.
func (b *bench) renewed(end time.Time) {
	b.t.Helper()
	await.Until(b.t, "renewed: the lease", func() bool {
		due, ok, err := b.db.NextDue(b.t.Context())
		return err == nil && ok && due.Equal(end)
	})
}

// orphan returns the state left by a process that died while it submitted the first event,
// at attempt 1 or 2: a row under a lease that is not renewed.
func (b *bench) orphan(attempt int) (verify.Verification, verify.Event) {
	b.t.Helper()
	return b.orphanOf(b.request(), attempt)
}

// orphanOf is orphan for a request.
func (b *bench) orphanOf(req verify.Request, attempt int) (verify.Verification, verify.Event) {
	b.t.Helper()
	c, _, err := verify.Begin(verify.Beginning{
		Request: req, Payer: b.account.Key, History: verify.Uncapped{}, Node: "dead node",
	}, t0, rand.Reader)
	must(b.t, err)
	v := c.Verification
	v.Events[0].Attempt, v.Lease.Until = attempt, at(15)
	b.insert(v)
	return v, v.Events[0]
}

// insert adds a verification, bypassing the engine.
func (b *bench) insert(v verify.Verification) {
	b.t.Helper()
	must(b.t, b.db.Write(b.t.Context(), store.Scope{}, func(tx *store.Tx) error { return tx.Save(verify.Change{Verification: v, New: true}) }))
}

// alter changes a stored verification, bypassing the engine.
func (b *bench) alter(id verify.ID, change func(*verify.Verification)) {
	b.t.Helper()
	must(b.t, b.db.Write(b.t.Context(), store.Scope{}, func(tx *store.Tx) error {
		v, ok, err := tx.Verification(id)
		if err != nil || !ok {
			return errors.Join(err, errors.New("no such verification"))
		}
		change(&v)
		return tx.Save(verify.Change{Verification: v})
	}))
}

// withoutHistory returns a verification without its events, checks, facts and lease.
func withoutHistory(v verify.Verification) verify.Verification {
	v.Events, v.Checks, v.Facts, v.Lease = nil, nil, nil, verify.Lease{}
	return v
}

// breakRows damages the documents of all verifications. It must not be called twice.
func (b *bench) breakRows() {
	b.t.Helper()
	b.behind(`CREATE TABLE whole AS SELECT id, document FROM verifications`)
	b.behind(`UPDATE verifications SET document = id`)
}

// mendRows is the reverse of breakRows.
func (b *bench) mendRows() {
	b.t.Helper()
	b.behind(`UPDATE verifications SET document = whole.document FROM whole WHERE whole.id = verifications.id`)
}

// behind runs SQL, bypassing the engine.
func (b *bench) behind(query string) {
	b.t.Helper()
	db, err := pgtest.Open(b.path)
	must(b.t, err)
	defer db.Close()
	_, err = db.ExecContext(b.t.Context(), query)
	must(b.t, err)
}

// rest blocks until every goroutine of the engine waits for the test: for the clock to
// advance, for a carrier's reply, or for a call. The test must run in a synctest
// bubble.
func (b *bench) rest() { synctest.Wait() }
