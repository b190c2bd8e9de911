package pdu_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"countersign/internal/deliver/smpp/pdu"
)

var (
	phone = pdu.Address{TON: pdu.TONInternational, NPI: pdu.NPIISDN, Addr: "447700900001"}
	brand = pdu.Address{TON: pdu.TONAlphanumeric, NPI: pdu.NPIUnknown, Addr: "ACME Ltd"}
	short = pdu.Address{TON: pdu.TONNetwork, NPI: pdu.NPIUnknown, Addr: "60777"}
)

const (
	messageID   = "d8f1a9c2-5f0e-4c19-9ad6-5ef5c3b7a001"
	receiptText = "id:0123456789 sub:001 dlvrd:001 submit date:2611221430 done date:2611221431 stat:DELIVRD err:000 text:Code 1234"
	longText    = "Your code is 1234. Do not tell it to anyone, not even to us. It is good for five minutes, " +
		"and for one sign-in only; whoever asks you for it is no friend. If you did not ask for this code, " +
		"somebody has your password: change it now, and tell us about it at the number on your card."
)

// golden returns the PDUs of the files in testdata. testdata/make.js generates the
// files with other implementations, which each file names.
func golden() map[string]pdu.PDU {
	all := goldenSessions()
	for name, p := range goldenMessages() {
		all[name] = p
	}
	for name, p := range goldenAnswers() {
		all[name] = p
	}
	return all
}

func goldenSessions() map[string]pdu.PDU {
	version := pdu.TLVs{pdu.Uint8(pdu.TagSCInterfaceVersion, pdu.Version34)}
	const last = 0x7FFFFFFF
	return map[string]pdu.PDU{
		"bind_transmitter": {Sequence: 1, Body: &pdu.Bind{
			Kind: pdu.CommandBindTransmitter, SystemID: "countersign", Password: "s3cret08", SystemType: "VERIFY",
			InterfaceVersion: pdu.Version34, AddrTON: 1, AddrNPI: 1, AddressRange: "^4477",
		}},
		"bind_transmitter_resp": {Sequence: 1, Body: &pdu.BindResp{
			Kind: pdu.CommandBindTransmitter, SystemID: "SMSC-1", TLVs: version,
		}},
		"bind_receiver": {Sequence: 2, Body: &pdu.Bind{
			Kind: pdu.CommandBindReceiver, SystemID: "countersign", Password: "s3cret08", InterfaceVersion: pdu.Version34,
		}},
		"bind_receiver_resp": {Sequence: 2, Body: &pdu.BindResp{Kind: pdu.CommandBindReceiver, SystemID: "SMSC-1"}},
		"bind_transceiver": {Sequence: last, Body: &pdu.Bind{
			Kind: pdu.CommandBindTransceiver, SystemID: "fifteen-letters", Password: "sixteen-letters!",
			SystemType: "twelve-chars", InterfaceVersion: pdu.Version34, AddrTON: 5, AddrNPI: 18,
			AddressRange: "0123456789012345678901234567890123456789",
		}},
		"bind_transceiver_resp": {Sequence: last, Body: &pdu.BindResp{
			Kind: pdu.CommandBindTransceiver, SystemID: "SMSC-1", TLVs: version,
		}},
		"bind_transceiver_resp_refused": {Status: pdu.StatusInvalidPassword, Sequence: 3, Body: &pdu.BindResp{
			Kind: pdu.CommandBindTransceiver,
		}},
		"outbind":           {Sequence: 1, Body: &pdu.Outbind{SystemID: "SMSC-1", Password: "out8word"}},
		"unbind":            {Sequence: 4, Body: &pdu.Unbind{}},
		"unbind_resp":       {Sequence: 4, Body: &pdu.UnbindResp{}},
		"generic_nack":      {Status: pdu.StatusInvalidCommandID, Sequence: 5, Body: &pdu.GenericNack{}},
		"enquire_link":      {Sequence: 17, Body: &pdu.EnquireLink{}},
		"enquire_link_resp": {Sequence: 17, Body: &pdu.EnquireLinkResp{}},
		"alert_notification": {Sequence: 18, Body: &pdu.AlertNotification{
			Source: phone, ESME: short, TLVs: pdu.TLVs{pdu.Uint8(pdu.TagMSAvailabilityStatus, 0)},
		}},
	}
}

