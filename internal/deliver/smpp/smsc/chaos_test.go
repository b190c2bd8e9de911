package smsc_test

import (
	"net"
	"sync"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
)

// receipts are the messages with a receipt.
type receipts struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (r *receipts) add(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids[id] = true
}

func (r *receipts) lacks(messages []smsc.Message) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range messages {
		if !r.ids[m.ID] {
			n++
		}
	}
	return n
}

// TestChaos: with all faults, every accepted message gets its receipt.
func TestChaos(t *testing.T) {
	t.Parallel()
	s := smsc.Start(t, smsc.Config{
		MaxMessages: 100_000, RetryReceiptAfter: time.Millisecond,
		Faults: smsc.MustFaults("lose-response=2%,disconnect=0.5%,disconnect-before=0.5%,duplicate-response=2%,wrong-sequence=2%",
			"malformed=0.2%,throttle=2%,refuse-bind=10%,delay=0-2ms,receipt-first=1%,receipt-shuffle=5ms"),
	})
	got := &receipts{ids: map[string]bool{}}
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 40 {
				if err := storm(s.Addr(), got, 5); err == nil {
					t.Error("the connection ended without an error")
				}
			}
		})
	}
	clients.Wait()
	s.SetFaults(smsc.Faults{})
	s.DropAll()
	if n := len(s.Messages()); n < 1000 {
		t.Errorf("only %d messages were accepted", n)
	}
	await.Until(t, "a receipt of each message", func() bool {
		storm(s.Addr(), got, 0)
		return got.lacks(s.Messages()) == 0
	})
}

// storm binds, sends some rounds of messages, and acknowledges receipts until the
// connection breaks or is idle.
func storm(address string, got *receipts, rounds int) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	bind, _ := pdu.Append(nil, pdu.PDU{Sequence: 1, Body: &pdu.Bind{Kind: pdu.CommandBindTransceiver, SystemID: "esme"}})
	var round []byte
	for i := range 20 {
		round, _ = pdu.Append(round, pdu.PDU{Sequence: uint32(i + 2), Body: sms("hello", pdu.ReceiptAlways)})
	}
	conn.Write(bind)
	for range rounds {
		conn.Write(round) // reading below detects an error
	}
	reader := pdu.NewReader(conn)
	for n := 0; ; n++ {
		conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		p, err := reader.Next()
		if err != nil {
			return err
		}
		m, ok := p.Body.(*pdu.DeliverSM)
		if !ok {
			continue
		}
		status := pdu.StatusOK
		if n%10 == 3 {
			status = pdu.StatusTemporaryAppError
		} else if id, ok := m.TLVs.Text(pdu.TagReceiptedMessageID); ok {
			got.add(id)
		}
		answer, _ := pdu.Append(nil, pdu.PDU{Status: status, Sequence: p.Sequence, Body: &pdu.DeliverSMResp{}})
		if _, err := conn.Write(answer); err != nil {
			return err
		}
	}
}
