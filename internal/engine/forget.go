package engine

import (
	"context"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// ForgetNumber is [store.DB.ForgetNumber] for a server: the verifications that it ends are
// counted by metrics and velocity rules, and given their price back where nothing of
// them left, like all others.
func (e *Engine) ForgetNumber(ctx context.Context, f store.Forget) (store.Forgotten, error) {
	f.Ended = func(list ...verify.Verification) {
		e.cfg.Velocity.Ended(list...)
		for _, v := range list {
			e.wakeRefund(v)
			e.metrics.ended.WithLabelValues(string(v.Status)).Inc()
		}
	}
	return e.cfg.Store.ForgetNumber(ctx, f, e.now())
}
