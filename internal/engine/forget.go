package engine

import (
	"context"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// ForgetNumber is [store.DB.ForgetNumber] for a server. Metrics and velocity rules count
// the verifications that it ends, and their price is refunded if no message left.
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
