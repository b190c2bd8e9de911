package httpsms

import "countersign/internal/deliver"

// Status returns the status of the carrier. Its window is the maximum of concurrent
// requests.
func (g *Gateway) Status() deliver.CarrierStatus {
	return deliver.CarrierStatus{
		InFlight: len(g.gate.slots), Window: cap(g.gate.slots),
		Rate: g.rate, RateLimit: g.rate, Errors: g.errs.List(),
	}
}
