package httpsms

import "countersign/internal/deliver"

// Status tells how the carrier is: its window is the requests that may run at a
// time.
func (g *Gateway) Status() deliver.CarrierStatus {
	return deliver.CarrierStatus{
		InFlight: len(g.gate.slots), Window: cap(g.gate.slots),
		Rate: g.rate, RateLimit: g.rate, Errors: g.errs.List(),
	}
}
