package smpp

import (
	"errors"
	"fmt"
	"slices"

	"countersign/internal/deliver/smpp/pdu"
)

// Class is the reaction to an error status in a submit_sm_resp.
type Class string

// Classes.
const (
	// ClassTemporary tries another bind, then the next carrier of the route. If all
	// refuse, the route is retried with back-off until the code expires.
	ClassTemporary Class = "temporary"
	// ClassThrottled halves the rate and retries the same carrier within patience.
	// After that it is ClassTemporary.
	ClassThrottled Class = "throttled"
	// ClassFinal fails over to the next carrier, and does not retry this one.
	ClassFinal Class = "final"
	// ClassNumber is ClassFinal for a refusal of the number, which does not count
	// against the carrier.
	ClassNumber Class = "number"
	// ClassBind closes the session and binds again, with back-off. The message is
	// treated as for ClassTemporary.
	ClassBind Class = "bind"
)

// reaction is an entry of the status table.
type reaction struct {
	status pdu.Status
	class  Class
}

// reactions returns all statuses with a class other than ClassFinal. Every other
// status is final, including carrier-specific ones (0x400 to 0x4FF): a repeated
// refusal costs time in which the next carrier could deliver the code.
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

// Statuses used only in the status table.
const (
	statusInvalidSystemType  pdu.Status = 0x53
	statusServiceUnavailable pdu.Status = 0x102 // SMPP 5.0 §4.7.6
	statusChannelDisabled    pdu.Status = 0x4A1 // carrier-specific: system error or channel disabled
)

// classOf returns the class of an error response. A generic_nack with a status that is
// not in the table is temporary: the SMSC could not read the submit_sm, so it did not
// refuse the message.
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

// classOf returns the class of an error of submit; "" if it wraps no status.
func classOf(err error) Class {
	if no, ok := errors.AsType[*StatusError](err); ok {
		return no.Class
	}
	return ""
}

// A session is unusable after mostSystemErrors consecutive submissions to at least
// leastNumbers numbers were answered with ESME_RSYSERR or generic_nack. With fewer
// numbers the numbers themselves may be the cause.
const (
	mostSystemErrors = 5
	leastNumbers     = 3
)

// failures counts consecutive failed submissions. The zero value is ready to use.
type failures struct {
	count   int
	numbers []string // distinct, at most leastNumbers
}

// add counts a failed submission to a number.
func (f *failures) add(number string) {
	f.count++
	if len(f.numbers) < leastNumbers && !slices.Contains(f.numbers, number) {
		f.numbers = append(f.numbers, number)
	}
}

// enough reports whether the failures make the session unusable.
func (f *failures) enough() bool {
	return f.count >= mostSystemErrors && len(f.numbers) >= leastNumbers
}

// judge retires the session if the response to a submission shows that the SMSC
// accepts no messages on it.
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

// works resets the count of failures.
func (s *session) works() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = failures{}
}

// failedTo counts a failed submission to a number, and retires the session after too
// many.
func (s *session) failedTo(number string, no *StatusError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed.add(number); s.failed.enough() {
		s.retireLocked(fmt.Errorf("%w: %d submit_sm in a row failed, the last with %w", errUnusable, s.failed.count, no))
	}
}

// retire makes the session unusable because of err. New requests fail with
// errNotWritten. Requests in flight keep waiting for their responses, so that their
// outcome becomes known. The session ends after the last response.
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
