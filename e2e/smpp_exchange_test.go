package e2e

import (
	"maps"

	"countersign/internal/deliver/smpp/pdu"
)

// exchange is a PDU and its fields under the names of other implementations. They send optional
// parameters in the order of the names.
type exchange struct {
	name string // "" for the name of the command
	pdu  pdu.PDU
	all  fields
	// Fields that one implementation returns in another form. Npm smpp decodes texts and times, and
	// omits missing fields. nil means that it does not have the field.
	node, perl fields
}

func (x exchange) command() string { return x.pdu.Body.Command().String() }

// fields returns all fields, with own for those of one implementation.
func (x exchange) fields(own fields) fields {
	f := maps.Clone(x.all)
	if f == nil {
		f = fields{}
	}
	f["command"], f["command_status"], f["sequence_number"] = x.command(), x.pdu.Status, x.pdu.Sequence
	for name, value := range own {
		if f[name] = value; value == nil {
			delete(f, name)
		}
	}
	return f
}

// exchanges returns all PDUs, with sequence numbers from 1.
func exchanges() []exchange {
	all := append(sessionExchanges(), submitExchanges()...)
	all = append(all, deliverExchanges()...)
	for i := range all {
		all[i].pdu.Sequence = uint32(i + 1)
		if all[i].name == "" {
			all[i].name = all[i].command()
		}
	}
	all[len(all)-1].pdu.Sequence = 0x7FFFFFFF
	return all
}

func sessionExchanges() []exchange {
	var all []exchange
	for _, kind := range []pdu.Command{pdu.CommandBindTransmitter, pdu.CommandBindReceiver, pdu.CommandBindTransceiver} {
		all = append(all, exchange{
			pdu: pdu.PDU{Body: &pdu.Bind{
				Kind: kind, SystemID: "countersign", Password: "sixteen-letters!", SystemType: "VERIFY",
				InterfaceVersion: pdu.Version34, AddrTON: 1, AddrNPI: 8, AddressRange: "^4477",
			}},
			all: fields{
				"system_id": "countersign", "password": "sixteen-letters!", "system_type": "VERIFY",
				"interface_version": 0x34, "addr_ton": 1, "addr_npi": 8, "address_range": "^4477",
			},
		}, exchange{
			pdu: pdu.PDU{Body: &pdu.BindResp{
				Kind: kind, SystemID: "SMSC-1", TLVs: pdu.TLVs{pdu.Uint8(pdu.TagSCInterfaceVersion, pdu.Version34)},
			}},
			all: fields{"system_id": "SMSC-1", "sc_interface_version": 0x34},
		}, exchange{
			name: kind.Response().String() + " refused",
			pdu:  pdu.PDU{Status: pdu.StatusInvalidPassword, Body: &pdu.BindResp{Kind: kind}},
			all:  fields{"system_id": ""},
			node: fields{"system_id": nil},
		})
	}
	return append(all,
		exchange{
			pdu: pdu.PDU{Body: &pdu.Outbind{SystemID: "SMSC-1", Password: "out8word"}},
			all: fields{"system_id": "SMSC-1", "password": "out8word"},
		},
		exchange{pdu: pdu.PDU{Body: &pdu.EnquireLink{}}},
		exchange{pdu: pdu.PDU{Body: &pdu.EnquireLinkResp{}}},
		exchange{pdu: pdu.PDU{Status: pdu.StatusInvalidCommandID, Body: &pdu.GenericNack{}}},
		exchange{pdu: pdu.PDU{Body: &pdu.Unbind{}}},
		exchange{pdu: pdu.PDU{Body: &pdu.UnbindResp{}}},
	)
}

const smppTime = "261122143115000+" // and its form in npm smpp
const smppTimeISO = "2026-11-22T14:31:15.000Z"

// messageFields returns the fields of m under the names of other implementations.
func messageFields(m pdu.Message, more fields) fields {
	f := fields{
		"service_type":    m.ServiceType,
		"source_addr_ton": m.Source.TON, "source_addr_npi": m.Source.NPI, "source_addr": m.Source.Addr,
		"dest_addr_ton": m.Destination.TON, "dest_addr_npi": m.Destination.NPI, "destination_addr": m.Destination.Addr,
		"esm_class": m.ESMClass, "protocol_id": m.ProtocolID, "priority_flag": m.PriorityFlag,
		"schedule_delivery_time": m.ScheduleDeliveryTime, "validity_period": m.ValidityPeriod,
		"registered_delivery": m.RegisteredDelivery, "replace_if_present_flag": m.ReplaceIfPresent,
		"data_coding": m.DataCoding, "sm_default_msg_id": m.SMDefaultMsgID,
		"short_message": octets(string(m.ShortMessage)),
	}
	maps.Copy(f, more)
	return f
}

