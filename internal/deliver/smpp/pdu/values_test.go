package pdu_test

import (
	"reflect"
	"testing"

	"countersign/internal/deliver/smpp/pdu"
)

func TestTLVs(t *testing.T) {
	t.Parallel()
	list := pdu.TLVs{
		pdu.Uint8(1, 0xAB),
		pdu.Uint16(2, 0xABCD),
		{Tag: 3, Value: []byte{0xAB, 0xCD, 0xEF, 1}},
		{Tag: 4, Value: []byte{1, 2, 3}},
		pdu.Text(5, "id"),
		{Tag: 6, Value: []byte("no NUL")},
		{Tag: 7},
		pdu.Uint8(1, 2), // the second of its kind
	}
	for tag, want := range map[pdu.Tag]uint32{1: 0xAB, 2: 0xABCD, 3: 0xABCDEF01} {
		if n, ok := list.Uint(tag); !ok || n != want {
			t.Errorf("%d is %X (%t), want %X", tag, n, ok, want)
		}
	}
	for _, tag := range []pdu.Tag{4, 5, 7, 8} {
		if n, ok := list.Uint(tag); ok || n != 0 {
			t.Errorf("%d is the number %d", tag, n)
		}
	}
	for tag, want := range map[pdu.Tag]string{5: "id", 6: "no NUL", 7: ""} {
		if s, ok := list.Text(tag); !ok || s != want {
			t.Errorf("%d is %q (%t), want %q", tag, s, ok, want)
		}
	}
	if s, ok := list.Text(8); ok || s != "" {
		t.Errorf("8 is the text %q", s)
	}
	if v, ok := list.Get(8); ok || v != nil {
		t.Errorf("8 is %x", v)
	}
	if v, ok := list.Get(7); !ok || len(v) != 0 {
		t.Errorf("7 is %x (%t), want no value", v, ok)
	}
}

func TestUserData(t *testing.T) {
	t.Parallel()
	payload := pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte("payload")}}
	for want, m := range map[string]pdu.Message{
		"":        {},
		"short":   {ShortMessage: []byte("short")},
		"payload": {TLVs: payload},
		"first":   {ShortMessage: []byte("first"), TLVs: payload},
	} {
		if got := string(m.UserData()); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestIsReceipt(t *testing.T) {
	t.Parallel()
	for class, want := range map[uint8]bool{
		0x00: false, 0x03: false, 0x40: false, 0xC3: false, // messages
		0x04: true, 0x20: true, 0x07: true, 0x44: true, 0xE3: true,
		0x08: false, 0x10: false, 0x18: false, 0x24: false, // acknowledgements; reserved
	} {
		if m := (pdu.Message{ESMClass: class}); m.IsReceipt() != want {
			t.Errorf("esm_class %02x is a receipt: %t", class, !want)
		}
	}
}

func TestDataSMMessage(t *testing.T) {
	t.Parallel()
	data := pdu.DataSM{
		ServiceType: "CMT", Source: phone, Destination: short, ESMClass: 4, RegisteredDelivery: 1, DataCoding: 8,
		TLVs: pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte("text")}},
	}
	want := pdu.Message{
		ServiceType: "CMT", Source: phone, Destination: short, ESMClass: 4, RegisteredDelivery: 1, DataCoding: 8,
		TLVs: data.TLVs,
	}
	if got := data.Message(); !reflect.DeepEqual(got, want) || string(got.UserData()) != "text" || !got.IsReceipt() {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for want, value := range map[string]interface{ String() string }{
		"submit_sm":               pdu.CommandSubmitSM,
		"submit_sm_resp":          pdu.CommandSubmitSM.Response(),
		"generic_nack":            pdu.CommandGenericNack,
		"command 0x00000000":      pdu.Command(0),
		"command 0x80000111":      pdu.Command(0x80000111),
		"ESME_ROK (0x00)":         pdu.StatusOK,
		"ESME_RTHROTTLED (0x58)":  pdu.StatusThrottled,
		"ESME_RUNKNOWNERR (0xFF)": pdu.StatusUnknownError,
		"status 0x00000401":       pdu.Status(0x401),
	} {
		if got := value.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if pdu.CommandUnbind.IsResponse() || !pdu.CommandUnbind.Response().IsResponse() || !pdu.CommandGenericNack.IsResponse() {
		t.Error("IsResponse does not match the highest bit")
	}
}

// TestParseStatus parses names of the specification and numbers. ESME_ROK is an error in
// both forms.
func TestParseStatus(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]pdu.Status{
		"ESME_RINVDSTADR": pdu.StatusInvalidDestination, "ESME_RTHROTTLED": pdu.StatusThrottled,
		"0x0B": 0x0B, "11": 0x0B, "0x4FF": 0x4FF, "4294967295": 0xFFFFFFFF,
		"ESME_ROK": 0, "0": 0, "0x0": 0, "": 0, "esme_rthrottled": 0, "ESME_X": 0, "-1": 0, "4294967296": 0,
	} {
		got, err := pdu.ParseStatus(text)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
}
