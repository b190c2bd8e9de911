package adminapi

import (
	"context"

	"countersign/internal/fraud"
)

// NumberStatus has the counts of a number and their limits.
type NumberStatus struct {
	Number   string           `json:"number"`
	Blocked  bool             `json:"blocked"` // on the operator's block list
	Caps     []NumberCap      `json:"caps"`
	Verified []NumberVerified `json:"verified"`
}

// NumberCap is a cap with its current count.
type NumberCap struct {
	Cap          string `json:"cap"`
	Account      string `json:"account"` // "" for all accounts together
	Count        int    `json:"count"`
	Limit        int    `json:"limit"`
	RefusedUntil string `json:"refused_until"` // "" while starts are accepted
	ResetsAt     string `json:"resets_at"`     // when the count returns to 0 without further messages; "" if it is 0, and for a streak
}

// NumberVerified is the last verification of a number by an account.
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
	}, "no counts exist for %s")
}
