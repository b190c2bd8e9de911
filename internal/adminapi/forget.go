package adminapi

import (
	"errors"
	"net/http"

	"countersign/internal/phone"
	"countersign/internal/store"
	"countersign/internal/web"
)

// ForgetNumber contains the options of an erasure.
type ForgetNumber struct {
	Cancel  bool `json:"cancel"`  // cancel a verification in progress, which is an error otherwise
	Unblock bool `json:"unblock"` // also remove the number from the block list
}

// Forgotten counts the erased occurrences of a number.
type Forgotten struct {
	Cancelled     int  `json:"cancelled"`
	Verifications int  `json:"verifications"`
	Archived      int  `json:"archived"`
	Messages      int  `json:"messages"`
	Refusals      int  `json:"refusals"`
	Approved      int  `json:"approved"`
	Guarded       bool `json:"guarded"`
	Unblocked     bool `json:"unblocked"`
	Blocked       bool `json:"blocked"`
	Held          int  `json:"held"`
}

func (c *exchange) forgetNumber() (any, error) {
	n, err := number("number", c.r.PathValue("number"))
	if err != nil {
		return nil, err
	}
	var how ForgetNumber
	if err := c.read(&how); err != nil {
		return nil, err
	}
	ctx := c.change(phone.Mask(n), how)
	done, err := c.cfg.Forget(ctx, store.Forget{Number: n, Cancel: how.Cancel, Unblock: how.Unblock})
	if errors.Is(err, store.ErrRunning) {
		return nil, &web.Problem{Status: http.StatusConflict, Parameter: "cancel", Detail: "a verification of the number is in progress; wait for its end, or cancel it"}
	}
	if err != nil {
		return nil, err
	}
	return Forgotten(done), nil
}
