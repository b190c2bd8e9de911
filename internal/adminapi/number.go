package adminapi

import (
	"context"
	"fmt"
	"net/http"

	"countersign/internal/phone"
	"countersign/internal/store"
	"countersign/internal/web"
)

func numberEndpoints() []endpoint {
	return []endpoint{
		{method: http.MethodGet, path: "/blocked-numbers", serve: (*exchange).listBlocked},
		{method: http.MethodPut, path: "/blocked-numbers/{number}", serve: (*exchange).blockNumber, takes: true, action: "number.block"},
		{method: http.MethodDelete, path: "/blocked-numbers/{number}", serve: (*exchange).unblockNumber, action: "number.unblock"},
		{method: http.MethodGet, path: "/numbers/{number}/status", serve: (*exchange).numberStatus},
		{method: http.MethodPost, path: "/numbers/{number}/unlock", serve: (*exchange).unlockNumber, action: "number.unlock"},
		{method: http.MethodPost, path: "/numbers/{number}/forget", serve: (*exchange).forgetNumber, takes: true, action: "number.forget", slow: true},
	}
}

// BlockedNumber is a number that no account can verify.
type BlockedNumber struct {
	Number string `json:"number"`
	Since  string `json:"since"`
	Reason string `json:"reason"`
}

// BlockedNumbers is the response with all blocked numbers.
type BlockedNumbers struct {
	Numbers []BlockedNumber `json:"numbers"`
}

func (c *exchange) listBlocked() (any, error) {
	blocked, err := c.cfg.Store.BlockedNumbers(c.r.Context())
	if err != nil {
		return nil, err
	}
	return BlockedNumbers{each(blocked, func(b store.BlockedNumber) BlockedNumber {
		return BlockedNumber{b.Number, stamp(b.CreatedAt), b.Reason}
	})}, nil
}

// BlockReason is the request to block a number, with an optional reason.
type BlockReason struct {
	Reason string `json:"reason"`
}

func (c *exchange) blockNumber() (any, error) {
	n, err := number("number", c.r.PathValue("number"))
	if err != nil {
		return nil, err
	}
	var why BlockReason
	if err := c.read(&why); err != nil {
		return nil, err
	}
	if err := line("reason", why.Reason, 1000); err != nil {
		return nil, err
	}
	ctx := c.change(phone.Mask(n), why)
	return nil, c.cfg.Store.BlockNumber(ctx, store.BlockedNumber{Number: n, Reason: why.Reason, CreatedAt: c.now()})
}

func (c *exchange) unblockNumber() (any, error) {
	return c.clearNumber(c.cfg.Store.UnblockNumber, "%s is not blocked")
}

// clearNumber deletes data about the number in the path. Without data it returns a
// problem with the text nothing, a format for the number.
func (c *exchange) clearNumber(clearing func(ctx context.Context, number string) (found bool, err error), nothing string) (any, error) {
	n, err := number("number", c.r.PathValue("number"))
	if err != nil {
		return nil, err
	}
	ctx := c.change(phone.Mask(n), nil)
	found, err := clearing(ctx, n)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, &web.Problem{Status: http.StatusNotFound, Detail: fmt.Sprintf(nothing, n)}
	}
	return nil, nil
}
