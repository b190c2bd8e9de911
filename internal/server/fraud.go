package server

import (
	"context"
	"errors"
	"log/slog"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/config"
	"countersign/internal/engine"
	"countersign/internal/fraud"
	"countersign/internal/store"
	"countersign/internal/velocity"
	"countersign/internal/verify"
)

// makeVelocity creates the velocity rules.
func (s *Server) makeVelocity(reg prometheus.Registerer) {
	conf := velocityConfig(s.opts.Config, s.db, s.opts.Clock, s.log, reg)
	conf.Verified = verifiedBefore(s.db, Caps(s.opts.Config.Fraud), s.opts.Clock)
	conf.MayForget = func() bool { return s.old.MayDelete() } // s.old is set before any rule runs
	s.velocity = velocity.New(conf)
}

func velocityConfig(cfg config.Config, db *store.DB, clock clockwork.Clock, log *slog.Logger, reg prometheus.Registerer) velocity.Config {
	conf := velocity.Config{Store: db, Clock: clock, Log: log, Metrics: reg, Rules: fraudRules(cfg.Fraud)}
	for _, n := range cfg.Networks.Known {
		for _, prefix := range n.Prefixes {
			conf.Networks = append(conf.Networks, fraud.NetworkPrefix{Prefix: prefix, Name: n.Name})
		}
	}
	return conf
}

// ForgetNumber erases a number in a process without a server. The cancelled verifications
// reach the velocity rules of the nodes through the database: immediately on PostgreSQL,
// at the next start on SQLite.
func ForgetNumber(ctx context.Context, cfg config.Config, db *store.DB, clock clockwork.Clock, log *slog.Logger, f store.Forget) (store.Forgotten, error) {
	watch := velocity.New(velocityConfig(cfg, db, clock, log, prometheus.NewRegistry()))
	e := engine.New(engine.Config{Store: db, Clock: clock, Log: log, Metrics: prometheus.NewRegistry(), Velocity: watch})
	done, err := e.ForgetNumber(ctx, f)
	return done, errors.Join(err, watch.Sync(ctx))
}

// watch loads the state of the velocity rules and starts them. The context of the load is
// not cancelled by a concurrent stop, which expects a running server.
func (s *Server) watch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := s.velocity.Load(ctx); err != nil {
		return err
	}
	s.velocity.Start()
	return nil
}

func fraudRules(f config.Fraud) fraud.Rules {
	volume := func(v config.VolumeRule) fraud.Volume {
		return fraud.Volume{Mode: fraud.Mode(v.Mode), Window: v.Window, Starts: v.Starts, Blocks: v.Blocks}
	}
	r := f.Rules
	return fraud.Rules{
		RepeatWithin: r.RepeatWithin,
		Conversion: fraud.Conversion{
			Mode: fraud.Mode(r.Conversion.Mode), All: fraud.Mode(r.Conversion.AllAccounts), Window: r.Conversion.Window,
			Finished: r.Conversion.Finished, Below: r.Conversion.Below, Alert: r.Conversion.Alert, Blocks: r.Conversion.Blocks,
		},
		Sequence: fraud.Sequence{
			Mode: fraud.Mode(r.Sequence.Mode), Window: r.Sequence.Window, Numbers: r.Sequence.Numbers, Blocks: r.Sequence.Blocks,
		},
		Unverified: fraud.Unverified{
			Mode: fraud.Mode(r.Unverified.Mode), Window: r.Unverified.Window, Percent: r.Unverified.Percent,
			Prefix: r.Unverified.Prefix, Country: r.Unverified.Country, Blocks: r.Unverified.Blocks,
		},
		Prefix:  volume(r.Prefix),
		Network: volume(r.Network),
		Source: fraud.Source{
			Mode: fraud.Mode(r.Source.Mode), Window: r.Source.Window, Starts: r.Source.Starts,
			FailedChecks: r.Source.FailedChecks, Blocks: r.Source.Blocks,
		},
		Country: fraud.Country{
			Mode: fraud.Mode(r.Country.Mode), Starts: r.Country.Starts, Sigma: r.Country.Sigma, Blocks: r.Country.Blocks,
		},
		Spend: fraud.Spend{Mode: fraud.Mode(r.Spend.Mode), Times: r.Spend.Times, Least: verify.Money(r.Spend.Least) * verify.Unit},
		Voice: fraud.Voice{
			Mode: fraud.Mode(f.Voice.Mode), Countries: f.Voice.Countries, CallsPerHour: f.Voice.CallsPerHour,
			Blocks: f.Voice.Blocks, AllowPrefixes: f.Voice.AllowPrefixes,
		},
	}
}
