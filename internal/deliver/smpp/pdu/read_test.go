package pdu_test

import (
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"

	"countersign/internal/deliver/smpp/pdu"
)

// frame returns a PDU with sequence number 7.
func frame(command pdu.Command, status pdu.Status, body string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(16+len(body)))
	b = binary.BigEndian.AppendUint32(b, uint32(command))
	b = binary.BigEndian.AppendUint32(b, uint32(status))
	b = binary.BigEndian.AppendUint32(b, 7)
	return append(b, body...)
}

// noTLVs is a message without optional parameters.
const noTLVs = "\x00\x01\x01447700900001\x00\x03\x0060777\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02OK"

func plain(list ...pdu.TLV) pdu.Message {
	m := pdu.Message{Source: phone, Destination: short, ShortMessage: []byte("OK")}
	if len(list) > 0 {
		m.TLVs = list
	}
	return m
}

func TestReadTolerant(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	id := func(s string, list ...pdu.TLV) pdu.MessageID { return pdu.MessageID{MessageID: s, TLVs: list} }
	for _, test := range []struct {
		name   string
		status pdu.Status
		body   string
		want   pdu.Body
	}{
		{"submit_sm_resp without body", 0, "", &pdu.SubmitSMResp{}},
		{"refused submit_sm_resp with body", pdu.StatusThrottled, "x1\x00", &pdu.SubmitSMResp{MessageID: id("x1")}},
		{"deliver_sm_resp without body", 0, "", &pdu.DeliverSMResp{}},
		{"data_sm_resp without body", pdu.StatusSystemError, "", &pdu.DataSMResp{}},
		{"bind_resp without body", 0, "", &pdu.BindResp{Kind: pdu.CommandBindTransceiver}},
		{"query_sm_resp without body", pdu.StatusQueryFailed, "", &pdu.QuerySMResp{}},
		{"query_sm_resp without its last fields", 0, "x1\x00\x00\x02", &pdu.QuerySMResp{MessageID: "x1", MessageState: pdu.StateDelivered}},
		{"response without NUL", 0, "x1", &pdu.SubmitSMResp{MessageID: id("x1")}},
		{"bind_resp without NUL", 0, "SMSC", &pdu.BindResp{Kind: pdu.CommandBindReceiver, SystemID: "SMSC"}},
		{"request without NUL", 0, "SMSC\x00word", &pdu.Outbind{SystemID: "SMSC", Password: "word"}},
		{"long message_id", 0, long + "\x00", &pdu.SubmitSMResp{MessageID: id(long)}},
		{"long bind", 0, long + "\x00" + long + "\x00" + long + "\x00\x34\x01\x02" + long + "\x00", &pdu.Bind{
			Kind: pdu.CommandBindTransmitter, SystemID: long, Password: long, SystemType: long,
			InterfaceVersion: 0x34, AddrTON: 1, AddrNPI: 2, AddressRange: long,
		}},
		{"time of any length", 0, "x1\x002611221431\x00\x02\x00", &pdu.QuerySMResp{MessageID: "x1", FinalDate: "2611221431", MessageState: 2}},
		{"text that is not ASCII", 0, "\xE9\n\x00", &pdu.SubmitSMResp{MessageID: id("\xE9\n")}},
		{"body where none belongs", 0, "garbage", &pdu.EnquireLink{}},
		{"generic_nack with body", 3, "garbage", &pdu.GenericNack{}},
		{"tail after the last field", 0, "x1\x00\x05\x00ACME Ltd\x00garbage", &pdu.QuerySM{MessageID: "x1", Source: brand}},
		{"tail of NULs", 0, noTLVs + "\x00\x00\x00", &pdu.SubmitSM{Message: plain()}},
		{"tail of five NULs", 0, noTLVs + "\x00\x00\x00\x00\x00", &pdu.SubmitSM{Message: plain(pdu.TLV{Value: []byte{}})}},
		{"parameter that has no end", 0, noTLVs + "\x04\x27\x00\x01\x02\x00\x1E\x00\x05abcd",
			&pdu.DeliverSM{Message: plain(pdu.Uint8(pdu.TagMessageState, 2))}},
		{"first parameter has no end", 0, noTLVs + "\x04\x24\xFF\xFFabcd", &pdu.DeliverSM{Message: plain()}},
		{"unknown parameters", 0, "x1\x00\x14\x01\x00\x02ab\xFF\xFF\x00\x00", &pdu.DataSMResp{MessageID: id("x1",
			pdu.TLV{Tag: 0x1401, Value: []byte("ab")}, pdu.TLV{Tag: 0xFFFF, Value: []byte{}})}},
		{"parameter given twice", 0, "x1\x00\x04\x27\x00\x01\x02\x04\x27\x00\x01\x05", &pdu.DataSMResp{MessageID: id("x1",
			pdu.Uint8(pdu.TagMessageState, 2), pdu.Uint8(pdu.TagMessageState, 5))}},
		{"message given twice", 0, noTLVs + "\x04\x24\x00\x02KO",
			&pdu.DeliverSM{Message: plain(pdu.TLV{Tag: pdu.TagMessagePayload, Value: []byte("KO")})}},
		{"255 octets of message", 0, noTLVs[:len(noTLVs)-3] + "\xFF" + long[:255], &pdu.SubmitSM{Message: pdu.Message{
			Source: phone, Destination: short, ShortMessage: []byte(long[:255]),
		}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			want := pdu.PDU{Status: test.status, Sequence: 7, Body: test.want}
			got, err := pdu.Decode(frame(test.want.Command(), test.status, test.body))
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v %+v (%v), want %+v %+v", got, got.Body, err, want, want.Body)
			}
		})
	}
}

