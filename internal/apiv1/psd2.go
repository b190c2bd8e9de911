package apiv1

import (
	"context"
	"strings"

	"countersign/internal/message"
	"countersign/internal/verify"
)

// psd2 serves /verify/psd2/json: it sends a PIN that confirms a payment, in a
// message that names payee and amount.
func (a *API) psd2(ctx context.Context, c *call) (any, error) {
	if err := c.account.MaySend(); err != nil {
		return nil, err
	}
	if err := c.need("number", "payee", "amount"); err != nil {
		return nil, err
	}
	number, err := c.number()
	if err != nil {
		return nil, err
	}
	payee, err := a.shownText(c, "payee")
	if err != nil {
		return nil, err
	}
	amount, ok := parseAmount(c.params.get("amount"))
	if !ok {
		return nil, verify.Invalid("amount")
	}
	req, err := a.request(c, number, message.Payment)
	if err != nil {
		return nil, err
	}
	req.Payment = &verify.Payment{Payee: payee, Amount: amount}
	return a.accept(ctx, c, req)
}

// parseAmount reads euros with at most two decimals and gives both of them: "48",
// "48.5" and "48.50" are the same payment, and must look the same to the payer.
func parseAmount(text string) (string, bool) {
	const maxWhole = 12 // digits; more is no payment
	whole, cents, _ := strings.Cut(text, ".")
	if strings.HasSuffix(text, ".") || len(cents) > 2 || !isDigits(whole) || cents != "" && !isDigits(cents) {
		return "", false
	}
	whole = strings.TrimLeft(whole, "0")
	if whole == "" {
		whole = "0"
	}
	if len(whole) > maxWhole {
		return "", false
	}
	return whole + "." + cents + "00"[len(cents):], true
}
