package smpp_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver"
	"countersign/internal/deliver/smpp"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
	"countersign/internal/verify"
)

// receipt returns a deliver_sm with a receipt as text.
func receipt(text string, tlvs ...pdu.TLV) pdu.Message {
	return pdu.Message{ESMClass: pdu.ESMReceipt, ShortMessage: []byte(text), TLVs: tlvs}
}

// TestDialects: receipts in the forms of real carriers.
func TestDialects(t *testing.T) {
	t.Parallel()
	id := func(s string) pdu.TLV { return pdu.Text(pdu.TagReceiptedMessageID, s) }
	state := func(s pdu.MessageState) pdu.TLV { return pdu.Uint8(pdu.TagMessageState, uint8(s)) }
	network := func(kind, code byte) pdu.TLV {
		return pdu.TLV{Tag: pdu.TagNetworkErrorCode, Value: []byte{kind, 0, code}}
	}
	without := func(m pdu.Message) pdu.Message { m.ESMClass = 0; return m }
	const dates = " submit date:2610171200 done date:2610171201 "
	const (
		delivered     = verify.EventDelivered
		undeliverable = verify.EventUndeliverable
		accepted      = verify.EventAccepted
		expired       = verify.EventExpired
		rejected      = verify.EventRejected
	)
	tests := []struct {
		name  string
		form  smpp.IDForm
		in    pdu.Message
		ref   string // "" for no receipt
		state verify.EventState
		error string
	}{
		{"Appendix B", "", receipt("id:0123456789 sub:001 dlvrd:001" + dates + "stat:DELIVRD err:000 text:Your code is"), "123456789", delivered, ""},
		{"upper case", "", receipt("ID:77 SUB:001 DLVRD:001 STAT:DELIVRD ERR:000 TEXT:x"), "77", delivered, ""},
		{"mixed case", "", receipt("id:77 sub:1 dlvrd:1 Stat:Delivered Err:0 Text:"), "77", delivered, ""},
		{"words after the text", "", receipt("id:77 stat:EXPIRED err:006 text:id:88 stat:DELIVRD"), "77", expired, "err 006"},
		{"no err", "", receipt("id:77 stat:REJECTD"), "77", rejected, ""},
		{"err of letters", "", receipt("id:77 stat:UNDELIV err:EC_ABSENT"), "77", undeliverable, "err EC_ABSENT"},
		{"err of a delivered one", "", receipt("id:77 stat:DELIVRD err:045"), "77", delivered, ""},
		{"words after the err", "", receipt("id:77 stat:UNDELIV err:006 absent subscriber text:x"), "77", undeliverable, "err 006"},
		{"words after a spaced err", "", receipt("id:77 stat:UNDELIV err: 006 absent text:x"), "77", undeliverable, "err 006"},
		{"words after each field", "", receipt("noise id:77 x stat:EXPIRED late err:045 y"), "77", expired, "err 045"},
		{"fields twice", "", receipt("id:77 stat:EXPIRED err:006 id:88 stat:DELIVRD err:007"), "77", expired, "err 006"},
		{"err without a value", "", receipt("id:77 err: stat:UNDELIV text:x"), "77", undeliverable, ""},
		{"a space after the colon", "", receipt("id: 77 sub: 001 dlvrd: 001" + dates + "stat: UNDELIV err: 001 text: x"), "77", undeliverable, "err 001"},
		{"lines", "", receipt("id:77\r\nstat:ACCEPTD\r\nerr:000\r\n"), "77", accepted, ""},
		{"NUL at the end", "", receipt("id:77 stat:DELETED err:3\x00"), "77", undeliverable, "err 3"},
		{"failed", "", receipt("id:77 stat:FAILED err:12"), "77", undeliverable, "err 12"},
		{"buffered", "", receipt("id:77 stat:BUFFERED"), "77", accepted, ""},
		{"en route", "", receipt("id:77 stat:ENROUTE err:000"), "77", accepted, ""},
		{"unknown", "", receipt("id:77 stat:UNKNOWN err:000"), "", "", ""},
		{"UUID", "", receipt("id:6B29FC40-CA47-1067-B31D-00DD010662DA stat:DELIVRD"), "6b29fc40-ca47-1067-b31d-00dd010662da", delivered, ""},
		{"hexadecimal", "", receipt("id:00AB12 stat:DELIVRD"), "ab12", delivered, ""},
		{"letters whose case may count", "", receipt("id:aBcXyZ stat:DELIVRD"), "aBcXyZ", delivered, ""},
		{"id with a colon", "", receipt("id:a:b:1 stat:DELIVRD"), "a:b:1", delivered, ""},
		{"zero", "", receipt("id:000 stat:DELIVRD"), "0", delivered, ""},
		{"no id", "", receipt("stat:DELIVRD err:000"), "", "", ""},
		{"nothing", "", receipt(""), "", "", ""},
		{"UCS-2", "", pdu.Message{ESMClass: pdu.ESMReceipt, DataCoding: pdu.CodingUCS2, ShortMessage: utf16("id:77 stat:DELIVRD err:000")}, "77", delivered, ""},
		{"in message_payload", "", pdu.Message{ESMClass: pdu.ESMReceipt, TLVs: pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte("id:77 stat:DELIVRD")}}}, "77", delivered, ""},
		{"intermediate", "", pdu.Message{ESMClass: pdu.ESMIntermediate, ShortMessage: []byte("id:77 stat:ENROUTE")}, "77", accepted, ""},

		{"TLVs", "", receipt("", id("77"), state(pdu.StateDelivered)), "77", delivered, ""},
		{"TLVs with spaces", "", receipt("", id(" 77 "), state(pdu.StateDelivered)), "77", delivered, ""},
		{"TLVs without NUL", "", receipt("", pdu.TLV{Tag: pdu.TagReceiptedMessageID, Value: []byte("77")}, state(pdu.StateExpired)), "77", expired, ""},
		{"TLVs, no esm_class", "", without(receipt("", id("77"), state(pdu.StateUndeliverable), network(3, 1))), "77", undeliverable, "network 3:1"},
		{"TLVs, rejected", "", receipt("", id("77"), state(pdu.StateRejected), network(3, 0)), "77", rejected, ""},
		{"TLVs, deleted", "", receipt("", id("77"), state(pdu.StateDeleted)), "77", undeliverable, ""},
		{"TLVs, accepted", "", receipt("", id("77"), state(pdu.StateAccepted)), "77", accepted, ""},
		{"TLVs, unknown", "", receipt("", id("77"), state(pdu.StateUnknown)), "", "", ""},
		{"TLVs, a state of four octets", "", receipt("", id("77"), pdu.TLV{Tag: pdu.TagMessageState, Value: []byte{0, 0, 0, 2}}), "77", delivered, ""},
		{"both", "", receipt("id:88 stat:UNDELIV err:005", id("77"), state(pdu.StateUndeliverable), network(8, 27)), "77", undeliverable, "network 8:27"},
		{"id as TLV, state as text", "", receipt("id:88 stat:DELIVRD", id("77")), "77", delivered, ""},
		{"state as TLV, id as text", "", receipt("id:77", state(pdu.StateDelivered)), "77", delivered, ""},
		{"empty id as TLV", "", receipt("id:77 stat:DELIVRD", id("")), "77", delivered, ""},
		{"unknown as TLV, known as text", "", receipt("id:77 stat:EXPIRED err:9", id("77"), state(pdu.StateUnknown)), "77", expired, "err 9"},
		{"network_error_code 0, err", "", receipt("id:77 stat:UNDELIV err:69", network(3, 0)), "77", undeliverable, "err 69"},

		{"hex-to-decimal", smpp.IDToDecimal, receipt("id:0000123456 stat:DELIVRD"), "123456", delivered, ""},
		{"hex-to-decimal, TLV as the response", smpp.IDToDecimal, receipt("id:3000000000 stat:DELIVRD", id("B2D05E00")), "3000000000", delivered, ""},
		{"hex-to-decimal, TLV only", smpp.IDToDecimal, receipt("", id("B2D05E00"), state(pdu.StateDelivered)), "3000000000", delivered, ""},
		{"decimal-to-hex", smpp.IDToHex, receipt("id:1E240 stat:DELIVRD"), "123456", delivered, ""},
		{"decimal-to-hex, of digits", smpp.IDToHex, receipt("id:123456 stat:DELIVRD"), "1193046", delivered, ""},
		{"decimal-to-hex, not a number", smpp.IDToHex, receipt("id:xyz stat:DELIVRD"), "xyz", delivered, ""},

		{"odd octets", "", receipt("id:7\xff7 stat:UNDELIV err:\xc3\x28"), `7\xff7`, undeliverable, `err \xc3(`},
		{"a long id", "", receipt("id:" + strings.Repeat("x", 200) + " stat:DELIVRD"), strings.Repeat("x", 128), delivered, ""},
		{"a message from a phone", "", without(receipt("id:77 stat:DELIVRD")), "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				d, _, p := openPeer(t, func(c *smpp.Config) { c.IDForm = tt.form })
				data := &pdu.DataSM{ESMClass: tt.in.ESMClass, DataCoding: tt.in.DataCoding, TLVs: slices.Clone(tt.in.TLVs)}
				if len(tt.in.ShortMessage) > 0 {
					data.TLVs = append(data.TLVs, pdu.TLV{Tag: pdu.TagMessagePayload, Value: tt.in.ShortMessage})
				}
				for i, body := range []pdu.Body{&pdu.DeliverSM{Message: tt.in}, data} {
					p.send(pdu.PDU{Sequence: uint32(50 + i), Body: body})
					if got := p.next(); got.Sequence != uint32(50+i) || got.Status != 0 || got.Body.Command() != body.Command().Response() {
						t.Errorf("answered with %+v", got)
					}
				}
				synctest.Wait()
				got := d.awaitReceipts(0)
				want := deliver.Receipt{
					Carrier: "test", Ref: tt.ref, State: tt.state, Error: tt.error, FormerRefs: []string{tt.ref + "\tnone"},
				}
				if tt.state == "" {
					if len(got) != 0 {
						t.Errorf("reported %+v", got)
					}
				} else if !reflect.DeepEqual(got, []deliver.Receipt{want, want}) {
					t.Errorf("reported %+v, want %+v", got, want)
				}
			})
		})
	}
}

