package smsc_test

import (
	"encoding/hex"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"countersign/internal/deliver/gsm"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
)

func TestText(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name           string
		class, coding  uint8
		data           string
		alphabet, text string
		header         string // hexadecimal
		whole          bool
	}{
		{"gsm7", 0, 0, "Code 1\x00\x1b\x65", smsc.AlphabetGSM7, "Code 1@€", "", true},
		{"ia5", 0, 1, "Code @", smsc.AlphabetLatin1, "Code @", "", true},
		{"latin1", 0, 3, "Caf\xe9", smsc.AlphabetLatin1, "Café", "", true},
		{"ucs2", 0, 8, "\x04\x1a\x04\x3e\xd8\x3d\xdc\x4b", smsc.AlphabetUCS2, "Ко👋", "", true},
		{"binary", 0, 4, "\x01\x02", smsc.AlphabetBinary, "", "", false},
		{"flash", 0, 0x10, "Code", smsc.AlphabetGSM7, "Code", "", true},
		{"flash ucs2", 0, 0x18, "\x00C", smsc.AlphabetUCS2, "C", "", true},
		{"class 1", 0, 0xF1, "Code", smsc.AlphabetGSM7, "Code", "", true},
		{"class 1, 8 bits", 0, 0xF5, "Code", smsc.AlphabetBinary, "", "", false},
		{"ports", pdu.ESMUDHI, 0, "\x06\x05\x04\x0b\x84\x23\xf0Code", smsc.AlphabetGSM7, "Code", "0605040b8423f0", true},
		{"wrong header", pdu.ESMUDHI, 0, "\x7fCode", smsc.AlphabetGSM7, "àCode", "", true},
		{"empty", 0, 0, "", smsc.AlphabetGSM7, "", "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				l := faulty(t)
				c := l.bind(pdu.CommandBindTransceiver)
				m := sms(tt.data, 0)
				m.ESMClass, m.DataCoding = tt.class, tt.coding
				id := c.submit(m)
				payload := pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte(tt.data)}}
				resp, _ := c.request(&pdu.DataSM{Source: m.Source, Destination: m.Destination, ESMClass: tt.class, DataCoding: tt.coding, TLVs: payload}).Body.(*pdu.DataSMResp)
				messages := l.Messages()
				if len(messages) != 2 || messages[0].ID != id || messages[1].ID != resp.MessageID.MessageID {
					t.Fatalf("messages %+v", messages)
				}
				for _, got := range messages {
					if got.Alphabet != tt.alphabet || got.Text != tt.text || got.Complete != tt.whole || hex.EncodeToString(got.Header) != tt.header ||
						got.Complete && got.Whole != got.Text || got.Part != 1 || got.Parts != 1 {
						t.Errorf("message %+v", got)
					}
					if got.SystemID != "esme" || got.Session != 1 || got.Submitted.Source != m.Source || got.Submitted.Destination.Addr != phone {
						t.Errorf("message %+v", got)
					}
				}
			})
		})
	}
}

// TestLongText: each part is reported on arrival, and the whole text with the last.
func TestLongText(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("Ваш код: 4821. ", 12)
	in(t, func(t *testing.T) {
		var mu sync.Mutex
		var hooked int
		l := newLab(t, smsc.Config{MaxMessages: 100, OnMessage: func(smsc.Message) {
			mu.Lock()
			defer mu.Unlock()
			hooked++
		}})
		c := l.bind(pdu.CommandBindTransceiver)
		other := l.bind(pdu.CommandBindTransceiver)
		sent := 0
		for _, o := range []gsm.Options{{}, {Wide: true}, {Concat: gsm.ConcatSAR}} {
			m, err := gsm.Encode(text, o, 0x1234)
			if err != nil {
				t.Fatal(err)
			}
			for i := len(m.Parts); i > 0; i-- { // in reverse order
				part := m.Parts[i-1]
				s := sms(string(append(append([]byte(nil), part.Header...), part.Payload...)), 0)
				s.DataCoding = pdu.CodingUCS2
				if o.Concat == gsm.ConcatSAR {
					s.TLVs = pdu.TLVs{
						pdu.Uint16(pdu.TagSARMsgRefNum, 0x1234), pdu.Uint8(pdu.TagSARTotalSegments, uint8(len(m.Parts))),
						pdu.Uint8(pdu.TagSARSegmentSeqnum, uint8(i)),
					}
				} else {
					s.ESMClass = pdu.ESMUDHI
				}
				c, other = other, c // a carrier may use both of its sessions
				c.submit(s)
				sent++
				got := l.Messages()
				last := got[len(got)-1]
				if len(got) != sent || last.Part != i || last.Parts != len(m.Parts) || last.Ref&0xFF != 0x34 ||
					last.Text == "" || !strings.Contains(text, last.Text) {
					t.Errorf("part %d: %+v", i, last)
				}
				if last.Complete != (i == 1) || last.Complete && last.Whole != text {
					t.Errorf("part %d: complete %v, whole %q", i, last.Complete, last.Whole)
				}
			}
		}
		synctest.Wait()
		if hooked != sent {
			t.Errorf("%d of %d parts were shown", hooked, sent)
		}
	})
}
