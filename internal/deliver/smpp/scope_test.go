package smpp_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver/smpp"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
	"countersign/internal/verify"
)

// openBoth binds a carrier once to each of two addresses.
func openBoth(t *testing.T, first, second string, change ...func(*smpp.Config)) *desk {
	t.Helper()
	d := openTo(t, nil, append([]func(*smpp.Config){func(c *smpp.Config) {
		c.Addresses, c.Binds = []string{first, second}, 2
	}}, change...)...)
	await.Until(t, "both binds up", func() bool { return d.Status().Up() == 2 })
	return d
}

// TestIndependentAddresses: two SMSCs of a carrier issue the same ids for different
// messages. A receipt of one never matches a message of the other.
func TestIndependentAddresses(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"receipt-delay=50ms", "receipt-first", "delay=300ms"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			// a delivers its messages; b reports them as undeliverable.
			far := smsc.Config{Seed: 7, MaxMessages: 100, Faults: smsc.MustFaults(fault)}
			a := smsc.Start(t, far)
			far.Faults = smsc.MustFaults(fault, "undeliverable")
			b := smsc.Start(t, far)
			d := openBoth(t, a.Addr(), b.Addr(), func(c *smpp.Config) {
				if fault == "delay=300ms" { // each response is late
					c.ResponseTimeout = 100 * time.Millisecond
				}
			})
			const messages = 20
			refs := map[string]string{} // references by text
			for i := range messages {
				m := sms(fmt.Sprint("message ", i))
				m.RequestID = verify.ID{byte(i + 1)}
				if sub, err := d.Send(t.Context(), m); err == nil {
					refs[m.Text] = sub.Refs[0]
				}
			}
			receipts := d.awaitReceipts(messages)
			if fault == "delay=300ms" {
				for _, answer := range d.awaitAnswers(messages) {
					refs[fmt.Sprint("message ", answer.Event.Verification[0]-1)] = answer.Part.Ref
				}
			}
			states := map[string][]verify.EventState{}
			for _, r := range receipts {
				states[r.Ref] = append(states[r.Ref], r.State)
			}
			ids := map[string]bool{}
			for srv, want := range map[*smsc.Server]verify.EventState{a: verify.EventDelivered, b: verify.EventUndeliverable} {
				list := srv.Messages()
				if len(list) == 0 {
					t.Error("one of the addresses has no message")
				}
				for _, m := range list {
					ids[m.ID] = true
					if got := states[refs[m.Text]]; !slices.Equal(got, []verify.EventState{want}) {
						t.Errorf("%s, id %s: receipts %v, want %s", m.Text, m.ID, got, want)
					}
				}
			}
			if len(ids) == messages {
				t.Error("no two messages have the same id")
			}
		})
	}
}

// TestReceiptOverOtherAddress: a system with two addresses sends each receipt over the
// other address.
func TestReceiptOverOtherAddress(t *testing.T) {
	t.Parallel()
	for scope, matches := range map[smpp.IDScope]bool{"": false, smpp.ScopeAddress: false, smpp.ScopeCarrier: true} {
		t.Run(string(scope), func(t *testing.T) {
			t.Parallel()
			srv := smsc.Start(t, smsc.Config{Faults: smsc.MustFaults("receipt-elsewhere,receipt-delay=50ms"), MaxMessages: 100})
			if err := srv.Listen("127.0.0.1:0"); err != nil {
				t.Fatal(err)
			}
			var log journal
			d := openBoth(t, srv.Addrs()[0], srv.Addrs()[1], log.use, func(c *smpp.Config) { c.IDScope = scope })
			var sent []string
			for range 10 {
				sub, err := d.Send(t.Context(), sms("hello"))
				if err != nil {
					t.Fatal(err)
				}
				sent = append(sent, sub.Refs...)
			}
			for _, r := range d.awaitReceipts(10) {
				if slices.Contains(sent, r.Ref) != matches {
					t.Errorf("a receipt of %q, sent %q", r.Ref, sent)
				}
			}
			warnings := strings.Count(log.String(), "smpp.message_id_scope: carrier")
			astray := d.metric("countersign_smpp_astray_receipts_total")
			if matches && (warnings != 0 || astray != 0) || !matches && (warnings != 1 || astray != 10) {
				t.Errorf("%d warnings, %v receipts over the other address:\n%s", warnings, astray, &log)
			}
		})
	}
}

