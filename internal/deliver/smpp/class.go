package smpp

import (
	"errors"
	"fmt"

	"countersign/internal/deliver/smpp/pdu"
)

// Class is the reaction to an error status in a submit_sm_resp.
type Class string

// The classes.
const (
	// ClassTemporary: another bind is tried, then the next carrier of the route;
	// if none accepts the message, all are tried again after a back-off while the
	// code is of use.
	ClassTemporary Class = "temporary"
	// ClassThrottled is ClassTemporary for a carrier that is asked to go slower: the
	// rate is halved, and the same carrier is tried for some seconds first.
	ClassThrottled Class = "throttled"
	// ClassFinal: this carrier is not asked again for the message.
	ClassFinal Class = "final"
	// ClassNumber is ClassFinal for a refusal of the number, which does not count
	// against the carrier.
	ClassNumber Class = "number"
	// ClassBind: the session is closed and bound again, with back-off. The message is
	// treated as for ClassTemporary.
	ClassBind Class = "bind"
)

// Classes returns all classes.
func Classes() []Class {
	return []Class{ClassTemporary, ClassThrottled, ClassFinal, ClassNumber, ClassBind}
}

// reaction is a row of the table of statuses.
type reaction struct {
	status pdu.Status
	class  Class
}

// reactions returns the statuses whose class is not ClassFinal. Every other status
// is final, those of carriers (0x400 to 0x4FF) included: a repeated refusal costs
// time in which the next carrier could deliver the code.
func reactions() []reaction {
	return []reaction{
		{pdu.StatusInvalidCommandID, ClassBind}, // submit_sm is not allowed on a receiver
		{pdu.StatusInvalidBindStatus, ClassBind},
		{pdu.StatusAlreadyBound, ClassBind},
		{pdu.StatusSystemError, ClassTemporary},
		{pdu.StatusInvalidDestination, ClassNumber},
		{pdu.StatusBindFailed, ClassBind},
		{pdu.StatusInvalidPassword, ClassBind},
		{pdu.StatusInvalidSystemID, ClassBind},
		{pdu.StatusQueueFull, ClassThrottled},
		{statusInvalidSystemType, ClassBind},
		{pdu.StatusThrottled, ClassThrottled},
		{pdu.StatusTemporaryAppError, ClassTemporary},
		{pdu.StatusUnknownError, ClassTemporary},
		{statusServiceUnavailable, ClassTemporary},
		{statusChannelDisabled, ClassTemporary},
	}
}

// Statuses that only the table uses.
const (
	statusInvalidSystemType  pdu.Status = 0x53
	statusServiceUnavailable pdu.Status = 0x102 // SMPP 5.0 §4.7.6
	statusChannelDisabled    pdu.Status = 0x4A1 // of a carrier: system error or channel disabled
)

// classOf returns the class of a response with an error. generic_nack is temporary
// unless its status says more: the SMSC did not read the submit_sm, so it did not
// judge the message.
func (c *Carrier) classOf(p pdu.PDU) Class {
	if class, ok := c.cfg.Statuses[p.Status]; ok {
		return class
	}
	for _, r := range reactions() {
		if r.status == p.Status {
			return r.class
		}
	}
	if p.Body.Command() == pdu.CommandGenericNack {
		return ClassTemporary
	}
	return ClassFinal
}

// classOf returns the class of an error of submit; "" if it is not about a status.
func classOf(err error) Class {
	if no, ok := errors.AsType[*StatusError](err); ok {
		return no.Class
	}
	return ""
}

// mostSystemErrors is the number of consecutive submissions without success, each
// answered with ESME_RSYSERR or generic_nack, after which a session counts as lost.
const mostSystemErrors = 5

// judge retires the session if the response to a submission shows that the SMSC
// accepts no messages on it.
func (c *Carrier) judge(s *session, p pdu.PDU) {
	nack := p.Body.Command() == pdu.CommandGenericNack
	if p.Status == pdu.StatusOK && !nack {
		s.accepted.Store(true)
		s.failed.Store(0)
		return
	}
	class, no := c.classOf(p), &StatusError{Status: p.Status}
	switch {
	case class == ClassBind:
		s.retire(fmt.Errorf("%w: submit_sm answered with %w", errUnusable, no))
	case class == ClassFinal, class == ClassNumber:
		s.failed.Store(0) // the SMSC judged the message, so the session works
	case class == ClassTemporary && (nack || p.Status == pdu.StatusSystemError):
		if n := s.failed.Add(1); n >= mostSystemErrors {
			s.retire(fmt.Errorf("%w: %d submit_sm in a row failed, the last with %w", errUnusable, n, no))
		}
	}
}

// retire takes the session out of use because of err. New requests fail with
// errNotWritten; requests in flight keep waiting for their responses, so that no
// message becomes unclear. The session ends after the last of them.
func (s *session) retire(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retired == nil {
		s.retired = err
		s.leave()
	}
}

// isRetired reports whether retire was called.
func (s *session) isRetired() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.retired != nil
}