func utf16(s string) (b []byte) {
	for _, r := range s {
		b = binary.BigEndian.AppendUint16(b, uint16(r))
	}
	return b
}

// TestIDForms: with each dialect of ids and form of receipts, a receipt has the
// reference of its message.
func TestIDForms(t *testing.T) {
	t.Parallel()
	forms := map[smsc.IDs]smpp.IDForm{
		smsc.IDsDecimal: smpp.IDSame, smsc.IDsHex: smpp.IDSame, smsc.IDsUUID: smpp.IDSame,
		smsc.IDsHexThenDecimal: smpp.IDToDecimal, smsc.IDsDecimalThenHex: smpp.IDToHex,
	}
	for ids, form := range forms {
		for _, as := range []smsc.Receipts{smsc.ReceiptsBoth, smsc.ReceiptsText, smsc.ReceiptsTLV} {
			form := form
			if as == smsc.ReceiptsTLV {
				form = smpp.IDSame // receipted_message_id is the id of the response, §5.3.2.12
			}
			t.Run(ids.String()+"/"+as.String(), func(t *testing.T) {
				t.Parallel()
				in(t, func(t *testing.T) {
					d := openIn(t, smsc.Config{IDs: ids, Receipts: as, Seed: 42}, func(c *smpp.Config) { c.IDForm = form })
					var want []string
					for i := range 20 {
						sub, err := d.Send(t.Context(), sms(fmt.Sprint(i)))
						if err != nil {
							t.Fatal(err)
						}
						want = append(want, sub.Refs...)
					}
					synctest.Wait()
					var got []string
					for _, r := range d.awaitReceipts(20) {
						got = append(got, r.Ref)
					}
					if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
						t.Errorf("receipts of %v, sent %v", got, want)
					}
				})
			})
		}
	}
}