// TestReadManyTLVs keeps the first 64 parameters.
func TestReadManyTLVs(t *testing.T) {
	t.Parallel()
	got, err := pdu.Decode(frame(pdu.CommandSubmitSM.Response(), 0, "x1\x00"+strings.Repeat("\x14\x01\x00\x01a", 10_000)))
	if err != nil {
		t.Fatal(err)
	}
	resp, ok := got.Body.(*pdu.SubmitSMResp)
	if !ok || resp.MessageID.MessageID != "x1" || len(resp.TLVs) != 64 {
		t.Fatalf("got %+v, want 64 parameters", got.Body)
	}
	roundTrip(t, got)
}

func TestReadErrors(t *testing.T) {
	t.Parallel()
	wrongLength := frame(pdu.CommandUnbind, 0, "")
	wrongLength[3]++
	for _, test := range []struct {
		name   string
		frame  []byte
		want   pdu.Error // without its Reason
		reason string
	}{
		{"nothing", nil, pdu.Error{Status: pdu.StatusInvalidCommandLength, Fatal: true}, "header has 0 of 16 octets"},
		{"half a header", wrongLength[:15], pdu.Error{Status: pdu.StatusInvalidCommandLength, Fatal: true}, "header has 15 of 16 octets"},
		{"another length", wrongLength, pdu.Error{Command: pdu.CommandUnbind, Sequence: 7, Status: pdu.StatusInvalidCommandLength, Fatal: true}, "command_length is 17 in 16"},
		{"unknown command", frame(0x00000111, 0, "x"), pdu.Error{Command: 0x111, Sequence: 7, Status: pdu.StatusInvalidCommandID}, "unknown"},
		{"command 0", frame(0, 0, ""), pdu.Error{Sequence: 7, Status: pdu.StatusInvalidCommandID}, "unknown"},
		{"response to outbind", frame(0x8000000B, 0, ""), pdu.Error{Command: 0x8000000B, Sequence: 7, Status: pdu.StatusInvalidCommandID}, "unknown"},
		{"sm_length", frame(pdu.CommandDeliverSM, 0, noTLVs[:len(noTLVs)-1]), pdu.Error{Command: pdu.CommandDeliverSM, Sequence: 7, Status: pdu.StatusInvalidMessageLength}, "sm_length"},
		{"no sm_length", frame(pdu.CommandSubmitSM, 0, noTLVs[:len(noTLVs)-3]), pdu.Error{Command: pdu.CommandSubmitSM, Sequence: 7, Status: pdu.StatusInvalidCommandLength}, "sm_length"},
		{"empty submit_sm", frame(pdu.CommandSubmitSM, 0, ""), pdu.Error{Command: pdu.CommandSubmitSM, Sequence: 7, Status: pdu.StatusInvalidCommandLength}, "service_type"},
		{"empty bind", frame(pdu.CommandBindReceiver, 0, ""), pdu.Error{Command: pdu.CommandBindReceiver, Sequence: 7, Status: pdu.StatusInvalidCommandLength}, "system_id"},
		{"no NUL in the middle", frame(pdu.CommandBindReceiver, 0, "system"), pdu.Error{Command: pdu.CommandBindReceiver, Sequence: 7, Status: pdu.StatusInvalidCommandLength}, "password"},
		{"no esm_class", frame(pdu.CommandDataSM, 0, "\x00\x01\x011\x00\x01\x012\x00"), pdu.Error{Command: pdu.CommandDataSM, Sequence: 7, Status: pdu.StatusInvalidCommandLength}, "esm_class"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := pdu.Decode(test.frame)
			var got *pdu.Error
			if !errors.As(err, &got) {
				t.Fatalf("got %v, want %+v", err, test.want)
			}
			if !strings.Contains(got.Reason, test.reason) || !strings.Contains(got.Error(), got.Command.String()+": "+got.Reason) {
				t.Errorf("got reason %q in %q, want %q", got.Reason, got, test.reason)
			}
			test.want.Reason = got.Reason
			if *got != test.want {
				t.Errorf("got %+v, want %+v", *got, test.want)
			}
		})
	}
}
