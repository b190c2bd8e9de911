package smsc_test

import (
	"bufio"
	"encoding/binary"
	"net"
	"testing"

	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
)

// BenchmarkSMSC measures the accepted messages per second of a client with a window
// of 100.
func BenchmarkSMSC(b *testing.B) {
	for name, receipt := range map[string]uint8{"plain": pdu.ReceiptNever, "receipts": pdu.ReceiptAlways} {
		b.Run(name, func(b *testing.B) { benchmark(b, receipt) })
	}
}

func benchmark(b *testing.B, receipt uint8) {
	s := smsc.Start(b, smsc.Config{})
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	bind := &pdu.Bind{Kind: pdu.CommandBindTransceiver, SystemID: "bench"}
	hello, _ := pdu.Append(nil, pdu.PDU{Sequence: 1, Body: bind})
	if _, err := conn.Write(hello); err != nil {
		b.Fatal(err)
	}
	request, _ := pdu.Append(nil, pdu.PDU{Sequence: 2, Body: sms("Acme code: 4821. Valid for 5 minutes.", receipt)})
	const window = 100
	w := bufio.NewWriterSize(conn, 64<<10)
	r := &frames{r: bufio.NewReaderSize(conn, 64<<10)}
	r.next(b) // bind_resp
	b.ReportAllocs()
	b.ResetTimer()
	receipts, wanted := 0, 0
	if receipt == pdu.ReceiptAlways {
		wanted = b.N
	}
	for sent, answered := 0, 0; answered < b.N || receipts < wanted; {
		for ; sent < b.N && sent-answered < window; sent++ {
			binary.BigEndian.PutUint32(request[12:], uint32(sent+2))
			w.Write(request)
		}
		if r.r.Buffered() == 0 {
			w.Flush()
		}
		switch command, sequence := r.next(b); command {
		case pdu.CommandSubmitSM.Response():
			answered++
		case pdu.CommandDeliverSM:
			receipts++
			ack, _ := pdu.Append(w.AvailableBuffer(), pdu.PDU{Sequence: sequence, Body: &pdu.DeliverSMResp{}})
			w.Write(ack)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// frames reads only the parts of PDUs that the benchmark needs.
type frames struct{ r *bufio.Reader }

func (f *frames) next(b *testing.B) (pdu.Command, uint32) {
	head, err := f.r.Peek(16)
	if err != nil {
		b.Fatal(err)
	}
	if status := binary.BigEndian.Uint32(head[8:]); status != 0 {
		b.Fatalf("status %v", pdu.Status(status))
	}
	command, sequence := pdu.Command(binary.BigEndian.Uint32(head[4:])), binary.BigEndian.Uint32(head[12:])
	if _, err := f.r.Discard(int(binary.BigEndian.Uint32(head))); err != nil {
		b.Fatal(err)
	}
	return command, sequence
}
