package pdu_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"countersign/internal/deliver/smpp/pdu"
)

// textField is a text field with its maximum length in characters.
type textField struct {
	name string
	max  int
	body func(s string) pdu.Body // returns a body with s in the field
}

// textFields returns all text fields by command.
func textFields() map[string][]textField {
	address := func(s string) pdu.Address { return pdu.Address{TON: 1, NPI: 1, Addr: s} }
	bind := []textField{
		{"system_id", 15, func(s string) pdu.Body { return &pdu.Bind{Kind: pdu.CommandBindReceiver, SystemID: s} }},
		{"password", 16, func(s string) pdu.Body { return &pdu.Bind{Kind: pdu.CommandBindReceiver, Password: s} }},
		{"system_type", 12, func(s string) pdu.Body { return &pdu.Bind{Kind: pdu.CommandBindReceiver, SystemType: s} }},
		{"address_range", 40, func(s string) pdu.Body { return &pdu.Bind{Kind: pdu.CommandBindReceiver, AddressRange: s} }},
	}
	message := func(body func(pdu.Message) pdu.Body) []textField {
		return []textField{
			{"service_type", 5, func(s string) pdu.Body { return body(pdu.Message{ServiceType: s}) }},
			{"source_addr", 20, func(s string) pdu.Body { return body(pdu.Message{Source: address(s)}) }},
			{"destination_addr", 20, func(s string) pdu.Body { return body(pdu.Message{Destination: address(s)}) }},
			{"schedule_delivery_time", 16, func(s string) pdu.Body { return body(pdu.Message{ScheduleDeliveryTime: s}) }},
			{"validity_period", 16, func(s string) pdu.Body { return body(pdu.Message{ValidityPeriod: s}) }},
			{"receipted_message_id", 64, func(s string) pdu.Body {
				return body(pdu.Message{TLVs: pdu.TLVs{pdu.Text(pdu.TagReceiptedMessageID, s)}})
			}},
		}
	}
	id := func(body func(pdu.MessageID) pdu.Body) []textField {
		return []textField{{"message_id", 64, func(s string) pdu.Body { return body(pdu.MessageID{MessageID: s}) }}}
	}
	return map[string][]textField{
		"bind":       bind,
		"bind_resp":  {{"system_id", 15, func(s string) pdu.Body { return &pdu.BindResp{Kind: pdu.CommandBindReceiver, SystemID: s} }}},
		"outbind":    {{"system_id", 15, func(s string) pdu.Body { return &pdu.Outbind{SystemID: s} }}, {"password", 16, func(s string) pdu.Body { return &pdu.Outbind{Password: s} }}},
		"submit_sm":  message(func(m pdu.Message) pdu.Body { return &pdu.SubmitSM{Message: m} }),
		"deliver_sm": message(func(m pdu.Message) pdu.Body { return &pdu.DeliverSM{Message: m} }),
		"data_sm": {
			{"service_type", 5, func(s string) pdu.Body { return &pdu.DataSM{ServiceType: s} }},
			{"source_addr", 64, func(s string) pdu.Body { return &pdu.DataSM{Source: address(s)} }},
			{"destination_addr", 64, func(s string) pdu.Body { return &pdu.DataSM{Destination: address(s)} }},
		},
		"submit_sm_resp":  id(func(m pdu.MessageID) pdu.Body { return &pdu.SubmitSMResp{MessageID: m} }),
		"deliver_sm_resp": id(func(m pdu.MessageID) pdu.Body { return &pdu.DeliverSMResp{MessageID: m} }),
		"data_sm_resp":    id(func(m pdu.MessageID) pdu.Body { return &pdu.DataSMResp{MessageID: m} }),
		"query_sm": {
			{"message_id", 64, func(s string) pdu.Body { return &pdu.QuerySM{MessageID: s} }},
			{"source_addr", 20, func(s string) pdu.Body { return &pdu.QuerySM{Source: address(s)} }},
		},
		"query_sm_resp": {
			{"message_id", 64, func(s string) pdu.Body { return &pdu.QuerySMResp{MessageID: s} }},
			{"final_date", 16, func(s string) pdu.Body { return &pdu.QuerySMResp{FinalDate: s} }},
		},
		"cancel_sm": {
			{"service_type", 5, func(s string) pdu.Body { return &pdu.CancelSM{ServiceType: s} }},
			{"message_id", 64, func(s string) pdu.Body { return &pdu.CancelSM{MessageID: s} }},
			{"source_addr", 20, func(s string) pdu.Body { return &pdu.CancelSM{Source: address(s)} }},
			{"destination_addr", 20, func(s string) pdu.Body { return &pdu.CancelSM{Destination: address(s)} }},
		},
		"alert_notification": {
			{"source_addr", 64, func(s string) pdu.Body { return &pdu.AlertNotification{Source: address(s)} }},
			{"esme_addr", 64, func(s string) pdu.Body { return &pdu.AlertNotification{ESME: address(s)} }},
		},
	}
}

