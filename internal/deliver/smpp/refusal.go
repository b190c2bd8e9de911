package smpp

import (
	"errors"
	"io"

	"countersign/internal/deliver/smpp/pdu"
)

// bindRefusals returns the causes of a refused bind (SMPP 3.4 §5.1.3) with the
// settings to check. Keep docs/reference/smpp-carrier-behaviour.md in step.
func bindRefusals() map[pdu.Status]string {
	return map[pdu.Status]string{
		pdu.StatusInvalidMessageLength: "the SMSC cannot read the bind; check the lengths: system_id up to 15 characters, password up to 8, system_type up to 12",
		pdu.StatusInvalidCommandLength: "the SMSC cannot read the bind; check the lengths: system_id up to 15 characters, password up to 8, system_type up to 12",
		pdu.StatusInvalidCommandID:     "the SMSC does not offer this kind of bind; check mode: some offer only split",
		pdu.StatusInvalidBindStatus:    "the SMSC does not expect a bind now; check mode, and ask the carrier which binds the account may open",
		pdu.StatusAlreadyBound:         "the account has its sessions already; check binds, and stop other programs that use this system_id",
		pdu.StatusSystemError:          "the SMSC has a fault; if it lasts, ask the carrier",
		pdu.StatusBindFailed:           "check system_id, password, system_type and mode, and ask the carrier whether it allows this IP address and so many binds",
		pdu.StatusInvalidPassword:      "invalid password; check password or password_file, and that system_id and addresses belong to the same account",
		pdu.StatusInvalidSystemID:      "unknown system_id; check system_id, and that addresses belong to this account",
		pdu.StatusQueueFull:            "too many binds or messages; lower binds, or ask the carrier for the limit",
		statusInvalidSystemType:        "invalid system_type; check system_type: many carriers want it empty",
		pdu.StatusThrottled:            "too many binds in a short time; lower binds; the next attempt waits longer",
	}
}

// otherRefusal is the cause for all other statuses, some of them carrier-specific.
const otherRefusal = "ask the carrier for its meaning; check system_id, password, system_type, mode and binds"

// refusal is a bind that the SMSC refused.
type refusal struct{ status StatusError }

// Error returns the status, its cause and the settings to check.
func (r *refusal) Error() string {
	cause, ok := bindRefusals()[r.status.Status]
	if !ok {
		cause = otherRefusal
	}
	return r.status.Error() + ": " + cause
}

// Unwrap returns the status.
func (r *refusal) Unwrap() error { return &r.status }

// hangup is the error of a connection that the SMSC closed instead of answering the
// bind.
type hangup struct{ error }

func (h hangup) Error() string {
	return h.error.Error() + ": the SMSC closed the connection without an answer; check tls and the port in addresses, and ask the carrier whether it allows this IP address"
}

// Unwrap returns the cause.
func (h hangup) Unwrap() error { return h.error }

// explained adds the likely cause if the SMSC closed the connection during the bind.
func explained(err error) error {
	if errors.Is(err, io.EOF) {
		return hangup{err}
	}
	return err
}
