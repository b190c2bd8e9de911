package smpp_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"countersign/internal/deliver"
	"countersign/internal/deliver/smpp"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
)

// indian has the parameters that operators in India require.
func indian(c *smpp.Config) {
	c.TLVs = []smpp.TLV{
		{Tag: 0x1400, Value: "{{.Values.entity_id}}"},
		{Tag: 0x1401, Type: smpp.TLVText, Value: "{{.Values.content_id}}"},
	}
}

// TestRequiredTLVs: in each form of long messages, every part has the parameters that
// the carrier requires. A message without them is refused.
func TestRequiredTLVs(t *testing.T) {
	t.Parallel()
	for _, concat := range []smpp.Concat{smpp.ConcatUDH, smpp.ConcatSAR, smpp.ConcatPayload} {
		t.Run(string(concat), func(t *testing.T) {
			t.Parallel()
			d := open(t, smsc.Config{Faults: smsc.MustFaults("require-tlv=0x1400,require-tlv=0x1401")}, indian,
				func(c *smpp.Config) { c.Concat = concat })
			for _, text := range []string{"short", strings.Repeat("long ", 100)} {
				m := sms(text)
				if _, err := d.Send(t.Context(), m); !errors.Is(err, deliver.ErrRefused) || !strings.Contains(err.Error(), "0xC3") {
					t.Errorf("without values: %v", err)
				}
				m.Values = map[string]string{"entity_id": "1701158019811410068", "content_id": "1107165409153095415"}
				before := len(d.smsc.Messages())
				if _, err := d.Send(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				for _, part := range d.smsc.Messages()[before:] {
					entity, _ := part.Submitted.TLVs.Get(0x1400)
					content, _ := part.Submitted.TLVs.Get(0x1401)
					if string(entity) != "1701158019811410068\x00" || string(content) != "1107165409153095415" {
						t.Errorf("part %d of %d has %q and %q", part.Part, part.Parts, entity, content)
					}
				}
			}
		})
	}
}

func TestTLVValues(t *testing.T) {
	t.Parallel()
	tests := []struct {
		kind  smpp.TLVType
		value string
		want  string // hexadecimal; "" for no parameter
		err   string // part of the error of Send
	}{
		{"", "abc", "61626300", ""},
		{smpp.TLVCString, "to {{.To}}", "746f2034343737303039303030303100", ""},
		{smpp.TLVCString, "{{.Values.long}}", "", "256 octets"},
		{smpp.TLVCString, "{{.Values.name}}", "", "printable ASCII"},
		{smpp.TLVText, "{{.Values.name}}", hex.EncodeToString([]byte("Łódź")), ""},
		{smpp.TLVText, "{{.Values.long}}", strings.Repeat("78", 255), ""},
		{smpp.TLVText, "{{.Values.missing}}", "", ""},
		{smpp.TLVHex, "00FFa0", "00ffa0", ""},
		{smpp.TLVHex, "{{.Values.name}}", "", "hexadecimal"},
		{smpp.TLVUint8, "255", "ff", ""},
		{smpp.TLVUint16, "0x1234", "1234", ""},
		{smpp.TLVUint32, "{{.ValidSeconds}}", "0000012c", ""},
		{smpp.TLVUint8, "{{.ValidSeconds}}", "", "0 to 255"},
		{smpp.TLVUint8, "{{.Values.missing}}", "", ""},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.kind, " ", tt.value), func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				d := openIn(t, smsc.Config{}, func(c *smpp.Config) {
					c.TLVs = []smpp.TLV{{Tag: 0x1402, Type: tt.kind, Value: tt.value}}
				})
				m := sms("hello")
				m.Values = map[string]string{"name": "Łódź", "long": strings.Repeat("x", 255)}
				_, err := d.Send(t.Context(), m)
				if tt.err != "" {
					if !errors.Is(err, deliver.ErrRefused) || !strings.Contains(err.Error(), "0x1402") || !strings.Contains(err.Error(), tt.err) ||
						strings.Contains(err.Error(), "Łódź") || strings.Contains(err.Error(), "xxx") {
						t.Errorf("error %v, want one of 0x1402 with %q, and without the value", err, tt.err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				got, ok := d.smsc.Messages()[0].Submitted.TLVs.Get(0x1402)
				want, _ := hex.DecodeString(tt.want)
				if ok != (tt.want != "") || !bytes.Equal(got, want) {
					t.Errorf("%x, want %s", got, tt.want)
				}
			})
		})
	}
}

// TestTLVsRefused: New returns an error for invalid parameters.
func TestTLVsRefused(t *testing.T) {
	t.Parallel()
	for want, list := range map[string][]smpp.TLV{
		"tlvs[0].tag: must be 0x0001":          {{Value: "x"}},
		"tlvs[0].tag: 0x0424 is set by":        {{Tag: uint16(pdu.TagMessagePayload), Value: "x"}},
		"tlvs[0].tag: 0x020C is set by":        {{Tag: uint16(pdu.TagSARMsgRefNum), Value: "x"}},
		"tlvs[0].tag: 0x001E is set by":        {{Tag: uint16(pdu.TagReceiptedMessageID), Value: "x"}},
		"tlvs[1].tag: 0x1400 is given":         {{Tag: 0x1400, Value: "x"}, {Tag: 0x1400, Value: "y"}},
		"tlvs[0].type: must be cstring":        {{Tag: 0x1400, Type: "int", Value: "1"}},
		"tlvs[0].value: must be given":         {{Tag: 0x1400}},
		"tlvs[0].value: unknown placeholder":   {{Tag: 0x1400, Value: "{{.Entity}}"}},
		"{{.Values.Entity}}; use .To":          {{Tag: 0x1400, Value: "{{.Values.Entity}}"}},
		"tlvs[0].value: has 257 octets":        {{Tag: 0x1400, Value: strings.Repeat("x", 256)}},
		"tlvs[0].value: must be octets":        {{Tag: 0x1400, Type: smpp.TLVHex, Value: "abc"}},
		"tlvs[0].value: must be an integer":    {{Tag: 0x1400, Type: smpp.TLVUint16, Value: "65536"}},
		"tlvs[0].value: a cstring must be":     {{Tag: 0x1400, Value: "é"}},
		"tlvs: has 33, at most 32 are allowed": make([]smpp.TLV, 33),
	} {
		_, err := smpp.New(smpp.Config{Name: "test", Addresses: []string{"none"}, TLVs: list})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