// TestScopeAcrossBinds: a reference has the address of its session, even if that is
// retired or not yet bound.
func TestScopeAcrossBinds(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		var log journal
		var gone atomic.Bool // the first address refuses connections
		d, pipes, a := openPeer(t, log.use, func(c *smpp.Config) {
			c.Addresses = []string{"a.example:2775", "b.example:2775"}
			dial := c.Dial
			c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
				if address == "a.example:2775" && gone.Swap(true) {
					return nil, errors.New("connection refused")
				}
				return dial(ctx, address)
			}
		})
		late := d.begin("late")
		first := a.next()
		await.Pass(4 * time.Second)
		inFlight := d.begin("in flight")
		second := a.next()
		await.Pass(2 * time.Second) // the first has timed out, the second has not
		if err := late.wait(); outcome(err) != "unclear" {
			t.Errorf("without a response: %v", err)
		}
		lost := d.begin("lost")
		a.send(pdu.PDU{Sequence: a.next().Sequence, Status: pdu.StatusInvalidBindStatus, Body: &pdu.SubmitSMResp{}})
		if err := lost.wait(); outcome(err) != "not sent" || d.Status().Up() != 0 {
			t.Errorf("after the loss of the bind: %v, status %+v", err, d.Status())
		}

		a.accepts(first, "7")
		a.send(pdu.PDU{Sequence: 1, Body: &pdu.DeliverSM{Message: receipt("id:7 stat:DELIVRD")}})
		if got := a.next(); got.Body.Command() != pdu.CommandDeliverSM.Response() || got.Status != pdu.StatusOK {
			t.Errorf("receipt over the retired session answered with %+v", got)
		}
		a.accepts(second, "8")
		if err := inFlight.wait(); err != nil {
			t.Error(err)
		}
		a.ended()

		b := accept(t, pipes, pdu.PDU{Sequence: 1, Body: &pdu.DeliverSM{Message: receipt("id:8 stat:UNDELIV")}})
		if got := b.next(); got.Body.Command() != pdu.CommandDeliverSM.Response() || got.Status != pdu.StatusOK {
			t.Errorf("receipt before bind_resp answered with %+v", got)
		}
		early := d.begin("after its receipt")
		b.accepts(b.next(), "8")
		if err := early.wait(); err != nil {
			t.Fatal(err)
		}
		receipts, answer := d.awaitReceipts(2), d.awaitAnswers(1)[0].Part
		if answer.State != verify.EventAccepted || receipts[0].Ref != answer.Ref || receipts[0].State != verify.EventDelivered {
			t.Errorf("late answer %+v, its receipt %+v", answer, receipts[0])
		}
		if receipts[1].Ref != early.refs[0] || receipts[1].State != verify.EventUndeliverable || !slices.Equal(receipts[1].FormerRefs, []string{"8"}) {
			t.Errorf("message %q, its early receipt %+v", early.refs, receipts[1])
		}
		if early.refs[0] == inFlight.refs[0] {
			t.Errorf("two addresses, one reference: %q", early.refs)
		}
		if n := strings.Count(log.String(), "bind is unusable: submit_sm answered with ESME_RINVBNDSTS (0x04)"); n != 1 {
			t.Errorf("%d log lines report the loss of the bind:\n%s", n, &log)
		}
	})
}

