package smpp

import (
	"errors"
	"fmt"
	"slices"

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

// A session counts as lost after mostSystemErrors consecutive submissions, to at
// least leastNumbers different numbers, without success: each answered with
// ESME_RSYSERR or generic_nack. Failures of fewer numbers may be due to those numbers.
const (
	mostSystemErrors = 5
	leastNumbers     = 3
)

// failures is a run of submissions without success. The zero value is an empty run.
type failures struct {
	count   int
	numbers []string // different ones, at most leastNumbers
}

// add counts a failed submission to a number.
func (f *failures) add(number string) {
	f.count++
	if len(f.numbers) < leastNumbers && !slices.Contains(f.numbers, number) {
		f.numbers = append(f.numbers, number)
	}
}

// enough reports whether the run shows that the session is lost.
func (f *failures) enough() bool {
	return f.count >= mostSystemErrors && len(f.numbers) >= leastNumbers
}

// judge retires the session if the response to a submission to a number shows that
// the SMSC accepts no messages on the session.
func (c *Carrier) judge(s *session, number string, p pdu.PDU) {
	nack := p.Body.Command() == pdu.CommandGenericNack
	if p.Status == pdu.StatusOK && !nack {
		s.accepted.Store(true)
		s.works()
		return
	}
	class, no := c.classOf(p), &StatusError{Status: p.Status}
	switch {
	case class == ClassBind:
		s.retire(fmt.Errorf("%w: submit_sm answered with %w", errUnusable, no))
	case class == ClassFinal, class == ClassNumber:
		s.works() // the SMSC judged the message
	case class == ClassTemporary && (nack || p.Status == pdu.StatusSystemError):
		s.failedTo(number, no)
	}
}

// works ends a run of failures.
func (s *session) works() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = failures{}
}

// failedTo continues the run of failures with a submission to a number, and retires
// the session if the run is enough.
func (s *session) failedTo(number string, no *StatusError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed.add(number); s.failed.enough() {
		s.retireLocked(fmt.Errorf("%w: %d submit_sm in a row failed, the last with %w", errUnusable, s.failed.count, no))
	}
}

// retire takes the session out of use because of err. New requests fail with
// errNotWritten; requests in flight keep waiting for their responses, so that no
// message becomes unclear. The session ends after the last of them.
func (s *session) retire(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retireLocked(err)
}

func (s *session) retireLocked(err error) {
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
