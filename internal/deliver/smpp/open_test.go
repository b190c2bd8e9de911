package smpp_test

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver/smpp"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
	"countersign/internal/verify"
)

// header returns the octets of a PDU without a body.
func header(command, status, sequence uint32) []byte {
	b := []byte{0, 0, 0, 16}
	for _, v := range []uint32{command, status, sequence} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// TestBeforeBindResp: a PDU that arrives before the response to the bind is
// answered, and the bind succeeds.
func TestBeforeBindResp(t *testing.T) {
	t.Parallel()
	octets := func(p pdu.PDU) []byte {
		b, err := pdu.Append(nil, p)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	delivered := receipt("id:7 stat:DELIVRD")
	tests := []struct {
		name   string
		early  []byte
		answer pdu.Command // 0 for no answer
		status pdu.Status
	}{
		{"enquire_link", octets(pdu.PDU{Sequence: 1, Body: &pdu.EnquireLink{}}), pdu.CommandEnquireLink.Response(), 0},
		{"unbind", octets(pdu.PDU{Sequence: 9, Body: &pdu.Unbind{}}), pdu.CommandUnbind.Response(), 0},
		{"deliver_sm", octets(pdu.PDU{Sequence: 1, Body: &pdu.DeliverSM{Message: delivered}}), pdu.CommandDeliverSM.Response(), 0},
		{"deliver_sm of a phone", octets(pdu.PDU{Sequence: 2, Body: &pdu.DeliverSM{Message: pdu.Message{ShortMessage: []byte("hi")}}}), pdu.CommandDeliverSM.Response(), 0},
		{"data_sm", octets(pdu.PDU{Sequence: 3, Body: &pdu.DataSM{ESMClass: delivered.ESMClass, TLVs: pdu.TLVs{
			{Tag: pdu.TagReceiptedMessageID, Value: []byte("7\x00")}, pdu.Uint8(pdu.TagMessageState, uint8(pdu.StateDelivered)),
		}}}), pdu.CommandDataSM.Response(), 0},
		{"alert_notification", octets(pdu.PDU{Sequence: 3, Body: &pdu.AlertNotification{}}), 0, 0},
		{"unknown command", header(0x00010001, 0, 5), pdu.CommandGenericNack, pdu.StatusInvalidCommandID},
		{"request for an SMSC", octets(pdu.PDU{Sequence: 3, Body: &pdu.SubmitSM{}}), pdu.CommandGenericNack, pdu.StatusInvalidCommandID},
		{"broken deliver_sm", append([]byte{0, 0, 0, 19}, append(header(5, 0, 6)[4:], 1, 2, 3)...), pdu.CommandDeliverSM.Response(), pdu.StatusInvalidMessageLength},
		{"stray response", octets(pdu.PDU{Sequence: 4, Body: &pdu.EnquireLinkResp{}}), 0, 0},
		{"stray submit_sm_resp", octets(pdu.PDU{Sequence: 4, Status: 8, Body: &pdu.SubmitSMResp{}}), 0, 0},
		{"unknown response", header(0x80010001, 0, 5), 0, 0},
		{"generic_nack to another number", header(0x80000000, 3, 12), 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				pipes := newPipes()
				var got []pdu.PDU
				var serving sync.WaitGroup
				serving.Go(func() {
					conn, err := pipes.Accept()
					if err != nil {
						t.Error(err)
						return
					}
					p := &peer{t, conn, pdu.NewReader(conn)}
					t.Cleanup(func() { _ = conn.Close() })
					bind := p.next()
					if _, err := conn.Write(tt.early); err != nil {
						t.Error(err)
					}
					serving.Go(func() {
						for {
							answer, err := p.reader.Next()
							if err != nil {
								return
							}
							got = append(got, answer)
						}
					})
					<-time.After(time.Second) // before the response to the bind
					p.send(pdu.PDU{Sequence: bind.Sequence, Body: &pdu.BindResp{Kind: pdu.CommandBindTransceiver}})
				})
				d := openTo(t, nil, func(c *smpp.Config) { c.Dial = pipes.dial })
				synctest.Wait()
				if s := d.Status(); s.Up() != 1 || len(s.Errors) != 0 {
					t.Errorf("status %+v", s)
				}
				if tt.answer == 0 && len(got) != 0 || tt.answer != 0 && (len(got) != 1 || got[0].Body.Command() != tt.answer || (got[0].Status == 0) != (tt.status == 0)) {
					t.Errorf("answered with %+v, want %v", got, tt.answer)
				}
				if receipts := d.awaitReceipts(0); (len(receipts) == 1) != (tt.name == "deliver_sm" || tt.name == "data_sm") ||
					len(receipts) == 1 && (receipts[0].Ref != "7" || receipts[0].State != verify.EventDelivered) {
					t.Errorf("receipts %+v", receipts)
				}
				_ = pipes.Close()
			})
		})
	}
}

