package pdu

import "bytes"

// Address is a number or name with its type (§5.2.5) and numbering plan (§5.2.6).
type Address struct {
	TON, NPI uint8
	Addr     string
}

// Types of number (TON) and numbering plans (NPI).
const (
	TONUnknown       uint8 = 0
	TONInternational uint8 = 1
	TONNetwork       uint8 = 3 // network specific, usual for short codes
	TONAlphanumeric  uint8 = 5

	NPIUnknown uint8 = 0
	NPIISDN    uint8 = 1 // E.163/E.164
)

func (a *Address) write(w *writer, field string, size int) {
	w.u8(a.TON)
	w.u8(a.NPI)
	w.text(field, a.Addr, size)
}

func (a *Address) read(r *reader, field string) {
	a.TON = r.u8(field)
	a.NPI = r.u8(field)
	a.Addr = r.text(field)
}

// Bits and values of esm_class (§5.2.12).
const (
	ESMUDHI    uint8 = 0x40 // user data header indicator
	ESMReceipt uint8 = 0x04 // deliver_sm: a delivery receipt
	// ESMIntermediate marks a deliver_sm as an intermediate notification.
	ESMIntermediate uint8 = 0x20
	esmType         uint8 = 0x3C
)

// Values of data_coding (§5.2.19).
const (
	CodingDefault uint8 = 0x00 // default of the SMSC, nearly always GSM 03.38
	CodingIA5     uint8 = 0x01
	CodingBinary  uint8 = 0x04
	CodingLatin1  uint8 = 0x03
	CodingUCS2    uint8 = 0x08
)

// Values of registered_delivery (§5.2.17).
const (
	ReceiptNever     uint8 = 0
	ReceiptAlways    uint8 = 1
	ReceiptOnFailure uint8 = 2
)

// Message is the common body of submit_sm and deliver_sm (§4.4.1, §4.6.1).
type Message struct {
	ServiceType          string  // at most 5 characters
	Source               Address // at most 20
	Destination          Address // at most 20
	ESMClass             uint8
	ProtocolID           uint8
	PriorityFlag         uint8
	ScheduleDeliveryTime string // "" or 16 characters, §7.1.1
	ValidityPeriod       string // "" or 16 characters, §7.1.1
	RegisteredDelivery   uint8
	ReplaceIfPresent     uint8
	DataCoding           uint8
	SMDefaultMsgID       uint8
	ShortMessage         []byte // at most 254 octets
	TLVs                 TLVs
}

// UserData returns the content: short_message, or message_payload if that is empty.
func (m *Message) UserData() []byte {
	if payload, ok := m.TLVs.Get(TagMessagePayload); ok && len(m.ShortMessage) == 0 {
		return payload
	}
	return m.ShortMessage
}

// IsReceipt reports whether esm_class marks a deliver_sm as a receipt or an
// intermediate notification.
func (m *Message) IsReceipt() bool {
	t := m.ESMClass & esmType
	return t == ESMReceipt || t == ESMIntermediate
}

func (m *Message) write(w writer) writer {
	w.text("service_type", m.ServiceType, 6)
	m.Source.write(&w, "source_addr", 21)
	m.Destination.write(&w, "destination_addr", 21)
	w.u8(m.ESMClass)
	w.u8(m.ProtocolID)
	w.u8(m.PriorityFlag)
	w.time("schedule_delivery_time", m.ScheduleDeliveryTime)
	w.time("validity_period", m.ValidityPeriod)
	w.u8(m.RegisteredDelivery)
	w.u8(m.ReplaceIfPresent)
	w.u8(m.DataCoding)
	w.u8(m.SMDefaultMsgID)
	if len(m.ShortMessage) > 254 {
		w.fail("short_message is %d octets long, at most 254 fit", len(m.ShortMessage))
		return w
	}
	if _, ok := m.TLVs.Get(TagMessagePayload); ok && len(m.ShortMessage) > 0 {
		w.fail("both short_message and message_payload are given") // §3.2.3
		return w
	}
	w.u8(uint8(len(m.ShortMessage)))
	w.b = append(w.b, m.ShortMessage...)
	w.tlvs(m.TLVs)
	return w
}

func (m *Message) read(r *reader) {
	m.ServiceType = r.text("service_type")
	m.Source.read(r, "source_addr")
	m.Destination.read(r, "destination_addr")
	m.ESMClass = r.u8("esm_class")
	m.ProtocolID = r.u8("protocol_id")
	m.PriorityFlag = r.u8("priority_flag")
	m.ScheduleDeliveryTime = r.text("schedule_delivery_time")
	m.ValidityPeriod = r.text("validity_period")
	m.RegisteredDelivery = r.u8("registered_delivery")
	m.ReplaceIfPresent = r.u8("replace_if_present_flag")
	m.DataCoding = r.u8("data_coding")
	m.SMDefaultMsgID = r.u8("sm_default_msg_id")
	n := int(r.u8("sm_length"))
	if n > len(r.b) {
		r.fail(StatusInvalidMessageLength, "sm_length exceeds the PDU")
		return
	}
	if n > 0 {
		m.ShortMessage = bytes.Clone(r.take("short_message", n))
	}
	m.TLVs = r.tlvs()
}

// SubmitSM submits a message to the SMSC (§4.4.1).
type SubmitSM struct{ Message }

// Command implements [Body].
func (*SubmitSM) Command() Command { return CommandSubmitSM }

