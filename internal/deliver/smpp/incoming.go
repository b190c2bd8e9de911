package smpp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/verify"
)

const (
	// maxReporting limits the receipts that are stored concurrently. Further ones are
	// rejected with ESME_RX_T_APPN, so that the SMSC resends them.
	maxReporting = 1024
	// reportTimeout limits the time to store a report.
	reportTimeout = 10 * time.Second
)

// late handles a response that arrived on s after its timeout.
func (c *Carrier) late(s *session, of any, p pdu.PDU) {
	t := *of.(*tag) //nolint:forcetypeassert // submit passes a *tag
	c.metrics.late.Inc()
	if mismatch(p) != nil {
		return
	}
	c.judge(s, t.to, p)
	ref, err := c.readResponse(s.address, p)
	if err == nil {
		t.part.Ref, t.part.State = ref, verify.EventAccepted
	} else if no, ok := errors.AsType[*StatusError](err); ok { // any class: the message is not resubmitted
		t.part.State, t.part.Error = verify.EventRefused, no.Error()
	}
	if classOf(err) == ClassThrottled {
		c.pace.throttled()
	}
	c.reports.Go(func() { c.answered(context.Background(), t) })
}

// answered reports the outcome of a submission after Send stopped waiting for it.
func (c *Carrier) answered(ctx context.Context, t tag) {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	if err := c.cfg.Reports.Answer(ctx, deliver.Answer{Event: t.event, Part: t.part}); err != nil {
		c.log.Error("late response not stored", "event_id", t.id.String(), "error", err)
	}
}

// handle returns the answer to a request of the SMSC at an address.
func (c *Carrier) handle(address string, p pdu.PDU) answer {
	switch body := p.Body.(type) {
	case *pdu.DeliverSM:
		return c.incoming(address, &body.Message, &pdu.DeliverSMResp{})
	case *pdu.DataSM:
		m := body.Message()
		return c.incoming(address, &m, &pdu.DataSMResp{})
	case *pdu.AlertNotification, *pdu.Outbind: // have no response
		return answer{}
	}
	return answer{status: pdu.StatusInvalidCommandID, body: &pdu.GenericNack{}}
}

// incoming stores a receipt before it answers. If that fails, the answer is
// ESME_RX_T_APPN, so that the SMSC resends the receipt. Messages from phones are
// accepted and dropped.
func (c *Carrier) incoming(address string, m *pdu.Message, resp pdu.Body) answer {
	if !isReceipt(m) && !c.readsAsReceipt(m) {
		return answer{body: resp}
	}
	r, ok := readReceipt(m, c.cfg.IDForm)
	if !ok {
		c.metrics.incoming("unreadable")
		c.log.Warn("receipt without message id or known state ignored", "esm_class", m.ESMClass, "octets", len(m.UserData()))
		return answer{body: resp}
	}
	c.watchAddress(address, r.Ref)
	r.Carrier, r.FormerRefs, r.Ref = c.cfg.Name, c.references.former(r.Ref), c.references.of(address, r.Ref)
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

// readsAsReceipt reports whether the text and the settings make an unmarked message a
// receipt. It counts other messages.
func (c *Carrier) readsAsReceipt(m *pdu.Message) bool {
	switch {
	case !textOfReceipt(m):
		c.metrics.incoming("message")
		return false
	case c.cfg.ReceiptsInMessages:
		return true
	}
	c.metrics.incoming("receipt in message")
	if c.asMessage.due(time.Now()) {
		c.log.Warn("plain message with the text of a receipt ignored; if the carrier sends its receipts"+
			" in plain messages, set smpp.receipts_in_messages: true (logged once an hour)",
			"esm_class", fmt.Sprintf("0x%02X", m.ESMClass))
	}
	return false
}

// watchAddress warns of a receipt that arrived over another address than its message
// id: both addresses may belong to one system.
func (c *Carrier) watchAddress(address, id string) {
	if !c.issuedElsewhere(address, id) {
		return
	}
	c.metrics.astray.Inc()
	if c.astray.due(time.Now()) {
		c.log.Warn("receipt arrived over another address than its message id; if the addresses belong to"+
			" one system, set smpp.message_id_scope: carrier (logged once an hour)", "address", address)
	}
}
