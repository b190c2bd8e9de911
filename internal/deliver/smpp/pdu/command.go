package pdu

import "fmt"

// Command is a command_id (§5.1.2.1). A response has the highest bit set.
type Command uint32

// Commands supported by this package.
const (
	CommandGenericNack       Command = 0x80000000
	CommandBindReceiver      Command = 0x00000001
	CommandBindTransmitter   Command = 0x00000002
	CommandQuerySM           Command = 0x00000003
	CommandSubmitSM          Command = 0x00000004
	CommandDeliverSM         Command = 0x00000005
	CommandUnbind            Command = 0x00000006
	CommandCancelSM          Command = 0x00000008
	CommandBindTransceiver   Command = 0x00000009
	CommandOutbind           Command = 0x0000000B
	CommandEnquireLink       Command = 0x00000015
	CommandAlertNotification Command = 0x00000102
	CommandDataSM            Command = 0x00000103

	responseBit Command = 0x80000000
)

// IsResponse reports whether the command is a response.
func (c Command) IsResponse() bool { return c&responseBit != 0 }

// Response returns the command of the response to c.
func (c Command) Response() Command { return c | responseBit }

// String returns the name in the specification, or the number of an unknown command.
func (c Command) String() string {
	name := ""
	switch c &^ responseBit {
	case 0:
		if c == CommandGenericNack {
			return "generic_nack"
		}
	case CommandBindReceiver:
		name = "bind_receiver"
	case CommandBindTransmitter:
		name = "bind_transmitter"
	case CommandQuerySM:
		name = "query_sm"
	case CommandSubmitSM:
		name = "submit_sm"
	case CommandDeliverSM:
		name = "deliver_sm"
	case CommandUnbind:
		name = "unbind"
	case CommandCancelSM:
		name = "cancel_sm"
	case CommandBindTransceiver:
		name = "bind_transceiver"
	case CommandOutbind:
		name = "outbind"
	case CommandEnquireLink:
		name = "enquire_link"
	case CommandAlertNotification:
		name = "alert_notification"
	case CommandDataSM:
		name = "data_sm"
	}
	switch {
	case name == "":
		return fmt.Sprintf("command 0x%08X", uint32(c))
	case c.IsResponse():
		return name + "_resp"
	default:
		return name
	}
}

// newBody returns an empty body for decoding; nil for an unknown command.
func (c Command) newBody() Body {
	switch c {
	case CommandGenericNack:
		return &GenericNack{}
	case CommandBindReceiver, CommandBindTransmitter, CommandBindTransceiver:
		return &Bind{Kind: c}
	case CommandBindReceiver.Response(), CommandBindTransmitter.Response(), CommandBindTransceiver.Response():
		return &BindResp{Kind: c &^ responseBit}
	case CommandQuerySM:
		return &QuerySM{}
	case CommandQuerySM.Response():
		return &QuerySMResp{}
	case CommandSubmitSM:
		return &SubmitSM{}
	case CommandSubmitSM.Response():
		return &SubmitSMResp{}
	case CommandDeliverSM:
		return &DeliverSM{}
	case CommandDeliverSM.Response():
		return &DeliverSMResp{}
	case CommandUnbind:
		return &Unbind{}
	case CommandUnbind.Response():
		return &UnbindResp{}
	case CommandCancelSM:
		return &CancelSM{}
	case CommandCancelSM.Response():
		return &CancelSMResp{}
	case CommandOutbind:
		return &Outbind{}
	case CommandEnquireLink:
		return &EnquireLink{}
	case CommandEnquireLink.Response():
		return &EnquireLinkResp{}
	case CommandAlertNotification:
		return &AlertNotification{}
	case CommandDataSM:
		return &DataSM{}
	case CommandDataSM.Response():
		return &DataSMResp{}
	}
	return nil
}

// dropsBody reports whether the command has no body if its status is an error, as
// bind_resp (§4.1.2) and submit_sm_resp (§4.4.2). data_sm_resp keeps its body: its
// optional parameters describe the error (§4.7.2).
func (c Command) dropsBody() bool {
	switch c &^ responseBit {
	case CommandBindReceiver, CommandBindTransmitter, CommandBindTransceiver, CommandSubmitSM:
		return c.IsResponse()
	}
	return false
}
