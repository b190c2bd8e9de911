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

// watchEvery is the interval of balance checks.
const watchEvery = 30 * time.Second

// WatchConfig configures a Watch. All fields are required.
type WatchConfig struct {
	Store   *store.DB
	Clock   clockwork.Clock
	Log     *slog.Logger
	Metrics prometheus.Registerer

	// LowBalance is the threshold of accounts without their own; 0 disables it.
	LowBalance verify.Money
}

// Watch logs low balances: once on one node each time a balance falls below its threshold.
type Watch struct {
	cfg    WatchConfig
	low    prometheus.Gauge
	runner *task.Runner
}

// NewWatch returns a Watch that is not started.
func NewWatch(cfg WatchConfig) *Watch {
	w := &Watch{cfg: cfg, low: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "countersign_accounts_low_balance", Help: "Accounts with a balance below their warning threshold.",
	})}
	cfg.Metrics.MustRegister(w.low)
	w.runner = task.New(task.Config{Name: "balances", Clock: cfg.Clock, Log: cfg.Log, Run: w.run, MaxSleep: watchEvery})
	return w
}

// Start checks the balances immediately and then every 30 seconds, until Stop.
func (w *Watch) Start() { w.runner.Start() }

// Stop ends the watch. It must not be called before Start.
func (w *Watch) Stop() { w.runner.Stop() }

func (w *Watch) run(ctx context.Context) (time.Time, error) {
	return w.cfg.Clock.Now().Add(watchEvery), w.Once(ctx)
}

// Once checks all balances.
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
