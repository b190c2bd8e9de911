package server

import (
	"context"
	"log/slog"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/account"
	"countersign/internal/adminapi"
	"countersign/internal/apiv1"
	"countersign/internal/config"
	"countersign/internal/deliver"
	"countersign/internal/engine"
	"countersign/internal/fraud"
	"countersign/internal/message"
	"countersign/internal/phone"
	"countersign/internal/store"
	"countersign/internal/velocity"
	"countersign/internal/verify"
)

// explaining evaluates starts as this server would. Refusals in memory are stored first,
// so that the explanation includes them.
func (s *Server) explaining() adminapi.Explaining {
	return adminapi.Explaining{
		Status: apiv1.Status,
		Evaluate: func(ctx context.Context, account verify.Account, n phone.Number) (engine.Evaluation, error) {
			return evaluate(ctx, s.engine, account, n, s.opts.Speed)
		},
		Collect: s.refused.Flush,
	}
}

func evaluate(ctx context.Context, e *engine.Engine, account verify.Account, n phone.Number, speed int) (engine.Evaluation, error) {
	return e.Evaluate(ctx, account, verify.Request{
		Account: account.Key, To: verify.PhoneAddress(n.Digits, n.Country), Premium: n.Premium,
		Workflow: apiv1.DefaultWorkflow(account.Settings, speed),
	})
}

// Explaining evaluates starts as a server with the configuration would, in a process
// without a server. The state of its carriers is unknown.
func Explaining(cfg config.Config, db *store.DB, clock clockwork.Clock, log *slog.Logger) adminapi.Explaining {
	return adminapi.Explaining{
		Status: apiv1.Status,
		Evaluate: func(ctx context.Context, account verify.Account, n phone.Number) (engine.Evaluation, error) {
			e, err := evaluator(ctx, cfg, db, clock, log)
			if err != nil {
				return engine.Evaluation{}, err
			}
			return evaluate(ctx, e, account, n, 1)
		},
		Collect: func(context.Context) error { return nil },
	}
}

// evaluator returns an engine for evaluations only: its carriers refuse all messages.
func evaluator(ctx context.Context, cfg config.Config, db *store.DB, clock clockwork.Clock, log *slog.Logger) (*engine.Engine, error) {
	reg := prometheus.NewRegistry()
	routing := routerConfig(cfg)
	routing.Carriers, routing.Now = map[string]deliver.Carrier{}, clock.Now
	for _, c := range cfg.Carriers {
		routing.Carriers[c.Name] = noCarrier{}
	}
	router, err := deliver.NewRouter(routing)
	if err != nil {
		return nil, err
	}
	conf := velocityConfig(cfg, db, clock, log, reg)
	conf.Verified = verifiedBefore(db, Caps(cfg.Fraud), clock)
	watch := velocity.New(conf)
	if err := watch.Load(ctx); err != nil {
		return nil, err
	}
	return engine.New(engine.Config{
		Store: db, Router: router, Velocity: watch, Clock: clock, Log: log, Metrics: reg,
		Policy: policy(cfg), Caps: Caps(cfg.Fraud),
		ChargeOnSuccess: cfg.Billing.Charge == config.ChargeSuccess,
	}), nil
}

// policy returns the installation's limits for all accounts.
func policy(cfg config.Config) account.Policy {
	return account.Policy{
		RequestsPerSecond: cfg.Limits.RequestsPerSecond, UnsupportedNetworks: cfg.Networks.Unsupported,
		Denied: message.NewDenied(cfg.Limits.DeniedBrands),
	}
}

// noCarrier replaces each carrier of the configuration.
type noCarrier struct{}

// Send refuses the message.
func (noCarrier) Send(context.Context, deliver.Message) (deliver.Submission, error) {
	return deliver.Submission{}, deliver.ErrRefused
}

// verifiedBefore returns a function that reports whether an account has recently verified
// a number.
func verifiedBefore(db *store.DB, caps fraud.Caps, clock clockwork.Clock) func(ctx context.Context, account, number string) (bool, error) {
	return func(ctx context.Context, account, number string) (bool, error) {
		n, err := db.NumberHistory(ctx, number)
		return caps.VerifiedBefore(n, account, clock.Now()), err
	}
}