// TestReceiptFirst: a receipt is reported before the response to its message.
func TestReceiptFirst(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		var early bool
		sent := false
		d := openIn(t, smsc.Config{Faults: smsc.MustFaults("receipt-first")}, func(c *smpp.Config) {
			store := c.Reports.Receipt
			c.Reports.Receipt = func(ctx context.Context, r deliver.Receipt) error {
				early = !sent
				return store(ctx, r)
			}
		})
		sub, err := d.Send(t.Context(), sms("hello"))
		sent = true
		synctest.Wait()
		if got := d.awaitReceipts(1); err != nil || !early || got[0].Ref != sub.Refs[0] {
			t.Errorf("early %v, %+v, %+v, %v", early, got, sub, err)
		}
	})
}

// TestReceiptNotStored: the SMSC resends a receipt after a storage failure.
func TestReceiptNotStored(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		var refused []pdu.Status
		d := openIn(t, smsc.Config{OnPDU: func(_ *smsc.Session, p pdu.PDU) {
			if _, ok := p.Body.(*pdu.DeliverSMResp); ok && p.Status != 0 {
				refused = append(refused, p.Status)
			}
		}})
		d.fail.Store(3)
		send(t, d, 1)
		await.Pass(time.Minute)
		synctest.Wait()
		if got := d.awaitReceipts(1); len(got) != 1 {
			t.Errorf("stored %+v", got)
		}
		if !slices.Equal(refused, []pdu.Status{0x64, 0x64, 0x64}) {
			t.Errorf("refused with %v, want ESME_RX_T_APPN three times", refused)
		}
	})
}

