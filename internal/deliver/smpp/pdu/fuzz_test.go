package pdu_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"
	"testing"

	"countersign/internal/deliver/smpp/pdu"
)

// FuzzDecode decodes arbitrary input: encoding the result and decoding it again is
// lossless, and memory is bounded by a small multiple of the input.
func FuzzDecode(f *testing.F) {
	for name := range golden() {
		f.Add(octets(f, name))
	}
	f.Add(frame(pdu.CommandDataSM.Response(), 0, "x1\x00"+string(make([]byte, 4000)))) // 1000 parameters
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= 4 {
			binary.BigEndian.PutUint32(b, uint32(len(b))) // otherwise nearly all inputs fail on the length
		}
		var p pdu.PDU
		var err error
		limit := 2*uint64(len(b)) + 4096
		read := func() { p, err = pdu.Decode(b) }
		// Other goroutines allocate as well, so the minimum of several runs counts.
		n := allocated(read)
		for range 10 {
			if n <= limit {
				break
			}
			n = allocated(read)
		}
		if n > limit {
			t.Errorf("allocated %d octets for %d", n, len(b))
		}
		if err != nil {
			var wrong *pdu.Error
			if !errors.As(err, &wrong) || wrong.Status == pdu.StatusOK || wrong.Fatal != (len(b) < 16) {
				t.Errorf("got %#v", err)
			}
			return
		}
		again, err := pdu.Append(nil, p)
		if err != nil {
			return // exceeds the limits of Append
		}
		if len(again) > len(b)+16 { // NULs and numbers that were missing
			t.Errorf("%d octets were encoded again as %d", len(b), len(again))
		}
		sameAgain(t, p, again)
	})
}

// sameAgain requires that b decodes to p, except for a body that Append omits.
func sameAgain(t *testing.T, p pdu.PDU, b []byte) {
	t.Helper()
	got, err := pdu.Decode(b)
	if err != nil {
		t.Fatalf("wrote % x, decoding it: %v", b, err)
	}
	if p.Status != pdu.StatusOK {
		switch body := p.Body.(type) {
		case *pdu.BindResp:
			p.Body = &pdu.BindResp{Kind: body.Kind}
		case *pdu.SubmitSMResp:
			p.Body = &pdu.SubmitSMResp{}
		}
	}
	if !reflect.DeepEqual(got, p) {
		t.Errorf("wrote\n%+v %+v, read\n%+v %+v", p, p.Body, got, got.Body)
	}
}

// values are the field values of FuzzAppend.
type values struct {
	a, b, c string
	octets  []byte
	n       uint8
	tag     uint16
}

// bodies returns one filled body of each type, with its text fields.
func (v values) bodies() map[pdu.Body][]string {
	kind := []pdu.Command{
		pdu.CommandBindReceiver, pdu.CommandBindTransmitter, pdu.CommandBindTransceiver, pdu.Command(v.tag),
	}[v.n%4]
	source := pdu.Address{TON: v.n, NPI: v.n + 1, Addr: v.b}
	destination := pdu.Address{TON: v.n + 2, NPI: v.n + 3, Addr: v.c}
	tlvs := pdu.TLVs{{Tag: pdu.Tag(v.tag), Value: v.octets}, pdu.Text(pdu.TagReceiptedMessageID, v.c), pdu.Uint8(pdu.TagMessageState, v.n)}
	id := pdu.MessageID{MessageID: v.a, TLVs: tlvs}
	inMessage := pdu.Message{
		ServiceType: v.a, Source: source, Destination: destination, ESMClass: v.n, ProtocolID: v.n + 1,
		PriorityFlag: v.n + 2, ScheduleDeliveryTime: v.b, ValidityPeriod: v.c, RegisteredDelivery: v.n + 3,
		ReplaceIfPresent: v.n + 4, DataCoding: v.n + 5, SMDefaultMsgID: v.n + 6, ShortMessage: v.octets,
	}
	inPayload := inMessage
	inPayload.ScheduleDeliveryTime, inPayload.ValidityPeriod, inPayload.ShortMessage, inPayload.TLVs = "", "", nil, tlvs
	abc := []string{v.a, v.b, v.c}
	return map[pdu.Body][]string{
		&pdu.Bind{Kind: kind, SystemID: v.a, Password: v.b, SystemType: v.c, InterfaceVersion: v.n, AddrTON: v.n + 1,
			AddrNPI: v.n + 2, AddressRange: v.a}: {v.a, v.b, v.c, v.a},
		&pdu.BindResp{Kind: kind, SystemID: v.a, TLVs: tlvs}: {v.a, v.c},
		&pdu.Outbind{SystemID: v.a, Password: v.b}:           {v.a, v.b},
		&pdu.SubmitSM{Message: inMessage}:                    {v.a, v.b, v.c, v.b, v.c},
		&pdu.DeliverSM{Message: inPayload}:                   {v.a, v.b, v.c, v.c},
		&pdu.DataSM{ServiceType: v.a, Source: source, Destination: destination, ESMClass: v.n,
			RegisteredDelivery: v.n + 1, DataCoding: v.n + 2, TLVs: tlvs}: {v.a, v.b, v.c, v.c},
		&pdu.SubmitSMResp{MessageID: id}:                                                          {v.a, v.c},
		&pdu.DeliverSMResp{MessageID: id}:                                                         {v.a, v.c},
		&pdu.DataSMResp{MessageID: id}:                                                            {v.a, v.c},
		&pdu.QuerySM{MessageID: v.a, Source: source}:                                              {v.a, v.b},
		&pdu.QuerySMResp{MessageID: v.a, FinalDate: v.b}:                                          {v.a, v.b},
		&pdu.CancelSM{ServiceType: v.a, MessageID: v.b, Source: source, Destination: destination}: {v.a, v.b, v.b, v.c},
		&pdu.AlertNotification{Source: source, ESME: destination, TLVs: tlvs[:1]}:                 abc[1:],
		&pdu.Unbind{}: nil, &pdu.UnbindResp{}: nil, &pdu.EnquireLink{}: nil, &pdu.EnquireLinkResp{}: nil,
		&pdu.GenericNack{}: nil, &pdu.CancelSMResp{}: nil,
	}
}

