package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"countersign/internal/await"
	"countersign/internal/pgtest"
	"countersign/internal/server"
	"countersign/internal/store"
	"countersign/internal/vault"
)

// drill is an installation under load while its keys are replaced.
type drill struct {
	t        *testing.T
	database string
	clock    *clockwork.FakeClock
	nodes    []*running
	onDisk   atomic.Pointer[vault.Key] // content of the key file

	rounds  [4]atomic.Int64 // completed rounds of each worker
	failed  atomic.Int64
	stopped atomic.Bool
	workers sync.WaitGroup
}

// TestKeysUnderLoad: no check fails while the data keys and the key file are replaced.
func TestKeysUnderLoad(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		testKeysUnderLoad(t, filepath.Join(t.TempDir(), "countersign.db"), 1)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		testKeysUnderLoad(t, pgtest.Prepared(t, "migrated", store.Migrate), 2)
	})
}

func testKeysUnderLoad(t *testing.T, database string, nodes int) {
	d := &drill{t: t, database: database, clock: clockwork.NewFakeClockAt(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))}
	first, next := vault.NewKey(), vault.NewKey()
	d.onDisk.Store(&first)
	for range nodes {
		d.start()
	}
	defer d.workers.Wait()
	defer d.stopped.Store(true)
	for i := range d.rounds {
		d.workers.Go(func() { d.work(i) })
	}
	d.allWorkers()

	old := d.tool(first)
	d.change(func() error { return old.Vault().NewDataKeys(t.Context(), d.clock.Now()) })
	d.allWorkers()
	d.change(func() error { return old.Vault().AddKeyFile(t.Context(), next, d.clock.Now()) })
	d.change(func() error { return old.Vault().NewDataKeys(t.Context(), d.clock.Now()) })
	d.minute()
	tool := d.tool(next)
	d.change(func() error {
		err := tool.Vault().FinishKeyFile(t.Context(), d.clock.Now(), false)
		switch {
		case err == nil:
			t.Error("rotation finished while servers have the old file")
		case errors.Is(err, vault.ErrKeyInUse):
			err = nil
		}
		return err
	})
	d.onDisk.Store(&next)
	for finished := false; !finished; {
		d.minute()
		d.change(func() error {
			err := tool.Vault().FinishKeyFile(t.Context(), d.clock.Now(), false)
			finished = err == nil
			if errors.Is(err, vault.ErrKeyInUse) {
				return nil // not yet
			}
			return err
		})
	}
	d.change(func() error { return tool.Vault().NewDataKeys(t.Context(), d.clock.Now()) })
	d.allWorkers()
	if nodes > 1 {
		d.start() // uses the new file
	}
	d.minute()
	d.stopped.Store(true)
	d.workers.Wait()
	for _, node := range d.nodes {
		node.halt()
	}

	total := int64(0)
	for i := range d.rounds {
		total += d.rounds[i].Load()
	}
	t.Logf("%d verifications on %d nodes, key file rotated once, data keys 3 times: %d failed checks", total, nodes, d.failed.Load())
	if d.failed.Load() != 0 || total == 0 {
		t.Errorf("%d of %d failed", d.failed.Load(), total)
	}
	if _, err := store.Open(t.Context(), store.Config{Database: database, Key: first, Log: slog.New(slog.DiscardHandler)}); !errors.Is(err, vault.ErrKey) {
		t.Errorf("open with the old key file: %v, want ErrKey", err)
	}
}

func (d *drill) must(err error) {
	d.t.Helper()
	if err != nil {
		d.stopped.Store(true)
		d.t.Fatal(err)
	}
}

// change runs a command's operation, and retries while a server holds the lock: SQLite
// allows one writer at a time.
func (d *drill) change(do func() error) {
	d.t.Helper()
	err := do()
	for ; err != nil && strings.Contains(err.Error(), "database is locked") && !d.stopped.Load(); err = do() {
		d.allWorkers()
	}
	d.must(err)
}

// start starts another node with the current key file.
func (d *drill) start() {
	d.t.Helper()
	opts := options(d.database, *d.onDisk.Load())
	if store.IsPostgres(d.database) {
		opts.Config.Database = d.database
	}
	opts.Clock = d.clock
	opts.ReadKey = func() (vault.Key, error) { return *d.onDisk.Load(), nil }
	d.nodes = append(d.nodes, run(d.t, opts))
}

// tool opens the database as a command does.
func (d *drill) tool(file vault.Key) *store.DB {
	d.t.Helper()
	db, err := store.Open(d.t.Context(), store.Config{Database: d.database, Key: file, Log: slog.New(slog.DiscardHandler)})
	d.must(err)
	d.t.Cleanup(func() { d.must(db.Close()) })
	return db
}

// work verifies numbers until the drill ends. Each verification starts on one node and is
// checked on another, once with a wrong code.
func (d *drill) work(worker int) {
	nodes := d.nodes // nodes at the start
	for round := 0; !d.stopped.Load(); round++ {
		a, b := nodes[round%len(nodes)], nodes[(round+1)%len(nodes)]
		code := fmt.Sprintf("%06d", round%1000*1000+worker)
		started := d.post(a, "/verify/json", url.Values{
			"number": {fmt.Sprintf("447700%d%05d", worker, round)}, "brand": {"Acme"}, "pin_code": {code},
		})
		id := fmt.Sprint(started["request_id"])
		wrong := d.post(b, "/verify/check/json", url.Values{"request_id": {id}, "code": {"999999"}})
		right := d.post(b, "/verify/check/json", url.Values{"request_id": {id}, "code": {code}})
		if wrong["status"] != "16" || right["status"] != "0" {
			d.failed.Add(1)
			d.t.Errorf("started %v, wrong code %v, right code %v", started, wrong, right)
			d.stopped.Store(true)
		}
		d.rounds[worker].Add(1)
	}
}

// allWorkers waits until each worker has started and finished a verification since the call.
func (d *drill) allWorkers() {
	var since [len(d.rounds)]int64
	for i := range d.rounds {
		since[i] = d.rounds[i].Load()
	}
	for i := range d.rounds {
		await.Until(d.t, "verified: another number", func() bool { return d.stopped.Load() || d.rounds[i].Load() >= since[i]+2 })
	}
}

// minute advances the time by a minute, in which the servers reread their keys. No
// verification spans more than two of them.
func (d *drill) minute() {
	if d.stopped.Load() {
		d.t.FailNow()
	}
	d.clock.Advance(time.Minute)
	d.allWorkers()
}

func (d *drill) post(node *running, path string, params url.Values) (answer map[string]any) {
	params.Set("api_key", server.DemoAccount)
	params.Set("api_secret", server.DemoSecret)
	resp, err := node.client.Post(node.URL()+path, "application/x-www-form-urlencoded", strings.NewReader(params.Encode()))
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	defer resp.Body.Close()
	_ = json.NewDecoder(resp.Body).Decode(&answer) // a missing body fails the check
	return answer
}