func TestWriteText(t *testing.T) {
	t.Parallel()
	for command, list := range textFields() {
		for _, field := range list {
			t.Run(command+" "+field.name, func(t *testing.T) {
				t.Parallel()
				full := strings.Repeat("~", field.max)
				for _, s := range []string{"", full} {
					roundTrip(t, pdu.PDU{Sequence: 1, Body: field.body(s)})
				}
				refuse(t, field.body(full+"~"), field.name)
				for _, bad := range []string{"\x00", "\r", "\n", "\t", "\x1B", "\x1F", "\x7F", "\x80", "é", "\xFF"} {
					// The maximum length, for fields with a fixed length.
					middle := strings.Repeat("~", field.max-1-len(bad))
					for _, s := range []string{bad + middle + "~", "~" + bad + middle, "~" + middle + bad} {
						refuse(t, field.body(s), field.name)
					}
				}
			})
		}
	}
}

// roundTrip encodes and decodes p.
func roundTrip(t *testing.T, p pdu.PDU) {
	t.Helper()
	b, err := pdu.Append(nil, p)
	if err != nil {
		t.Errorf("%+v: %v", p.Body, err)
		return
	}
	if got, err := pdu.Decode(b); err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("wrote %+v and read %+v (%v)", p.Body, got.Body, err)
	}
}

// refuse requires that Append returns an error for body, with the command and about in
// its text, and an unchanged buffer.
func refuse(t *testing.T, body pdu.Body, about string) {
	t.Helper()
	room := append(make([]byte, 0, 1000), "before"...)
	b, err := pdu.Append(room, pdu.PDU{Sequence: 1, Body: body})
	if err == nil {
		t.Errorf("wrote %+v", body)
		return
	}
	if command := body.Command().String(); !strings.Contains(err.Error(), command) || !strings.Contains(err.Error(), about) {
		t.Errorf("%v: want %s and %s", err, command, about)
	}
	if string(b) != "before" || cap(b) != cap(room) {
		t.Errorf("got %q with capacity %d, want the unchanged buffer", b, cap(b))
	}
}

func TestWriteTime(t *testing.T) {
	t.Parallel()
	for _, length := range []int{1, 12, 15, 17} {
		s := strings.Repeat("0", length)
		refuse(t, &pdu.SubmitSM{Message: pdu.Message{ScheduleDeliveryTime: s}}, "schedule_delivery_time")
		refuse(t, &pdu.SubmitSM{Message: pdu.Message{ValidityPeriod: s}}, "validity_period")
		refuse(t, &pdu.QuerySMResp{FinalDate: s}, "final_date")
	}
}

func TestWriteMessage(t *testing.T) {
	t.Parallel()
	payload := pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte("text")}}
	every := make([]byte, 254) // a message may contain any octet
	for i := range every {
		every[i] = byte(i)
	}
	for _, body := range []func(pdu.Message) pdu.Body{
		func(m pdu.Message) pdu.Body { return &pdu.SubmitSM{Message: m} },
		func(m pdu.Message) pdu.Body { return &pdu.DeliverSM{Message: m} },
	} {
		roundTrip(t, pdu.PDU{Sequence: 1, Body: body(pdu.Message{ShortMessage: every})})
		roundTrip(t, pdu.PDU{Sequence: 1, Body: body(pdu.Message{TLVs: payload})})
		refuse(t, body(pdu.Message{ShortMessage: make([]byte, 255)}), "short_message is 255")
		refuse(t, body(pdu.Message{ShortMessage: make([]byte, 256)}), "short_message is 256")
		refuse(t, body(pdu.Message{ShortMessage: []byte("text"), TLVs: payload}), "both short_message and message_payload")
	}
}