func goldenMessages() map[string]pdu.PDU {
	receipt := pdu.Message{Source: phone, Destination: brand, ESMClass: pdu.ESMReceipt}
	inText, inTLVs := receipt, receipt
	inText.ShortMessage = []byte(receiptText)
	inTLVs.TLVs = pdu.TLVs{
		pdu.Text(pdu.TagReceiptedMessageID, "0123456789"),
		pdu.Uint8(pdu.TagMessageState, uint8(pdu.StateUndeliverable)),
		{Tag: pdu.TagNetworkErrorCode, Value: []byte{3, 0, 34}},
	}
	return map[string]pdu.PDU{
		"submit_sm_gsm": {Sequence: 6, Body: &pdu.SubmitSM{Message: pdu.Message{
			ServiceType: "CMT", Source: brand, Destination: phone, ESMClass: 3, ProtocolID: 64, PriorityFlag: 2,
			ScheduleDeliveryTime: "261122143015700+", ValidityPeriod: "000000000500000R",
			RegisteredDelivery: pdu.ReceiptAlways, ReplaceIfPresent: 1, DataCoding: pdu.CodingDefault,
			SMDefaultMsgID: 7, ShortMessage: []byte("Caf\x05\x00Code 1234 \x1Be9.50"),
		}}},
		"submit_sm_ucs2_udh": {Sequence: 7, Body: &pdu.SubmitSM{Message: pdu.Message{
			Source:      pdu.Address{TON: pdu.TONInternational, NPI: pdu.NPIISDN, Addr: "447700900999"},
			Destination: phone, ESMClass: pdu.ESMUDHI, RegisteredDelivery: pdu.ReceiptAlways,
			DataCoding:   pdu.CodingUCS2,
			ShortMessage: []byte{5, 0, 3, 0x42, 2, 1, 0x04, 0x1A, 0x04, 0x3E, 0x04, 0x34}, // Код
		}}},
		"submit_sm_sar": {Sequence: 8, Body: &pdu.SubmitSM{Message: pdu.Message{
			Source: short, Destination: phone, ShortMessage: []byte("part one, "),
			TLVs: pdu.TLVs{
				pdu.Uint16(pdu.TagSARMsgRefNum, 0x1234),
				pdu.Uint8(pdu.TagSARTotalSegments, 2),
				pdu.Uint8(pdu.TagSARSegmentSeqnum, 1),
			},
		}}},
		"submit_sm_payload": {Sequence: 9, Body: &pdu.SubmitSM{Message: pdu.Message{
			Destination: phone, RegisteredDelivery: pdu.ReceiptOnFailure, DataCoding: pdu.CodingLatin1,
			TLVs: pdu.TLVs{
				pdu.Uint16(pdu.TagUserMessageReference, 0x0201),
				{Tag: pdu.TagMessagePayload, Value: []byte(longText)},
				pdu.Uint8(pdu.TagMoreMessagesToSend, 1),
			},
		}}},
		"deliver_sm_message": {Sequence: 10, Body: &pdu.DeliverSM{Message: pdu.Message{
			Source: phone, Destination: short, DataCoding: pdu.CodingIA5, ShortMessage: []byte("STOP"),
			TLVs: pdu.TLVs{
				pdu.Uint16(pdu.TagSourcePort, 5000),
				pdu.Uint16(pdu.TagDestinationPort, 5001),
				pdu.Uint8(0x1501, 9),
			},
		}}},
		"deliver_sm_receipt_text": {Sequence: 11, Body: &pdu.DeliverSM{Message: inText}},
		"deliver_sm_receipt_tlv":  {Sequence: 12, Body: &pdu.DeliverSM{Message: inTLVs}},
		"data_sm": {Sequence: 13, Body: &pdu.DataSM{
			ServiceType: "CMT", Source: brand, Destination: phone, ESMClass: 1,
			RegisteredDelivery: pdu.ReceiptAlways, DataCoding: pdu.CodingBinary,
			TLVs: pdu.TLVs{
				{Tag: pdu.TagMessagePayload, Value: []byte{0, 1, 254, 255}},
				pdu.Uint8(pdu.TagPayloadType, 1),
			},
		}},
		"query_sm":  {Sequence: 14, Body: &pdu.QuerySM{MessageID: "a1b2c3", Source: brand}},
		"cancel_sm": {Sequence: 16, Body: &pdu.CancelSM{ServiceType: "CMT", MessageID: "a1b2c3", Source: brand, Destination: phone}},
	}
}