var (
	smppPhone = pdu.Address{TON: pdu.TONInternational, NPI: pdu.NPIISDN, Addr: "447700900001"}
	smppBrand = pdu.Address{TON: pdu.TONAlphanumeric, Addr: "ACME Ltd"}
)

func submitExchanges() []exchange {
	gsm := pdu.Message{
		ServiceType: "CMT", Source: smppBrand, Destination: smppPhone, ESMClass: 3, ProtocolID: 64, PriorityFlag: 2,
		ScheduleDeliveryTime: smppTime, ValidityPeriod: smppTime, RegisteredDelivery: 1, ReplaceIfPresent: 4,
		SMDefaultMsgID: 7, ShortMessage: []byte("Caf\x05\x00Code 1234 \x1Be9.50"),
	}
	ucs2 := pdu.Message{
		Source: smppPhone, Destination: smppPhone, ESMClass: pdu.ESMUDHI, DataCoding: pdu.CodingUCS2,
		ShortMessage: []byte("\x05\x00\x03\x42\x02\x01\x04\x1A\x04\x3E\x04\x34"),
	}
	sar := pdu.Message{Source: smppBrand, Destination: smppPhone, ShortMessage: []byte("part one, "), TLVs: pdu.TLVs{
		pdu.Uint16(pdu.TagSARMsgRefNum, 0x1234),
		pdu.Uint8(pdu.TagSARSegmentSeqnum, 1),
		pdu.Uint8(pdu.TagSARTotalSegments, 2),
	}}
	payload := pdu.Message{Source: smppBrand, Destination: smppPhone, DataCoding: pdu.CodingLatin1, TLVs: pdu.TLVs{
		{Tag: pdu.TagMessagePayload, Value: []byte("Caf\xE9")},
		pdu.Uint8(pdu.TagMoreMessagesToSend, 1),
		pdu.Uint16(pdu.TagUserMessageReference, 0x0201),
	}}
	none := fields{"message": ""}
	return []exchange{{
		name: "submit_sm in GSM 03.38",
		pdu:  pdu.PDU{Body: &pdu.SubmitSM{Message: gsm}},
		all:  messageFields(gsm, nil),
		node: fields{
			"short_message":          fields{"message": "Café@Code 1234 €9.50"},
			"schedule_delivery_time": smppTimeISO, "validity_period": smppTimeISO,
		},
	}, {
		name: "submit_sm in UCS-2 with a header",
		pdu:  pdu.PDU{Body: &pdu.SubmitSM{Message: ucs2}},
		all:  messageFields(ucs2, nil),
		node: fields{"short_message": fields{"udh": octets("\x00\x03\x42\x02\x01"), "message": "Код"}},
	}, {
		name: "submit_sm with sar parameters",
		pdu:  pdu.PDU{Body: &pdu.SubmitSM{Message: sar}},
		all:  messageFields(sar, fields{"sar_msg_ref_num": 0x1234, "sar_segment_seqnum": 1, "sar_total_segments": 2}),
		node: fields{"short_message": fields{"message": "part one, "}},
	}, {
		name: "submit_sm with message_payload",
		pdu:  pdu.PDU{Body: &pdu.SubmitSM{Message: payload}},
		all: messageFields(payload, fields{
			"message_payload": octets("Caf\xE9"), "more_messages_to_send": 1, "user_message_reference": 0x0201,
		}),
		node: fields{"short_message": none, "message_payload": fields{"message": "Café"}},
	}, {
		pdu: pdu.PDU{Body: &pdu.SubmitSMResp{MessageID: pdu.MessageID{MessageID: "d8f1a9c2-5f0e"}}},
		all: fields{"message_id": "d8f1a9c2-5f0e"},
	}, {
		name: "submit_sm_resp refused",
		pdu:  pdu.PDU{Status: pdu.StatusThrottled, Body: &pdu.SubmitSMResp{}},
		all:  fields{"message_id": ""},
		node: fields{"message_id": nil},
	}, {
		pdu: pdu.PDU{Body: &pdu.QuerySM{MessageID: "a1b2c3", Source: smppBrand}},
		all: fields{"message_id": "a1b2c3", "source_addr_ton": 5, "source_addr_npi": 0, "source_addr": "ACME Ltd"},
	}, {
		pdu: pdu.PDU{Body: &pdu.QuerySMResp{
			MessageID: "a1b2c3", FinalDate: smppTime, MessageState: pdu.StateRejected, ErrorCode: 255,
		}},
		all:  fields{"message_id": "a1b2c3", "final_date": smppTime, "message_state": 8, "error_code": 255},
		node: fields{"final_date": smppTimeISO},
	}, {
		pdu: pdu.PDU{Body: &pdu.CancelSM{ServiceType: "CMT", MessageID: "a1b2c3", Source: smppBrand, Destination: smppPhone}},
		all: fields{
			"service_type": "CMT", "message_id": "a1b2c3",
			"source_addr_ton": 5, "source_addr_npi": 0, "source_addr": "ACME Ltd",
			"dest_addr_ton": 1, "dest_addr_npi": 1, "destination_addr": "447700900001",
		},
	}, {
		pdu: pdu.PDU{Body: &pdu.CancelSMResp{}},
	}, {
		name: "cancel_sm_resp refused",
		pdu:  pdu.PDU{Status: pdu.StatusCancelFailed, Body: &pdu.CancelSMResp{}},
	}}
}

