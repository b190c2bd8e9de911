package adminapi

import (
	"context"

	"countersign/internal/phone"
)

// AccountDetail is an account with all its data except secrets.
type AccountDetail struct {
	Account
	Unlimited       bool     `json:"unlimited"`   // exempt from rate limit and credit check
	SpentToday      string   `json:"spent_today"` // by the account and its sub-accounts since midnight UTC
	SubAccounts     []string `json:"sub_accounts"`
	Secrets         []Secret `json:"secrets"`
	SignatureMethod string   `json:"signature_method"` // "" if the account cannot sign
	// OldSignatureUntil is the expiry of the previous signature secret; "" without one.
	OldSignatureUntil string   `json:"old_signature_until"`
	ApprovedNumbers   []string `json:"approved_numbers"`
}

func (c *exchange) showAccount() (any, error) {
	ctx, key := c.r.Context(), c.r.PathValue("key")
	found, err := c.cfg.Store.Credentials(ctx, key)
	if err != nil {
		return nil, err
	}
	d := AccountDetail{Account: toAccount(found.Account), Unlimited: found.Unlimited, SignatureMethod: found.SignatureMethod, SubAccounts: []string{}}
	if found.OldSignatureUntil.After(c.now()) {
		d.OldSignatureUntil = stamp(found.OldSignatureUntil)
	}
	spent, err := c.cfg.Store.Spent(ctx, key, c.now())
	if err != nil {
		return nil, err
	}
	d.SpentToday = spent.String()
	if d.Secrets, err = c.secrets(ctx, key); err != nil {
		return nil, err
	}
	if d.ApprovedNumbers, err = c.approved(ctx, key); err != nil {
		return nil, err
	}
	all, err := c.cfg.Store.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if a.Parent == key {
			d.SubAccounts = append(d.SubAccounts, a.Key)
		}
	}
	return d, nil
}

// ApprovedNumbers are the numbers that a trial account may reach.
type ApprovedNumbers struct {
	Numbers []string `json:"numbers"`
}

func (c *exchange) approved(ctx context.Context, key string) ([]string, error) {
	numbers, err := c.cfg.Store.ApprovedNumbers(ctx, key)
	if numbers == nil {
		numbers = []string{}
	}
	return numbers, err
}

func (c *exchange) listApproved() (any, error) {
	if _, err := c.account(); err != nil {
		return nil, err
	}
	numbers, err := c.approved(c.r.Context(), c.r.PathValue("key"))
	if err != nil {
		return nil, err
	}
	return ApprovedNumbers{numbers}, nil
}

func (c *exchange) approveNumber() (any, error) {
	return c.changeApproved(func(ctx context.Context, key, number string) error {
		return c.cfg.Store.Approve(ctx, key, number, c.now())
	})
}

func (c *exchange) unapproveNumber() (any, error) {
	return c.changeApproved(func(ctx context.Context, key, number string) error {
		return c.cfg.Store.Unapprove(ctx, key, number)
	})
}

func (c *exchange) changeApproved(change func(ctx context.Context, key, number string) error) (any, error) {
	n, err := number("number", c.r.PathValue("number"))
	if err != nil {
		return nil, err
	}
	key := c.r.PathValue("key")
	ctx := c.change(key, map[string]string{"number": phone.Mask(n)})
	return nil, change(ctx, key, n)
}