// DeliverSM delivers a message or a receipt to the ESME (§4.6.1).
type DeliverSM struct{ Message }

// Command implements [Body].
func (*DeliverSM) Command() Command { return CommandDeliverSM }

// MessageID is the body of responses with a message_id (§4.4.2, §4.6.2).
type MessageID struct {
	MessageID string // issued by the SMSC, at most 64 characters; "" in deliver_sm_resp
	TLVs      TLVs
}

func (m *MessageID) write(w writer) writer {
	w.text("message_id", m.MessageID, 65)
	w.tlvs(m.TLVs)
	return w
}

func (m *MessageID) read(r *reader) {
	m.MessageID = r.text("message_id")
	m.TLVs = r.tlvs()
}

// SubmitSMResp answers [SubmitSM] (§4.4.2).
type SubmitSMResp struct{ MessageID }

// Command implements [Body].
func (*SubmitSMResp) Command() Command { return CommandSubmitSM.Response() }

// DeliverSMResp answers [DeliverSM] (§4.6.2).
type DeliverSMResp struct{ MessageID }

// Command implements [Body].
func (*DeliverSMResp) Command() Command { return CommandDeliverSM.Response() }

// DataSM transfers a message in either direction, with its content in message_payload
// (§4.7.1).
type DataSM struct {
	ServiceType        string  // at most 5 characters
	Source             Address // at most 64
	Destination        Address // at most 64
	ESMClass           uint8
	RegisteredDelivery uint8
	DataCoding         uint8
	TLVs               TLVs
}

// Command implements [Body].
func (*DataSM) Command() Command { return CommandDataSM }

func (m *DataSM) write(w writer) writer {
	w.text("service_type", m.ServiceType, 6)
	m.Source.write(&w, "source_addr", 65)
	m.Destination.write(&w, "destination_addr", 65)
	w.u8(m.ESMClass)
	w.u8(m.RegisteredDelivery)
	w.u8(m.DataCoding)
	w.tlvs(m.TLVs)
	return w
}

func (m *DataSM) read(r *reader) {
	m.ServiceType = r.text("service_type")
	m.Source.read(r, "source_addr")
	m.Destination.read(r, "destination_addr")
	m.ESMClass = r.u8("esm_class")
	m.RegisteredDelivery = r.u8("registered_delivery")
	m.DataCoding = r.u8("data_coding")
	m.TLVs = r.tlvs()
}

// Message converts a data_sm from an SMSC to the body of a deliver_sm.
func (m *DataSM) Message() Message {
	return Message{
		ServiceType: m.ServiceType, Source: m.Source, Destination: m.Destination, ESMClass: m.ESMClass,
		RegisteredDelivery: m.RegisteredDelivery, DataCoding: m.DataCoding, TLVs: m.TLVs,
	}
}

// DataSMResp answers [DataSM] (§4.7.2).
type DataSMResp struct{ MessageID }

// Command implements [Body].
func (*DataSMResp) Command() Command { return CommandDataSM.Response() }

// QuerySM requests the state of a message (§4.8.1).
type QuerySM struct {
	MessageID string  // at most 64 characters
	Source    Address // source of the message, at most 20
}

// Command implements [Body].
func (*QuerySM) Command() Command { return CommandQuerySM }

func (m *QuerySM) write(w writer) writer {
	w.text("message_id", m.MessageID, 65)
	m.Source.write(&w, "source_addr", 21)
	return w
}

func (m *QuerySM) read(r *reader) {
	m.MessageID = r.text("message_id")
	m.Source.read(r, "source_addr")
}

// QuerySMResp answers [QuerySM] (§4.8.2).
type QuerySMResp struct {
	MessageID    string // at most 64 characters
	FinalDate    string // "" or 16 characters
	MessageState MessageState
	ErrorCode    uint8
}

// Command implements [Body].
func (*QuerySMResp) Command() Command { return CommandQuerySM.Response() }

func (m *QuerySMResp) write(w writer) writer {
	w.text("message_id", m.MessageID, 65)
	w.time("final_date", m.FinalDate)
	w.u8(uint8(m.MessageState))
	w.u8(m.ErrorCode)
	return w
}

func (m *QuerySMResp) read(r *reader) {
	m.MessageID = r.text("message_id")
	m.FinalDate = r.text("final_date")
	m.MessageState = MessageState(r.u8("message_state"))
	m.ErrorCode = r.u8("error_code")
}

// CancelSM cancels undelivered messages (§4.9.1).
type CancelSM struct {
	ServiceType string  // at most 5 characters
	MessageID   string  // at most 64; "" for all messages that match the other fields
	Source      Address // at most 20
	Destination Address // at most 20; "" when MessageID is given
}

// Command implements [Body].
func (*CancelSM) Command() Command { return CommandCancelSM }

func (m *CancelSM) write(w writer) writer {
	w.text("service_type", m.ServiceType, 6)
	w.text("message_id", m.MessageID, 65)
	m.Source.write(&w, "source_addr", 21)
	m.Destination.write(&w, "destination_addr", 21)
	return w
}

func (m *CancelSM) read(r *reader) {
	m.ServiceType = r.text("service_type")
	m.MessageID = r.text("message_id")
	m.Source.read(r, "source_addr")
	m.Destination.read(r, "destination_addr")
}

// CancelSMResp answers [CancelSM] (§4.9.2).
type CancelSMResp struct{ empty }

// Command implements [Body].
func (*CancelSMResp) Command() Command { return CommandCancelSM.Response() }