func deliverExchanges() []exchange {
	const text = "id:0123456789 sub:001 dlvrd:001 submit date:2611221430 done date:2611221431 stat:DELIVRD err:000 text:Code"
	receipt := pdu.Message{
		Source: smppPhone, Destination: smppBrand, ESMClass: pdu.ESMReceipt, ShortMessage: []byte(text), TLVs: pdu.TLVs{
			pdu.Uint8(pdu.TagMessageState, 2),
			{Tag: pdu.TagNetworkErrorCode, Value: []byte{3, 0, 34}},
			pdu.Text(pdu.TagReceiptedMessageID, "0123456789"),
		},
	}
	message := pdu.Message{Source: smppPhone, Destination: smppBrand, ShortMessage: []byte("STOP"), TLVs: pdu.TLVs{
		pdu.Uint8(0x1501, 9),
		pdu.Uint16(pdu.TagDestinationPort, 5001),
		pdu.Uint16(pdu.TagSourcePort, 5000),
	}}
	return []exchange{{
		name: "deliver_sm of a receipt",
		pdu:  pdu.PDU{Body: &pdu.DeliverSM{Message: receipt}},
		all: messageFields(receipt, fields{
			"receipted_message_id": "0123456789", "message_state": 2, "network_error_code": octets("\x03\x00\x22"),
		}),
		node: fields{"short_message": fields{"message": text}},
	}, {
		name: "deliver_sm of a message",
		pdu:  pdu.PDU{Body: &pdu.DeliverSM{Message: message}},
		all:  messageFields(message, fields{"carrier_own": 9, "source_port": 5000, "destination_port": 5001}),
		node: fields{"short_message": fields{"message": "STOP"}, "destination_port": nil, "dest_port": 5001},
	}, {
		pdu: pdu.PDU{Body: &pdu.DeliverSMResp{}},
		all: fields{"message_id": ""},
	}, {
		name: "deliver_sm_resp refused",
		pdu:  pdu.PDU{Status: pdu.StatusTemporaryAppError, Body: &pdu.DeliverSMResp{}},
		all:  fields{"message_id": ""},
	}, {
		pdu: pdu.PDU{Body: &pdu.DataSM{
			ServiceType: "CMT", Source: smppBrand, Destination: smppPhone, ESMClass: 1, RegisteredDelivery: 2,
			DataCoding: pdu.CodingBinary, TLVs: pdu.TLVs{
				{Tag: pdu.TagMessagePayload, Value: []byte{0, 1, 254, 255}},
				pdu.Uint8(pdu.TagPayloadType, 1),
			},
		}},
		all: fields{
			"service_type":    "CMT",
			"source_addr_ton": 5, "source_addr_npi": 0, "source_addr": "ACME Ltd",
			"dest_addr_ton": 1, "dest_addr_npi": 1, "destination_addr": "447700900001",
			"esm_class": 1, "registered_delivery": 2, "data_coding": 4,
			"message_payload": octets("\x00\x01\xFE\xFF"), "payload_type": 1,
		},
		node: fields{"message_payload": fields{"message": octets("\x00\x01\xFE\xFF")}},
	}, {
		pdu: pdu.PDU{Body: &pdu.DataSMResp{MessageID: pdu.MessageID{MessageID: "a1b2c3"}}},
		all: fields{"message_id": "a1b2c3"},
	}, {
		name: "data_sm_resp refused",
		pdu: pdu.PDU{Status: 0xFE, Body: &pdu.DataSMResp{MessageID: pdu.MessageID{TLVs: pdu.TLVs{
			pdu.Uint8(pdu.TagDeliveryFailReason, 1),
			{Tag: pdu.TagNetworkErrorCode, Value: []byte{3, 0, 21}},
		}}}},
		all: fields{"message_id": "", "delivery_failure_reason": 1, "network_error_code": octets("\x03\x00\x15")},
	}, {
		pdu: pdu.PDU{Body: &pdu.AlertNotification{
			Source: smppPhone, ESME: pdu.Address{TON: pdu.TONNetwork, Addr: "60777"},
			TLVs: pdu.TLVs{pdu.Uint8(pdu.TagMSAvailabilityStatus, 2)},
		}},
		all: fields{
			"source_addr_ton": 1, "source_addr_npi": 1, "source_addr": "447700900001",
			"esme_addr_ton": 3, "esme_addr_npi": 0, "esme_addr": "60777", "ms_availability_status": 2,
		},
	}}
}