func TestWriteTLVs(t *testing.T) {
	t.Parallel()
	long := pdu.TLV{Tag: pdu.TagMessagePayload, Value: bytes.Repeat([]byte("x"), 0xFFFF)}
	roundTrip(t, pdu.PDU{Sequence: 1, Body: &pdu.DataSM{TLVs: pdu.TLVs{long}}})
	// With 4431 more octets, the header, fields, tags and lengths, the PDU has MaxLength.
	roundTrip(t, pdu.PDU{Sequence: 1, Body: &pdu.DataSM{TLVs: pdu.TLVs{long, {Tag: 1, Value: make([]byte, 4431)}}}})
	refuse(t, &pdu.DataSM{TLVs: pdu.TLVs{long, {Tag: 1, Value: make([]byte, 4432)}}}, "70001 octets, over 70000")
	long.Value = append(long.Value, 'x')
	refuse(t, &pdu.DataSM{TLVs: pdu.TLVs{long}}, "0x0424 has 65536")

	many := make(pdu.TLVs, 64)
	for i := range many {
		many[i] = pdu.Uint16(pdu.Tag(i), uint16(i))
	}
	for _, body := range []func(pdu.TLVs) pdu.Body{
		func(list pdu.TLVs) pdu.Body { return &pdu.BindResp{Kind: pdu.CommandBindReceiver, TLVs: list} },
		func(list pdu.TLVs) pdu.Body { return &pdu.SubmitSM{Message: pdu.Message{TLVs: list}} },
		func(list pdu.TLVs) pdu.Body { return &pdu.SubmitSMResp{MessageID: pdu.MessageID{TLVs: list}} },
		func(list pdu.TLVs) pdu.Body { return &pdu.DataSM{TLVs: list} },
		func(list pdu.TLVs) pdu.Body { return &pdu.AlertNotification{TLVs: list} },
	} {
		list := many[:len(many):len(many)]
		// This tag is a text parameter, in which the NUL is optional.
		list[pdu.TagReceiptedMessageID].Value = []byte("no NUL")
		roundTrip(t, pdu.PDU{Sequence: 1, Body: body(list)})
		refuse(t, body(append(list, pdu.Uint8(64, 1))), "65 optional parameters")
	}
	for _, value := range []string{"\x00\x00", "a\x00b", "a\x00b\x00", "a\nb", "a\r\x00"} {
		list := pdu.TLVs{{Tag: pdu.TagReceiptedMessageID, Value: []byte(value)}}
		refuse(t, &pdu.DeliverSM{Message: pdu.Message{TLVs: list}}, "receipted_message_id")
	}
}

// TestWriteKind sets the kind of a bind to other commands.
func TestWriteKind(t *testing.T) {
	t.Parallel()
	kinds := []pdu.Command{0, pdu.CommandSubmitSM, pdu.CommandUnbind, pdu.CommandBindReceiver.Response(), pdu.CommandGenericNack}
	for _, kind := range kinds {
		refuse(t, &pdu.Bind{Kind: kind}, ", not a bind")
		refuse(t, &pdu.BindResp{Kind: kind}, ", not a bind")
		for _, status := range []pdu.Status{pdu.StatusOK, pdu.StatusBindFailed} {
			if b, err := pdu.Append(nil, pdu.PDU{Status: status, Body: &pdu.BindResp{Kind: kind}}); err == nil {
				t.Errorf("wrote % x of kind %s", b, kind)
			}
		}
	}
	if b, err := pdu.Append([]byte("b"), pdu.PDU{}); err == nil || string(b) != "b" {
		t.Errorf("wrote % x without a body (%v)", b, err)
	}
}

// TestWriteRefusal omits the body of an error response where required.
func TestWriteRefusal(t *testing.T) {
	t.Parallel()
	id := pdu.MessageID{MessageID: "1", TLVs: pdu.TLVs{pdu.Uint8(pdu.TagDeliveryFailReason, 1)}}
	for _, test := range []struct {
		body   pdu.Body
		length int
	}{
		{&pdu.BindResp{Kind: pdu.CommandBindTransmitter, SystemID: "SMSC"}, 16},
		{&pdu.BindResp{Kind: pdu.CommandBindReceiver, SystemID: "SMSC"}, 16},
		{&pdu.BindResp{Kind: pdu.CommandBindTransceiver, SystemID: "SMSC"}, 16},
		{&pdu.SubmitSMResp{MessageID: id}, 16},
		{&pdu.DeliverSMResp{MessageID: id}, 16 + 2 + 5},
		{&pdu.DataSMResp{MessageID: id}, 16 + 2 + 5},
	} {
		b, err := pdu.Append(nil, pdu.PDU{Status: pdu.StatusSystemError, Sequence: 1, Body: test.body})
		if err != nil || len(b) != test.length || b[3] != byte(test.length) {
			t.Errorf("%s: wrote % x (%v), want %d octets", test.body.Command(), b, err, test.length)
		}
	}
}

// TestWriteSecret requires errors without field values, since errors may be logged.
func TestWriteSecret(t *testing.T) {
	t.Parallel()
	for command, list := range textFields() {
		for _, field := range list {
			for _, secret := range []string{"447700900001\n", strings.Repeat("447700900001", 6)} {
				_, err := pdu.Append(nil, pdu.PDU{Sequence: 1, Body: field.body(secret)})
				if err == nil || strings.Contains(fmt.Sprintf("%+v", err), "447700") {
					t.Errorf("%s %s: %v", command, field.name, err)
				}
			}
		}
	}
}
