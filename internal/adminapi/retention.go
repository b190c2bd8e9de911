package adminapi

import (
	"errors"
	"net/http"

	"countersign/internal/store"
	"countersign/internal/web"
)

func retentionEndpoints() []endpoint {
	return []endpoint{
		{method: http.MethodGet, path: "/retention", serve: (*exchange).retention},
		{method: http.MethodPost, path: "/retention/confirm", serve: (*exchange).confirmRetention, action: "retention.confirm"},
	}
}

// Retention is the state of data retention, shared by all servers.
type Retention struct {
	Suspended bool   `json:"suspended"` // deletion by age is off
	LastRun   string `json:"last_run"`  // "" before the first
	Now       string `json:"now"`       // time that a confirmation confirms

	// Before and After are the times between which the clock jumped; "" unless Suspended.
	Before string `json:"before"`
	After  string `json:"after"`
	// PlausibleSeconds is the running time with a plausible clock since the jump; 86400
	// end the suspension.
	PlausibleSeconds int64 `json:"plausible_seconds"`
}

func (c *exchange) retention() (any, error) {
	s, err := c.cfg.Store.RetentionState(c.r.Context())
	if err != nil {
		return nil, err
	}
	return Retention{
		Suspended: s.Suspended, LastRun: stamp(s.LastRun), Now: stamp(c.now()), Before: stamp(s.Before), After: stamp(s.After),
		PlausibleSeconds: int64(s.Counted.Seconds()),
	}, nil
}

// confirmRetention ends a suspension: the operator confirms this server's clock.
func (c *exchange) confirmRetention() (any, error) {
	now := c.now()
	ctx := c.change("", map[string]string{"now": stamp(now)})
	if err := c.cfg.Store.ConfirmRetention(ctx, now); err != nil {
		if errors.Is(err, store.ErrNotSuspended) {
			return nil, &web.Problem{Status: http.StatusConflict, Detail: store.ErrNotSuspended.Error() + ": no confirmation is needed"}
		}
		return nil, err
	}
	return nil, nil
}
