package pdu

import (
	"fmt"
	"strconv"
)

// Status is a command_status (§5.1.3).
type Status uint32

// Statuses used by this package or its importers.
const (
	StatusOK                   Status = 0x00
	StatusInvalidMessageLength Status = 0x01
	StatusInvalidCommandLength Status = 0x02
	StatusInvalidCommandID     Status = 0x03
	StatusInvalidBindStatus    Status = 0x04
	StatusAlreadyBound         Status = 0x05
	StatusSystemError          Status = 0x08
	StatusInvalidDestination   Status = 0x0B
	StatusInvalidMessageID     Status = 0x0C
	StatusBindFailed           Status = 0x0D
	StatusInvalidPassword      Status = 0x0E
	StatusInvalidSystemID      Status = 0x0F
	StatusCancelFailed         Status = 0x11
	StatusQueueFull            Status = 0x14
	StatusSubmitFailed         Status = 0x45
	StatusThrottled            Status = 0x58
	StatusTemporaryAppError    Status = 0x64 // ESME_RX_T_APPN: resend later
	StatusPermanentAppError    Status = 0x65 // ESME_RX_P_APPN
	StatusQueryFailed          Status = 0x67
	StatusUnknownError         Status = 0xFF
)

// ParseStatus parses a command_status: a number, decimal or hexadecimal ("0x0B"), or
// a name of the specification ("ESME_RINVDSTADR"). It returns an error for ESME_ROK.
func ParseStatus(s string) (Status, error) {
	for status, name := range statusNames {
		if name == s && status != StatusOK {
			return status, nil
		}
	}
	if n, err := strconv.ParseUint(s, 0, 32); err == nil && n != 0 {
		return Status(n), nil
	}
	return 0, fmt.Errorf("must be an error status such as 0x0B or ESME_RINVDSTADR, not %q", s)
}

// Name returns the name in the specification, or "other".
func (s Status) Name() string {
	if name, ok := statusNames[s]; ok {
		return name
	}
	return "other"
}

// String returns the name in the specification with the number, or only the number.
func (s Status) String() string {
	name, ok := statusNames[s]
	if !ok {
		return fmt.Sprintf("status 0x%08X", uint32(s))
	}
	return fmt.Sprintf("%s (0x%02X)", name, uint32(s))
}

//nolint:gochecknoglobals // a table of the specification
var statusNames = map[Status]string{
	0x00: "ESME_ROK", 0x01: "ESME_RINVMSGLEN", 0x02: "ESME_RINVCMDLEN", 0x03: "ESME_RINVCMDID",
	0x04: "ESME_RINVBNDSTS", 0x05: "ESME_RALYBND", 0x06: "ESME_RINVPRTFLG", 0x07: "ESME_RINVREGDLVFLG",
	0x08: "ESME_RSYSERR", 0x0A: "ESME_RINVSRCADR", 0x0B: "ESME_RINVDSTADR", 0x0C: "ESME_RINVMSGID",
	0x0D: "ESME_RBINDFAIL", 0x0E: "ESME_RINVPASWD", 0x0F: "ESME_RINVSYSID", 0x11: "ESME_RCANCELFAIL",
	0x13: "ESME_RREPLACEFAIL", 0x14: "ESME_RMSGQFUL", 0x15: "ESME_RINVSERTYP", 0x33: "ESME_RINVNUMDESTS",
	0x34: "ESME_RINVDLNAME", 0x40: "ESME_RINVDESTFLAG", 0x42: "ESME_RINVSUBREP", 0x43: "ESME_RINVESMCLASS",
	0x44: "ESME_RCNTSUBDL", 0x45: "ESME_RSUBMITFAIL", 0x48: "ESME_RINVSRCTON", 0x49: "ESME_RINVSRCNPI",
	0x50: "ESME_RINVDSTTON", 0x51: "ESME_RINVDSTNPI", 0x53: "ESME_RINVSYSTYP", 0x54: "ESME_RINVREPFLAG",
	0x55: "ESME_RINVNUMMSGS", 0x58: "ESME_RTHROTTLED", 0x61: "ESME_RINVSCHED", 0x62: "ESME_RINVEXPIRY",
	0x63: "ESME_RINVDFTMSGID", 0x64: "ESME_RX_T_APPN", 0x65: "ESME_RX_P_APPN", 0x66: "ESME_RX_R_APPN",
	0x67: "ESME_RQUERYFAIL", 0xC0: "ESME_RINVOPTPARSTREAM", 0xC1: "ESME_ROPTPARNOTALLWD",
	0xC2: "ESME_RINVPARLEN", 0xC3: "ESME_RMISSINGOPTPARAM", 0xC4: "ESME_RINVOPTPARAMVAL",
	0xFE: "ESME_RDELIVERYFAILURE", 0xFF: "ESME_RUNKNOWNERR",

	// SMPP 5.0 §4.7.6: statuses of submit_sm_resp.
	0x100: "ESME_RSERTYPUNAUTH", 0x101: "ESME_RPROHIBITED", 0x102: "ESME_RSERTYPUNAVAIL",
	0x103: "ESME_RSERTYPDENIED", 0x104: "ESME_RINVDCS", 0x105: "ESME_RINVSRCADDRSUBUNIT",
	0x106: "ESME_RINVDSTADDRSUBUNIT",
}

// MessageState is the state of a message (§5.2.28).
type MessageState uint8

// Message states.
const (
	StateEnroute       MessageState = 1
	StateDelivered     MessageState = 2
	StateExpired       MessageState = 3
	StateDeleted       MessageState = 4
	StateUndeliverable MessageState = 5
	StateAccepted      MessageState = 6
	StateUnknown       MessageState = 7
	StateRejected      MessageState = 8
)
