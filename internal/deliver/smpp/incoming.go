package smpp

import (
	"context"
	"errors"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/verify"
)

const (
	// maxReporting bounds the receipts that are being stored. More are turned
	// away, and come again.
	maxReporting = 1024
	// reportTimeout bounds the storing of a report.
	reportTimeout = 10 * time.Second
)

// late takes a response of s after its timeout.
func (c *Carrier) late(s *session, of any, p pdu.PDU) {
	t := *of.(*tag) //nolint:forcetypeassert // what submit was given
	c.metrics.late.Inc()
	c.judge(s, p)
	ref, err := c.readResponse(p)
	if err == nil {
		t.part.Ref, t.part.State = ref, verify.EventAccepted
	} else if no, ok := errors.AsType[*StatusError](err); ok { // for whatever reason: nobody hands it over again
		t.part.State, t.part.Error = verify.EventRefused, no.Error()
	} else {
		return
	}
	if classOf(err) == ClassThrottled {
		c.pace.throttled()
	}
	c.reports.Go(func() { c.answered(context.Background(), t) })
}

// answered reports what became of a hand-over after Send gave up on it.
func (c *Carrier) answered(ctx context.Context, t tag) {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	if err := c.cfg.Reports.Answer(ctx, deliver.Answer{Event: t.event, Part: t.part}); err != nil {
		c.log.Error("late answer not stored", "event_id", t.id.String(), "error", err)
	}
}

// handle answers what the SMSC asks or brings.
func (c *Carrier) handle(p pdu.PDU) answer {
	switch body := p.Body.(type) {
	case *pdu.DeliverSM:
		return c.incoming(&body.Message, &pdu.DeliverSMResp{})
	case *pdu.DataSM:
		m := body.Message()
		return c.incoming(&m, &pdu.DataSMResp{})
	case *pdu.AlertNotification, *pdu.Outbind: // have no response
		return answer{}
	}
	return answer{status: pdu.StatusInvalidCommandID, body: &pdu.GenericNack{}}
}

// incoming takes a receipt. It answers once that is stored; what cannot be stored
// now is sent again by the SMSC. Messages from phones are taken and dropped.
func (c *Carrier) incoming(m *pdu.Message, resp pdu.Body) answer {
	if !isReceipt(m) {
		c.metrics.incoming("message")
		return answer{body: resp}
	}
	r, ok := readReceipt(m, c.cfg.IDForm)
	if !ok {
		c.metrics.incoming("unreadable")
		c.log.Warn("receipt says nothing of use", "esm_class", m.ESMClass, "octets", len(m.UserData()))
		return answer{body: resp}
	}
	r.Carrier = c.cfg.Name
	select {
	case c.reporting <- struct{}{}:
	default:
		c.metrics.incoming("turned away")
		return answer{status: pdu.StatusTemporaryAppError, body: resp}
	}
	c.metrics.incoming("receipt")
	return answer{later: func(reply func(pdu.Status, pdu.Body)) {
		defer func() { <-c.reporting }()
		ctx, cancel := context.WithTimeout(context.Background(), reportTimeout)
		defer cancel()
		status := pdu.StatusOK
		if err := c.cfg.Reports.Receipt(ctx, r); err != nil {
			c.log.Error("receipt not stored", "error", err)
			status = pdu.StatusTemporaryAppError
		}
		reply(status, resp)
	}}
}
