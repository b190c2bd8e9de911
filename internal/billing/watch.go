package billing

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/store"
	"countersign/internal/task"
	"countersign/internal/verify"
)

// watchEvery is how often balances are looked at.
const watchEvery = 30 * time.Second

// WatchConfig is what a Watch works with. All fields are needed.
type WatchConfig struct {
	Store   *store.DB
	Clock   clockwork.Clock
	Log     *slog.Logger
	Metrics prometheus.Registerer

	// LowBalance is the threshold of accounts that have none of their own; 0 for none.
	LowBalance verify.Money
}

// Watch tells of balances that run low: each time one falls below its threshold, once,
// whichever node sees it first.
type Watch struct {
	cfg    WatchConfig
	low    prometheus.Gauge
	runner *task.Runner
}

// NewWatch returns a watch that waits to be started.
func NewWatch(cfg WatchConfig) *Watch {
	w := &Watch{cfg: cfg, low: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "countersign_accounts_low_balance", Help: "Accounts whose balance is below the threshold of its warning.",
	})}
	cfg.Metrics.MustRegister(w.low)
	w.runner = task.New(task.Config{Name: "balances", Clock: cfg.Clock, Log: cfg.Log, Run: w.run, MaxSleep: watchEvery})
	return w
}

// Start lets the watch look at once, and then every half a minute, until Stop.
func (w *Watch) Start() { w.runner.Start() }

// Stop ends the watch. It must not be called before Start.
func (w *Watch) Stop() { w.runner.Stop() }

func (w *Watch) run(ctx context.Context) (time.Time, error) {
	return w.cfg.Clock.Now().Add(watchEvery), w.Once(ctx)
}

// Once looks at all balances.
func (w *Watch) Once(ctx context.Context) error {
	accounts, err := w.cfg.Store.Accounts(ctx)
	if err != nil {
		return err
	}
	warned, err := w.cfg.Store.Warned(ctx)
	if err != nil {
		return err
	}
	low := 0
	var errs []error
	for _, a := range accounts {
		is := Low(a, w.cfg.LowBalance)
		if is {
			low++
		}
		if is == warned[a.Key] {
			continue
		}
		first, err := w.cfg.Store.SetWarned(ctx, a.Key, is, w.cfg.Clock.Now())
		errs = append(errs, err)
		if is && first {
			w.cfg.Log.Warn("balance is low", "account", a.Key, "balance", a.Balance.String())
		}
	}
	w.low.Set(float64(low))
	return errors.Join(errs...)
}
