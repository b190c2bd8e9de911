package apiv1

import (
	"context"

	"countersign/internal/message"
	"countersign/internal/verify"
)

// psd2 serves /verify/psd2/json: it sends a PIN that confirms a payment, in a message
// with payee and amount.
func (a *API) psd2(ctx context.Context, c *exchange) (any, error) {
	req, err := a.readPSD2(ctx, c)
	return a.accept(ctx, c, req, err)
}

// readPSD2 is readStart for the parameters of psd2.
func (a *API) readPSD2(ctx context.Context, c *exchange) (req verify.Request, err error) {
	if err := c.need("number", "payee", "amount"); err != nil {
		return req, err
	}
	number, err := a.number(c)
	if err != nil {
		return req, err
	}
	req.Payment = &verify.Payment{Payee: c.params.get("payee")}
	var ok bool
	if req.Payment.Amount, ok = verify.ParseAmount(c.params.get("amount")); !ok {
		text := c.params.get("amount")
		return req, verify.Invalid("amount", quoted(text)+": "+verify.AmountDefect(text))
	}
	if err := a.readPlan(ctx, c, number, message.Payment, &req); err != nil {
		return req, err
	}
	return c.to(number, req), nil
}
