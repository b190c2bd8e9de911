package smpp

import (
	"time"

	"countersign/internal/deliver"
	"countersign/internal/deliver/smpp/pdu"
)

type deliverStatus = deliver.CarrierStatus

// Status returns the status of the carrier and its binds.
func (c *Carrier) Status() deliver.CarrierStatus {
	s := deliver.CarrierStatus{
		Window: c.cfg.Window * len(c.senders), Rate: c.pace.Rate(), RateLimit: c.cfg.Rate, Errors: c.errs.List(),
	}
	for _, b := range c.all() {
		b.mu.Lock()
		bound := deliver.BindStatus{Kind: b.kind.String(), Since: b.since.UTC().Truncate(time.Millisecond), ReceiveOnly: b.kind == pdu.CommandBindReceiver}
		if b.err != nil {
			bound.Error = b.err.Error()
		}
		if b.session != nil && b.session.usable() {
			bound.Up = true
			s.InFlight += b.session.unanswered()
		}
		b.mu.Unlock()
		s.Binds = append(s.Binds, bound)
	}
	return s
}
