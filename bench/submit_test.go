package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/deliver/smpp"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
	"countersign/internal/verify"
)

// handOver is the router's timeout of a submission.
const handOver = 10 * time.Second

// message returns the message that all benchmarks submit.
func message() deliver.Message {
	return deliver.Message{
		EventID: verify.ID{1}, Attempt: 1, Channel: verify.SMS, To: verify.PhoneAddress("447700900001", "GB"), From: "Acme",
		Text: "Acme code: 5856. Valid for 5 minutes.", ValidFor: 5 * time.Minute,
	}
}

// BenchmarkSubmit measures messages per second on one bind: of a carrier, and of a client that
// only counts responses, which is the limit of SMSC and machine. The SMSC is ours in this
// process, ours in a separate process, or npm's smpp in a separate process.
func BenchmarkSubmit(b *testing.B) {
	for _, far := range []struct {
		name string
		addr func(*testing.B) string
	}{
		{"ours", func(b *testing.B) string { return smsc.Start(b, smsc.Config{}).Addr() }},
		{"process", func(b *testing.B) string { return start(b, again(b, roleSMSC)) }},
		{"npm", npm},
	} {
		b.Run("smsc="+far.name, func(b *testing.B) {
			addr := far.addr(b)
			for _, window := range []int{1, 10, 100, 1000} {
				b.Run(fmt.Sprint("client=raw/window=", window), func(b *testing.B) { submitRaw(b, addr, window) })
				b.Run(fmt.Sprint("client=carrier/window=", window), func(b *testing.B) { submit(b, addr, window) })
			}
		})
	}
}

// bind returns a bound carrier.
func bind(b *testing.B, cfg smpp.Config) *smpp.Carrier {
	b.Helper()
	cfg.Name, cfg.SystemID, cfg.Password = "bench", "bench", "secret"
	c, err := smpp.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := c.Close(); err != nil {
			b.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.Bound(ctx); err != nil {
		b.Fatal(err)
	}
	return c
}

// submit sends with one goroutine for each place in the window. Each waits for the response
// to its message.
func submit(b *testing.B, addr string, window int) {
	c := bind(b, smpp.Config{Addresses: []string{addr}, Window: window, NoReceipts: true})
	b.ReportAllocs()
	b.ResetTimer()
	sendAll(b, c, window, func(int64) {})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "submit_sm/s")
}

// sendAll submits b.N messages like the router, and calls sent with the number of each.
func sendAll(b *testing.B, c *smpp.Carrier, workers int, sent func(n int64)) {
	b.Helper()
	var wg sync.WaitGroup
	var n atomic.Int64
	m := message()
	for range workers {
		wg.Go(func() {
			for {
				i := n.Add(1)
				if i > int64(b.N) {
					return
				}
				ctx, cancel := context.WithTimeout(b.Context(), handOver)
				_, err := c.Send(ctx, m)
				cancel()
				if err != nil {
					b.Error(err)
					return
				}
				sent(i)
			}
		})
	}
	wg.Wait()
}

// submitRaw keeps window messages in flight. It ignores sequence numbers and ids, and flushes
// before it waits for a response.
func submitRaw(b *testing.B, addr string, window int) {
	request := onTheWire(b)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	hello, err := pdu.Append(nil, pdu.PDU{Sequence: 1, Body: &pdu.Bind{
		Kind: pdu.CommandBindTransceiver, SystemID: "bench", Password: "secret", InterfaceVersion: pdu.Version34,
	}})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := conn.Write(hello); err != nil {
		b.Fatal(err)
	}
	w, r := bufio.NewWriterSize(conn, 256<<10), bufio.NewReaderSize(conn, 64<<10)
	skipResponse(b, r)
	b.ReportAllocs()
	b.ResetTimer()
	for sent, answered := 0, 0; answered < b.N; answered++ {
		for ; sent < b.N && sent-answered < window; sent++ {
			binary.BigEndian.PutUint32(request[12:], uint32(sent+2)&0x7FFFFFFF)
			if _, err := w.Write(request); err != nil {
				b.Fatal(err)
			}
		}
		if r.Buffered() == 0 {
			if err := w.Flush(); err != nil {
				b.Fatal(err)
			}
		}
		skipResponse(b, r)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "submit_sm/s")
}

// skipResponse reads a response and checks only that its status is ESME_ROK.
func skipResponse(b *testing.B, r *bufio.Reader) {
	head, err := r.Peek(16)
	if err != nil {
		b.Fatal(err)
	}
	if status := pdu.Status(binary.BigEndian.Uint32(head[8:])); status != pdu.StatusOK {
		b.Fatal(status)
	}
	if _, err := r.Discard(int(binary.BigEndian.Uint32(head))); err != nil {
		b.Fatal(err)
	}
}

// onTheWire returns the octets that a carrier writes for the message.
func onTheWire(b *testing.B) []byte {
	b.Helper()
	frames := make(chan []byte, 1)
	far := smsc.Start(b, smsc.Config{OnPDU: func(_ *smsc.Session, p pdu.PDU) {
		if p.Body.Command() == pdu.CommandSubmitSM {
			frame, _ := pdu.Append(nil, p) // cannot fail, since it was just read
			frames <- frame
		}
	}})
	c := bind(b, smpp.Config{Addresses: []string{far.Addr()}, NoReceipts: true})
	if _, err := c.Send(context.Background(), message()); err != nil {
		b.Fatal(err)
	}
	return <-frames
}