// TestNackToBind: a generic_nack with the sequence number of the bind or 0 answers the
// bind.
func TestNackToBind(t *testing.T) {
	t.Parallel()
	for _, sequence := range []uint32{1, 0} {
		in(t, func(t *testing.T) { nackToBind(t, sequence) })
	}
}

func nackToBind(t *testing.T, sequence uint32) {
	t.Helper()
	began, pipes := time.Now(), newPipes()
	go func() {
		conn, err := pipes.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		p := &peer{t, conn, pdu.NewReader(conn)}
		p.next()
		if _, err := conn.Write(header(0x80000000, uint32(pdu.StatusInvalidCommandID), sequence)); err != nil {
			t.Error(err)
		}
		if _, err := p.reader.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("after the refusal: %v", err)
		}
	}()
	d := openTo(t, nil, func(c *smpp.Config) { c.Dial = pipes.dial })
	if err := d.Bound(t.Context()); err == nil || !strings.Contains(err.Error(), "ESME_RINVCMDID") {
		t.Errorf("bound with %v", err)
	}
	if took := time.Since(began); took >= time.Second {
		t.Errorf("took %v", took)
	}
	_ = pipes.Close()
}

// TestEarlyFlood: the queue of messages before the response to the bind is bounded; the
// SMSC resends further ones.
func TestEarlyFlood(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		const flood = 400
		pipes := newPipes()
		count := map[pdu.Status]int{}
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn, err := pipes.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			p := &peer{t, conn, pdu.NewReader(conn)}
			bind := p.next()
			for i := range uint32(flood) {
				p.send(pdu.PDU{Sequence: i + 1, Body: &pdu.DeliverSM{Message: receipt("id:7 stat:DELIVRD")}})
			}
			p.send(pdu.PDU{Sequence: bind.Sequence, Body: &pdu.BindResp{Kind: pdu.CommandBindTransceiver}})
			for range flood {
				count[p.next().Status]++
			}
		}()
		d := openTo(t, nil, func(c *smpp.Config) { c.Dial = pipes.dial })
		<-done
		taken := len(d.awaitReceipts(0))
		if taken < 256 || count[pdu.StatusOK] != taken || count[pdu.StatusTemporaryAppError] != flood-taken {
			t.Errorf("%d receipts stored, answers %v", taken, count)
		}
		_ = pipes.Close()
	})
}

// TestEarlyOverTCP: the bind succeeds without loss of receipts if the SMSC sends other
// PDUs, including queued receipts, before the response to each bind.
func TestEarlyOverTCP(t *testing.T) {
	t.Parallel()
	far := smsc.Config{Receipts: smsc.ReceiptsBoth, RetryReceiptAfter: 10 * time.Millisecond}
	d := open(t, far, func(c *smpp.Config) { c.Mode = smpp.Transmitter })
	var want []string
	for range 20 {
		sub, err := d.Send(t.Context(), sms("hello"))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, sub.Refs...)
	}
	d.smsc.SetFaults(smsc.MustFaults("early-pdus"))
	again := openTo(t, d.smsc)
	await.Until(t, "bound", func() bool { return again.Status().Up() == 1 })
	var got []string
	for _, r := range again.awaitReceipts(20) {
		got = append(got, r.Ref)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("receipts of %v, want %v", got, want)
	}
	send(t, again, 1)
	if n := again.metric("countersign_smpp_stray_responses_total"); n != 2 {
		t.Errorf("%v stray responses, want only those from early-pdus", n)
	}
}
