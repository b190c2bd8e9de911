package adminapi

import (
	"context"

	"countersign/internal/fraud"
)

// NumberStatus is how far a number is from its caps.
type NumberStatus struct {
	Number   string           `json:"number"`
	Blocked  bool             `json:"blocked"` // by the operator
	Caps     []NumberCap      `json:"caps"`
	Verified []NumberVerified `json:"verified"`
}

// NumberCap is one cap, and what it counts now.
type NumberCap struct {
	Cap          string `json:"cap"`
	Account      string `json:"account"` // "" for all together
	Count        int    `json:"count"`
	Limit        int    `json:"limit"`
	RefusedUntil string `json:"refused_until"` // "" while it refuses nothing
	ResetsAt     string `json:"resets_at"`     // when nothing is counted any more, unless more comes; "" if nothing is, and for a streak
}

// NumberVerified says who has verified a number last, and when.
type NumberVerified struct {
	Account string `json:"account"`
	At      string `json:"at"`
}

func toNumberCap(s fraud.Count) NumberCap {
	return NumberCap{s.Cap, s.Account, s.Count, s.Limit, stamp(s.Until), stamp(s.Resets)}
}

func (c *exchange) numberStatus() (any, error) {
	n, err := number("number", c.r.PathValue("number"))
	if err != nil {
		return nil, err
	}
	known, err := c.cfg.Store.NumberHistory(c.r.Context(), n)
	if err != nil {
		return nil, err
	}
	s := NumberStatus{Number: n, Caps: each(c.cfg.Caps.Status(known, c.now()), toNumberCap), Verified: []NumberVerified{}}
	if s.Blocked, err = c.cfg.Store.Blocked(c.r.Context(), n); err != nil {
		return nil, err
	}
	for _, u := range known.Uses {
		if !u.VerifiedAt.IsZero() {
			s.Verified = append(s.Verified, NumberVerified{u.Account, stamp(u.VerifiedAt)})
		}
	}
	return s, nil
}

func (c *exchange) unlockNumber() (any, error) {
	return c.clearNumber(func(ctx context.Context, n string) (bool, error) {
		return c.cfg.Store.ResetNumberHistory(ctx, n, c.cfg.Caps, c.now())
	}, "nothing is counted of %s")
}
