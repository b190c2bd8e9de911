package smsc_test

import (
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver/smpp/pdu"
)

// TestQueryAndCancel: a message can be canceled before its final state.
func TestQueryAndCancel(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		l := faulty(t, "receipt-delay=1m")
		c := l.bind(pdu.CommandBindTransceiver)
		from, to := pdu.Address{Addr: sender}, pdu.Address{Addr: phone}
		state := func(id string) pdu.MessageState {
			q, _ := c.request(&pdu.QuerySM{MessageID: id, Source: from}).Body.(*pdu.QuerySMResp)
			return q.MessageState
		}
		first := c.submit(sms("1", pdu.ReceiptAlways))
		second := c.submit(sms("2", pdu.ReceiptAlways))
		if got := state(first); got != pdu.StateEnroute {
			t.Errorf("state %d before the final state", got)
		}
		refusals := map[pdu.Status]pdu.Body{
			pdu.StatusInvalidMessageID: &pdu.QuerySM{MessageID: "0", Source: from},
			pdu.StatusQueryFailed:      &pdu.QuerySM{MessageID: first, Source: to},
			pdu.StatusCancelFailed:     &pdu.CancelSM{MessageID: first, Source: to},
		}
		for want, body := range refusals {
			if got := c.request(body).Status; got != want {
				t.Errorf("%+v: %v, want %v", body, got, want)
			}
		}
		other := l.connect()
		other.bind(pdu.CommandBindTransceiver, "other", "")
		if got := other.request(&pdu.CancelSM{MessageID: first, Source: from}).Status; got != pdu.StatusInvalidMessageID {
			t.Errorf("by another system_id: %v", got)
		}
		if got := c.request(&pdu.CancelSM{MessageID: first, Source: from}).Status; got != pdu.StatusOK {
			t.Errorf("cancel_sm: %v", got)
		}
		if m := c.receipt(pdu.StatusOK); fields(t, m)[0] != first || stat(t, m) != "DELETED" {
			t.Errorf("receipt %q", m.ShortMessage)
		}
		if got := state(first); got != pdu.StateDeleted {
			t.Errorf("state %d after cancel_sm", got)
		}
		if got := c.request(&pdu.CancelSM{MessageID: first, Source: from}).Status; got != pdu.StatusCancelFailed {
			t.Errorf("second cancel_sm: %v", got)
		}
		await.Pass(time.Minute)
		if m := c.receipt(pdu.StatusOK); fields(t, m)[0] != second || stat(t, m) != "DELIVRD" {
			t.Errorf("receipt %q", m.ShortMessage)
		}
		if got := c.request(&pdu.CancelSM{MessageID: second, Source: from}).Status; got != pdu.StatusCancelFailed {
			t.Errorf("cancel_sm of a delivered message: %v", got)
		}
		third := c.submit(sms("3", 0))
		if got := c.request(&pdu.CancelSM{Source: from, Destination: to}).Status; got != pdu.StatusOK {
			t.Errorf("cancel_sm of all: %v", got)
		}
		if got := state(third); got != pdu.StateDeleted {
			t.Errorf("state %d after cancel_sm of all", got)
		}
	})
}

// TestSchedule: a message is delivered at its scheduled time.
func TestSchedule(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		c := faulty(t).bind(pdu.CommandBindTransceiver)
		m := sms("later", pdu.ReceiptAlways)
		m.ScheduleDeliveryTime = "000000010000000R"
		c.submit(m)
		began := time.Now()
		c.receipt(pdu.StatusOK)
		if took := time.Since(began); took != time.Hour {
			t.Errorf("came after %v", took)
		}
		m.ScheduleDeliveryTime = "000101000000000+" // long ago
		c.submit(m)
		began = time.Now()
		c.receipt(pdu.StatusOK)
		if took := time.Since(began); took != 0 {
			t.Errorf("came after %v", took)
		}
	})
}