// TestReceiptFlood: while receipts are stored slowly, their number is bounded and
// responses are handled.
func TestReceiptFlood(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		const flood = 3000
		storing, most := make(chan struct{}), make(chan int, flood)
		d, _, p := openPeer(t, func(c *smpp.Config) {
			c.Reports.Receipt = func(ctx context.Context, _ deliver.Receipt) error {
				most <- 1
				select {
				case <-storing:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		})
		statuses := map[pdu.Status]int{}
		submits := make(chan pdu.PDU, 1)
		go func() {
			for {
				got, err := p.reader.Next()
				if err != nil {
					return
				}
				if _, ok := got.Body.(*pdu.SubmitSM); ok {
					submits <- got
					continue
				}
				statuses[got.Status]++
			}
		}()
		for i := range flood {
			p.send(pdu.PDU{Sequence: uint32(i + 1), Body: &pdu.DeliverSM{Message: receipt(fmt.Sprint("id:", i+1, " stat:DELIVRD"))}})
		}
		synctest.Wait()
		open := len(most)
		if open > 1024 || statuses[pdu.StatusTemporaryAppError] != flood-open {
			t.Errorf("%d receipts in progress, %v answered", open, statuses)
		}
		s := d.begin("hello")
		p.accepts(<-submits, "1")
		if err := s.wait(); err != nil {
			t.Error(err)
		}
		close(storing)
		synctest.Wait()
		if statuses[0] != open {
			t.Errorf("%d receipts stored, %v answered", open, statuses)
		}
	})
}

// TestFromPhone: messages from phones are accepted and dropped.
func TestFromPhone(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		d := openIn(t, smsc.Config{})
		for _, m := range []pdu.Message{
			{Source: pdu.Address{Addr: number}, ShortMessage: []byte("STOP")},
			{Source: pdu.Address{Addr: number}, ShortMessage: []byte{5, 0, 3, 1, 2, 1, 'x'}, ESMClass: pdu.ESMUDHI},
			{ShortMessage: []byte("read"), ESMClass: 0x08}, // acknowledgement by a phone
		} {
			if err := d.smsc.Deliver("", m); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if got := d.awaitReceipts(0); len(got) != 0 {
			t.Errorf("reported %+v", got)
		}
		if n := d.smsc.Counters().ReceiptsTaken; n != 3 {
			t.Errorf("%d taken", n)
		}
	})
}

// FuzzReceipt: the report of any receipt can be stored.
func FuzzReceipt(f *testing.F) {
	f.Add([]byte("id:0123456789 sub:001 stat:DELIVRD err:000 text:x"), []byte("77\x00"), []byte{2}, []byte{3, 0, 1}, byte(4), byte(0))
	f.Add([]byte("ID: 7\xff STAT: UNDELIV ERR: \x00\x01"), []byte{}, []byte{0xFF}, []byte{}, byte(0), byte(8))
	f.Add([]byte("text:id:1"), []byte("00"), []byte{0, 0, 0, 5}, []byte{1}, byte(0x44), byte(0))
	f.Fuzz(func(t *testing.T, text, id, state, code []byte, class, coding byte) {
		m := &pdu.Message{ESMClass: class, DataCoding: coding, ShortMessage: text, TLVs: pdu.TLVs{
			{Tag: pdu.TagReceiptedMessageID, Value: id}, {Tag: pdu.TagMessageState, Value: state}, {Tag: pdu.TagNetworkErrorCode, Value: code},
		}}
		for _, form := range []smpp.IDForm{smpp.IDSame, smpp.IDToDecimal, smpp.IDToHex} {
			r, ok := smpp.ReadReceipt(m, form)
			if again, _ := smpp.ReadReceipt(m, form); !reflect.DeepEqual(again, r) {
				t.Errorf("%+v, then %+v", r, again)
			}
			for _, s := range []string{r.Ref, r.Error} {
				if len(s) > 160 || strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' }) {
					t.Errorf("%q", s)
				}
			}
			known := []verify.EventState{
				verify.EventAccepted, verify.EventDelivered, verify.EventUndeliverable, verify.EventExpired, verify.EventRejected,
			}
			if ok && (r.Ref == "" || !slices.Contains(known, r.State)) {
				t.Errorf("%+v", r)
			}
			// The same id in a response has the same reference.
			if s := strings.TrimSpace(string(id)); form == smpp.IDSame && s != "" && !strings.Contains(s, "\x00") {
				if want := form.Ref(string(id)); r.Ref != want {
					t.Errorf("receipt of %q, response of %q", r.Ref, want)
				}
			}
		}
	})
}