// FuzzAppend encodes arbitrary values: the result is an error, or it decodes to the
// same values and no text field ends early.
func FuzzAppend(f *testing.F) {
	f.Add(uint32(0), uint32(1), "CMT", "447700900001", "ACME Ltd", []byte("text"), uint8(0), uint16(0x0424))
	f.Add(uint32(0x58), uint32(1<<31), "", "261122143015700+", "000000000500000R", []byte{}, uint8(8), uint16(0x1501))
	f.Add(uint32(0), uint32(0), "a\x00b", "a\nb", "\x7F", bytes.Repeat([]byte("x"), 255), uint8(3), uint16(0x001E))
	f.Add(uint32(1), uint32(9), "\xFF", "é", "a\r", []byte("a\x00b"), uint8(255), uint16(5))
	f.Fuzz(func(t *testing.T, status, sequence uint32, a, b, c string, content []byte, n uint8, tag uint16) {
		if len(content) == 0 {
			content = nil // an empty short_message decodes as nil
		}
		for body, texts := range (values{a, b, c, content, n, tag}).bodies() {
			p := pdu.PDU{Status: pdu.Status(status), Sequence: sequence, Body: body}
			wire, err := pdu.Append([]byte("before"), p)
			if err != nil {
				if string(wire) != "before" {
					t.Errorf("%s: got back %q with %v", body.Command(), wire, err)
				}
				continue
			}
			for _, s := range texts {
				for i := range len(s) {
					if s[i] < ' ' || s[i] > '~' {
						t.Errorf("%s: wrote the text %q", body.Command(), s)
					}
				}
			}
			wire = wire[len("before"):]
			if len(wire) > pdu.MaxLength {
				t.Errorf("%s: wrote %d octets", body.Command(), len(wire))
			}
			sameAgain(t, normal(p), wire)
		}
	})
}

// normal returns p as Decode returns it: an empty parameter value is not nil.
func normal(p pdu.PDU) pdu.PDU {
	set := func(list pdu.TLVs) {
		for i := range list {
			if list[i].Value == nil {
				list[i].Value = []byte{}
			}
		}
	}
	switch body := p.Body.(type) {
	case *pdu.BindResp:
		set(body.TLVs)
	case *pdu.DeliverSM:
		set(body.TLVs)
	case *pdu.DataSM:
		set(body.TLVs)
	case *pdu.SubmitSMResp:
		set(body.TLVs)
	case *pdu.DeliverSMResp:
		set(body.TLVs)
	case *pdu.DataSMResp:
		set(body.TLVs)
	case *pdu.AlertNotification:
		set(body.TLVs)
	}
	return p
}

// FuzzReader reads an arbitrary stream, at once and octet by octet: both results are
// equal and finite.
func FuzzReader(f *testing.F) {
	all, _ := stream(f)
	f.Add(all)
	f.Add(append(claim(1<<32-1), all...))
	f.Add(append(frame(0x111, 0, "unknown"), all...))
	f.Add(all[:len(all)-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := pdu.NewReader(bytes.NewReader(b))
		slow := pdu.NewReader(&octetReader{b})
		for range len(b)/16 + 1 {
			p, err := whole.Next()
			q, slowErr := slow.Next()
			if !reflect.DeepEqual(p, q) || fmt.Sprint(err) != fmt.Sprint(slowErr) {
				t.Fatalf("got %+v (%v), octet by octet %+v (%v)", p, err, q, slowErr)
			}
			var wrong *pdu.Error
			switch {
			case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
				return
			case errors.As(err, &wrong):
				if wrong.Fatal {
					return
				}
			case err != nil:
				t.Fatal(err)
			}
		}
		t.Error("more PDUs than the stream can contain")
	})
}

// octetReader returns one octet per Read.
type octetReader struct{ b []byte }

func (r *octetReader) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), 1)], r.b)
	r.b = r.b[n:]
	return n, nil
}
