package apiv1

import (
	"context"

	"countersign/internal/message"
	"countersign/internal/verify"
)

// psd2 serves /verify/psd2/json: it sends a PIN that confirms a payment, in a
// message that names payee and amount.
func (a *API) psd2(ctx context.Context, c *exchange) (any, error) {
	if err := c.account.MaySend(); err != nil {
		return nil, err
	}
	if err := c.need("number", "payee", "amount"); err != nil {
		return nil, err
	}
	number, err := a.number(c)
	if err != nil {
		return nil, err
	}
	payee, err := a.shownText(c, "payee")
	if err != nil {
		return nil, err
	}
	amount, ok := verify.ParseAmount(c.params.get("amount"))
	if !ok {
		text := c.params.get("amount")
		return nil, verify.Invalid("amount", quoted(text)+": "+verify.AmountDefect(text))
	}
	req, err := a.request(ctx, c, number, message.Payment)
	if err != nil {
		return nil, err
	}
	req.Payment = &verify.Payment{Payee: payee, Amount: amount}
	return a.accept(ctx, c, req)
}
