package smsc_test

import (
	"net"
	"testing"

	"countersign/internal/await"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
)

// TestReceiptAsMessage: a receipt without the esm_class of receipts is text only, in
// all forms of receipts.
func TestReceiptAsMessage(t *testing.T) {
	t.Parallel()
	for fault, class := range map[string]uint8{"receipt-as-message": 0x00, "receipt-as-ack": 0x08} {
		in(t, func(t *testing.T) {
			l := newLab(t, smsc.Config{Faults: smsc.MustFaults(fault), Receipts: smsc.ReceiptsTLV})
			c := l.bind(pdu.CommandBindTransceiver)
			id := c.submit(sms("hello", pdu.ReceiptAlways))
			m, ok := c.read().Body.(*pdu.DeliverSM)
			if !ok {
				t.Fatalf("%s: no deliver_sm", fault)
			}
			if m.ESMClass != class || len(m.TLVs) != 0 || fields(t, m)[0] != id {
				t.Errorf("%s: %+v", fault, m.Message)
			}
		})
	}
}

// TestReceiptElsewhere: the receipt is sent over another address than the message.
func TestReceiptElsewhere(t *testing.T) {
	t.Parallel()
	s := smsc.Start(t, smsc.Config{Faults: smsc.MustFaults("receipt-elsewhere")})
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	clients := make([]*client, 0, 2)
	for _, address := range s.Addrs() {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		c := newClient(t, conn)
		c.bind(pdu.CommandBindTransceiver, "esme", "")
		clients = append(clients, c)
	}
	for i, c := range clients {
		id := c.submit(sms("hello", pdu.ReceiptAlways))
		if got := fields(t, clients[1-i].receipt(pdu.StatusOK))[0]; got != id {
			t.Errorf("receipt of %s, want %s", got, id)
		}
	}
	// The only bound address gets it.
	clients[1].conn.Close()
	await.Until(t, "ended the first session", func() bool { return len(s.Sessions()) == 1 })
	clients[0].submit(sms("hello", pdu.ReceiptAlways))
	clients[0].receipt(pdu.StatusOK)
}

func TestRequireTLV(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		l := faulty(t, "require-tlv=0x1400", "require-tlv=0x1401:0x0400")
		c := l.bind(pdu.CommandBindTransceiver)
		m := sms("hello", 0)
		for _, tt := range []struct {
			add  pdu.Tag
			want pdu.Status
		}{{0, 0xC3}, {0x1400, 0x400}, {0x1401, pdu.StatusOK}} {
			if tt.add != 0 {
				m.TLVs = append(m.TLVs, pdu.Text(tt.add, "1701"))
			}
			if got := c.request(m).Status; got != tt.want {
				t.Errorf("with %d TLVs: %v, want %v", len(m.TLVs), got, tt.want)
			}
		}
		for _, bad := range []string{"require-tlv", "require-tlv=", "require-tlv=0", "require-tlv=x", "require-tlv=0x10000", "require-tlv=1:0"} {
			if _, err := smsc.ParseFaults(bad); err == nil {
				t.Errorf("%s is accepted", bad)
			}
		}
	})
}
