package apiv1

import (
	"context"
	"net/netip"

	"countersign/internal/digits"
	"countersign/internal/verify"
)

// codeForm is the reason against a malformed code. It must not repeat the code.
const codeForm = "must be 4 to 10 letters and digits"

// check serves /verify/check/{format}: it compares a code with the PIN.
func (a *API) check(ctx context.Context, c *exchange) (any, error) {
	if err := c.need("request_id", "code"); err != nil {
		return nil, err
	}
	id, err := c.request()
	if err != nil {
		return nil, err
	}
	code, ok := verify.ParsePIN(digits.Fold(c.params.get("code"))) // as typed or pasted by the user
	if !ok {
		return nil, verify.Invalid("code", codeForm)
	}
	v, err := a.cfg.Engine.Check(ctx, c.account, id, code, c.ipAddress())
	if err != nil {
		return nil, err
	}
	return checkResponse{
		RequestID: v.ID.Hex(), Status: "0", EventID: v.LastEventID().String(),
		Price: price(v.Charged()), Currency: a.cfg.Currency, EstimatedPrice: v.Cost().String(),
	}, nil
}

func (a *API) refuseCheck(c *exchange, e *verify.Error) (status, text string) {
	if e.Kind == verify.KindNotFound {
		return "6", a.unableToProcess("Request '" + c.requestID + "' was not found or it has been verified already.")
	}
	return "", ""
}

// ipAddress returns the IP address of the user who entered the code; "" without a valid
// one. The original no longer uses it, so an invalid address is not refused. One SDK
// names the parameter ip.
func (c *exchange) ipAddress() string {
	for _, name := range []string{"ip_address", "ip"} {
		if addr, err := netip.ParseAddr(c.params.get(name)); err == nil && addr.Zone() == "" {
			return addr.String()
		}
	}
	return ""
}