func goldenAnswers() map[string]pdu.PDU {
	return map[string]pdu.PDU{
		"submit_sm_resp":          {Sequence: 6, Body: &pdu.SubmitSMResp{MessageID: pdu.MessageID{MessageID: messageID}}},
		"submit_sm_resp_refused":  {Status: pdu.StatusThrottled, Sequence: 6, Body: &pdu.SubmitSMResp{}},
		"deliver_sm_resp":         {Sequence: 11, Body: &pdu.DeliverSMResp{}},
		"deliver_sm_resp_refused": {Status: pdu.StatusTemporaryAppError, Sequence: 12, Body: &pdu.DeliverSMResp{}},
		"data_sm_resp":            {Sequence: 13, Body: &pdu.DataSMResp{MessageID: pdu.MessageID{MessageID: "a1b2c3"}}},
		"data_sm_resp_refused": {Status: 0xFE, Sequence: 13, Body: &pdu.DataSMResp{MessageID: pdu.MessageID{TLVs: pdu.TLVs{
			pdu.Uint8(pdu.TagDeliveryFailReason, 1),
			{Tag: pdu.TagNetworkErrorCode, Value: []byte{3, 0, 21}},
		}}}},
		"query_sm_resp": {Sequence: 14, Body: &pdu.QuerySMResp{
			MessageID: "a1b2c3", FinalDate: "261122143115000+", MessageState: pdu.StateDelivered,
		}},
		"query_sm_resp_underway": {Sequence: 15, Body: &pdu.QuerySMResp{
			MessageID: "a1b2c3", MessageState: pdu.StateEnroute, ErrorCode: 255,
		}},
		"cancel_sm_resp": {Status: pdu.StatusCancelFailed, Sequence: 16, Body: &pdu.CancelSMResp{}},
	}
}

// octets reads a golden file: hexadecimal digits, and comments after "#".
func octets(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".golden"))
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		for _, field := range strings.Fields(line) {
			digits.WriteString(field)
		}
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return b
}

func TestGolden(t *testing.T) {
	t.Parallel()
	values := golden()
	files, err := filepath.Glob(filepath.Join("testdata", "*.golden"))
	if err != nil || len(files) != len(values) {
		t.Fatalf("have %d files (%v) for %d values", len(files), err, len(values))
	}
	for name, want := range values {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wire := octets(t, name)

			got, err := pdu.Decode(wire)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("read\n%+v %+v, want\n%+v %+v", got, got.Body, want, want.Body)
			}
			if name := got.Body.Command().String(); !strings.HasPrefix(t.Name(), "TestGolden/"+name) {
				t.Errorf("command is %s", name)
			}

			written, err := pdu.Append([]byte("before"), want)
			if err != nil {
				t.Fatal(err)
			}
			if after, ok := bytes.CutPrefix(written, []byte("before")); !ok || !bytes.Equal(after, wire) {
				t.Errorf("wrote\n% x, want\n% x", after, wire)
			}
		})
	}
}

// TestGoldenOwned overwrites the input of Decode: the PDU does not alias it.
func TestGoldenOwned(t *testing.T) {
	t.Parallel()
	for name, want := range golden() {
		wire := octets(t, name)
		got, err := pdu.Decode(wire)
		if err != nil {
			t.Fatal(err)
		}
		clear(wire)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s aliases its input", name)
		}
	}
}

// TestGoldenCut truncates each PDU: the result is an error or a PDU that can be
// encoded, never a panic.
func TestGoldenCut(t *testing.T) {
	t.Parallel()
	for name, p := range golden() {
		whole := octets(t, name)
		for n := range len(whole) {
			cut := bytes.Clone(whole[:n])
			if n >= 4 {
				cut[0], cut[1], cut[2], cut[3] = 0, 0, byte(n>>8), byte(n)
			}
			got, err := pdu.Decode(cut)
			if err != nil {
				continue
			}
			if got.Sequence != p.Sequence || got.Body.Command() != p.Body.Command() {
				t.Errorf("%s cut to %d: got %+v", name, n, got)
			}
			if _, err := pdu.Append(nil, got); err != nil && !strings.Contains(err.Error(), "not 16") {
				t.Errorf("%s cut to %d: cannot be encoded again: %v", name, n, err)
			}
		}
	}
}