// TestOneAddressNamesNoAddress: with one address, references are plain ids.
func TestOneAddressNamesNoAddress(t *testing.T) {
	t.Parallel()
	srv := smsc.Start(t, smsc.Config{MaxMessages: 10})
	for _, addresses := range [][]string{{srv.Addr()}, {srv.Addr(), srv.Addr()}} {
		d := openTo(t, srv, func(c *smpp.Config) { c.Addresses = addresses })
		sub, err := d.Send(t.Context(), sms("hello"))
		if err != nil {
			t.Fatal(err)
		}
		all := srv.Messages()
		r := d.awaitReceipts(1)[0]
		if id := all[len(all)-1].ID; sub.Refs[0] != id || r.Ref != id || !slices.Equal(r.FormerRefs, []string{id + "\t" + srv.Addr()}) {
			t.Errorf("id %q is %q, in the receipt %+v", id, sub.Refs[0], r)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestFormerReferences: a receipt has the references of its message under other values
// of message_id_scope.
func TestFormerReferences(t *testing.T) {
	t.Parallel()
	a, b := smsc.Start(t, smsc.Config{}), smsc.Start(t, smsc.Config{})
	for scope, want := range map[smpp.IDScope][]string{
		smpp.ScopeAddress: {"77\t" + b.Addr(), "77"},
		smpp.ScopeCarrier: {"77", "77\t" + a.Addr(), "77\t" + b.Addr()},
	} {
		d := openBoth(t, a.Addr(), b.Addr(), func(c *smpp.Config) { c.IDScope = scope })
		if err := b.Deliver("", receipt("id:77 stat:DELIVRD")); err != nil {
			t.Fatal(err)
		}
		r := d.awaitReceipts(1)[0]
		if got := append([]string{r.Ref}, r.FormerRefs...); !slices.Equal(got, want) {
			t.Errorf("%s: references %q, want %q", scope, got, want)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestReceiptsInMessages: unmarked receipts count only with the setting. Without it, the
// log names the setting.
func TestReceiptsInMessages(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"receipt-as-message", "receipt-as-ack"} {
		for _, read := range []bool{false, true} {
			t.Run(fmt.Sprint(fault, " ", read), func(t *testing.T) {
				t.Parallel()
				in(t, func(t *testing.T) {
					var log journal
					d := openIn(t, smsc.Config{Faults: smsc.MustFaults(fault)}, log.use,
						func(c *smpp.Config) { c.ReceiptsInMessages = read })
					var ids []string
					for range 10 {
						sub, err := d.Send(t.Context(), sms("hello"))
						if err != nil {
							t.Fatal(err)
						}
						ids = append(ids, sub.Refs...)
					}
					synctest.Wait()
					var got []string
					for _, r := range d.awaitReceipts(0) {
						if r.State != verify.EventDelivered {
							t.Errorf("receipt %+v", r)
						}
						got = append(got, r.Ref)
					}
					slices.Sort(got)
					warnings := func() int { return strings.Count(log.String(), "smpp.receipts_in_messages: true") }
					if read && (!slices.Equal(got, ids) || warnings() != 0) {
						t.Errorf("receipts of %q, sent %q, log:\n%s", got, ids, &log)
					}
					if !read && (len(got) != 0 || warnings() != 1) {
						t.Errorf("receipts of %q, %d warnings:\n%s", got, warnings(), &log)
					}
					if strings.Contains(log.String(), number) || strings.Contains(log.String(), "stat:") || strings.Contains(log.String(), ids[0]) {
						t.Errorf("the log repeats a message:\n%s", &log)
					}
					if n := d.smsc.Counters().ReceiptsTaken; n != 10 {
						t.Errorf("%d acknowledged, want all", n)
					}
					if read {
						return
					}
					for _, at := range []struct {
						pause time.Duration
						want  int
					}{{50 * time.Minute, 1}, {11 * time.Minute, 2}} {
						await.Pass(at.pause)
						send(t, d, 1)
						synctest.Wait()
						if warnings() != at.want {
							t.Errorf("%d warnings after %s more, want %d", warnings(), at.pause, at.want)
						}
					}
				})
			})
		}
	}
}

// TestTextOfReceipt: plain messages that count as receipts.
func TestTextOfReceipt(t *testing.T) {
	t.Parallel()
	const is, not = "receipt", "message"
	for _, tt := range []struct {
		name string
		in   pdu.Message
		kind string // label of the counter
		ref  string
	}{
		{"receipt", pdu.Message{ShortMessage: []byte("id:77 sub:001 dlvrd:001 submit date:2610171200 done date:2610171201 stat:DELIVRD err:000 text:hi")}, is, "77"},
		{"in UCS-2", pdu.Message{DataCoding: pdu.CodingUCS2, ShortMessage: utf16("id:77 stat:DELIVRD err:000")}, is, "77"},
		{"in message_payload", pdu.Message{TLVs: pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte("id:77 stat:DELIVRD")}}}, is, "77"},
		{"acknowledgement by the phone", pdu.Message{ESMClass: 0x08, ShortMessage: []byte("ID:77 STAT:EXPIRED")}, is, "77"},
		{"state as TLV", pdu.Message{ShortMessage: []byte("id:77"), TLVs: pdu.TLVs{pdu.Uint8(pdu.TagMessageState, 2)}}, is, "77"},
		{"no news", pdu.Message{ShortMessage: []byte("id:77 stat:UNKNOWN")}, "unreadable", ""},
		{"STOP", pdu.Message{ShortMessage: []byte("STOP")}, not, ""},
		{"id only", pdu.Message{ShortMessage: []byte("id:77 where is my code?")}, not, ""},
		{"state only", pdu.Message{ShortMessage: []byte("stat:DELIVRD")}, not, ""},
		{"in the quoted text", pdu.Message{ShortMessage: []byte("text:id:77 stat:DELIVRD")}, not, ""},
		{"empty", pdu.Message{}, not, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				d := openIn(t, smsc.Config{}, func(c *smpp.Config) { c.ReceiptsInMessages = true })
				if err := d.smsc.Deliver("", tt.in); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				var refs []string
				for _, r := range d.awaitReceipts(0) {
					refs = append(refs, r.Ref)
				}
				if strings.Join(refs, ",") != tt.ref || d.metricOf("countersign_smpp_pdus_received_total", tt.kind) != 1 {
					t.Errorf("receipts of %q, counted as %s: %v", refs, tt.kind, d.metricOf("countersign_smpp_pdus_received_total", tt.kind))
				}
			})
		})
	}
}

// metricOf returns the sum of the values of a counter with the label value.
func (d *desk) metricOf(name, value string) (sum float64) {
	d.t.Helper()
	families, err := d.reg.Gather()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetValue() == value {
					sum += m.GetCounter().GetValue()
				}
			}
		}
	}
	return sum
}
