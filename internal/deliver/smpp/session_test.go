package smpp_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/deliver/smpp"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
	"countersign/internal/verify"
)

// TestOutOfOrder: each message gets its response.
func TestOutOfOrder(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		var answered []uint32
		d := openIn(t, smsc.Config{
			Faults: smsc.MustFaults("delay=0-2s"),
			AfterResponse: func(_ *smsc.Session, p pdu.PDU) {
				if _, ok := p.Body.(*pdu.SubmitSMResp); ok {
					answered = append(answered, p.Sequence)
				}
			},
		}, func(c *smpp.Config) { c.Window = 100 })
		sent := map[string]*sending{}
		for i := range 200 {
			text := fmt.Sprint("message ", i)
			sent[text] = d.begin(text)
		}
		for _, s := range sent {
			if err := s.wait(); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		for _, m := range d.smsc.Messages() {
			if refs := sent[m.Text].refs; len(refs) != 1 || refs[0] != m.ID {
				t.Errorf("%q has id %s, but Send returned %v", m.Text, m.ID, refs)
			}
		}
		if len(answered) != 200 || slices.IsSorted(answered) {
			t.Errorf("%d responses, all in order", len(answered))
		}
	})
}

// TestWindow: the window limits the messages in flight, and is used fully if enough
// messages wait.
func TestWindow(t *testing.T) {
	t.Parallel()
	for _, window := range []int{0, 1, 255, 256, 1000} {
		t.Run(fmt.Sprint(window), func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				d, _, p := openPeer(t, func(c *smpp.Config) { c.Window, c.ResponseTimeout = window, time.Minute })
				want := window
				if window == 0 {
					want = 10
				}
				var open []pdu.PDU
				reading := make(chan pdu.PDU, 5000)
				go func() {
					for {
						got, err := p.reader.Next()
						if err != nil {
							return
						}
						reading <- got
					}
				}()
				collect := func() {
					synctest.Wait()
					for len(reading) > 0 {
						open = append(open, <-reading)
					}
				}
				total := want + 70
				var all []*sending
				for i := range total {
					all = append(all, d.begin(fmt.Sprint(i)))
				}
				for left := total; left > 0; {
					collect()
					if n := min(want, left); len(open) != n || d.Status().InFlight != n {
						t.Fatalf("%d of %d are unanswered, %d by the status, want %d", len(open), left, d.Status().InFlight, n)
					}
					for _, submit := range open[:min(7, len(open))] {
						p.accepts(submit, "1")
						left--
					}
					open = open[min(7, len(open)):]
				}
				for _, s := range all {
					if err := s.wait(); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

// TestWindowFull: a message without a slot can fail over to another carrier.
func TestWindowFull(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		d, _, p := openPeer(t, func(c *smpp.Config) { c.Window, c.ResponseTimeout = 1, time.Minute })
		first := d.begin("first")
		submit := p.next()
		began := time.Now()
		if err := d.begin("second").wait(); outcome(err) != "not sent" {
			t.Errorf("second: %v", err)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("second waited for %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := d.Send(ctx, sms("third")); outcome(err) != "not sent" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("third: %v", err)
		}
		p.accepts(submit, "1")
		if err := first.wait(); err != nil {
			t.Error(err)
		}
	})
}

// TestResponseTimeout: a late response is reported with its event and part.
func TestResponseTimeout(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		late  pdu.PDU
		state verify.EventState // "" for no report
		ref   string
		error string
	}{
		{"accepted", pdu.PDU{Body: &pdu.SubmitSMResp{MessageID: pdu.MessageID{MessageID: "0AB"}}}, verify.EventAccepted, "ab", ""},
		{"refused", pdu.PDU{Status: pdu.StatusSubmitFailed, Body: &pdu.SubmitSMResp{}}, verify.EventRefused, "", "ESME_RSUBMITFAIL (0x45)"},
		{"bad number", pdu.PDU{Status: pdu.StatusInvalidDestination, Body: &pdu.SubmitSMResp{}}, verify.EventRefused, "", "ESME_RINVDSTADR (0x0B)"},
		{"throttled", pdu.PDU{Status: pdu.StatusThrottled, Body: &pdu.SubmitSMResp{}}, verify.EventRefused, "", "ESME_RTHROTTLED (0x58)"},
		{"nack", pdu.PDU{Status: pdu.StatusSystemError, Body: &pdu.GenericNack{}}, verify.EventRefused, "", "ESME_RSYSERR (0x08)"},
		{"of another kind", pdu.PDU{Body: &pdu.EnquireLinkResp{}}, "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				d, _, p := openPeer(t, func(c *smpp.Config) { c.Window = 1 })
				began := time.Now()
				m := sms("late")
				m.RequestID, m.Seq, m.Attempt = verify.ID{7}, 3, 2
				result := make(chan error, 1)
				go func() {
					_, err := d.Send(t.Context(), m)
					result <- err
				}()
				submit := p.next()
				if err := <-result; outcome(err) != "unclear" {
					t.Errorf("without a response: %v", err)
				}
				if took := time.Since(began); took < 5*time.Second || took > 5500*time.Millisecond {
					t.Errorf("gave up after %v", took)
				}
				again := d.begin("there is room again")
				next := p.next()
				tt.late.Sequence = submit.Sequence
				p.send(tt.late)
				p.send(tt.late) // one response
				p.accepts(next, "2")
				if err := again.wait(); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				got := d.awaitAnswers(0)
				if tt.state == "" {
					if len(got) != 0 {
						t.Errorf("reported %+v", got)
					}
					return
				}
				want := deliver.Answer{Event: verify.EventKey{Verification: verify.ID{7}, Seq: 3}, Part: verify.Part{
					Attempt: 2, Seq: 0, Count: 1, Carrier: "test", Ref: tt.ref, State: tt.state, Error: tt.error,
				}}
				if len(got) != 1 || got[0] != want {
					t.Errorf("reported %+v, want %+v", got, want)
				}
				if late, stray := d.metric("countersign_smpp_late_responses_total"), d.metric("countersign_smpp_stray_responses_total"); late != 1 || stray != 1 {
					t.Errorf("%v late, %v stray", late, stray)
				}
			})
		})
	}
}

// TestBrokenOff: a message with an accepted part does not count as not sent.
func TestBrokenOff(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		d, _, p := openPeer(t)
		s := d.begin(strings.Repeat("long ", 60))
		p.accepts(p.next(), "11")
		p.next()
		_ = p.conn.Close()
		if err := s.wait(); outcome(err) != "unclear" {
			t.Errorf("lost: %v", err)
		}
		got := d.awaitAnswers(1)
		want := verify.Part{Attempt: 1, Seq: 0, Count: 2, Carrier: "test", Ref: "11", State: verify.EventAccepted}
		if len(got) != 1 || got[0].Part != want {
			t.Errorf("reported %+v", got)
		}
	})
	in(t, func(t *testing.T) { // unbind between the parts
		d, _, p := openPeer(t)
		s := d.begin(strings.Repeat("long ", 60))
		submit := p.next()
		p.send(pdu.PDU{Sequence: 9, Body: &pdu.Unbind{}})
		p.accepts(submit, "11")
		p.next() // unbind_resp
		if err := s.wait(); outcome(err) != "unclear" {
			t.Errorf("unbound: %v", err)
		}
		d.awaitAnswers(1)
	})
}

// TestCancelled: cancellation of ctx does not stop the message.
func TestCancelled(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		d, _, p := openPeer(t)
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() {
			_, err := d.Send(ctx, sms("hello"))
			result <- err
		}()
		submit := p.next()
		cancel()
		if err := <-result; outcome(err) != "unclear" || !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		p.accepts(submit, "5")
		if got := d.awaitAnswers(1); got[0].Part.Ref != "5" {
			t.Errorf("reported %+v", got)
		}
	})
}

// TestResponses: the outcomes of different responses. A malformed response affects only
// its message.
func TestResponses(t *testing.T) {
	t.Parallel()
	refusal := func(s pdu.Status) func(*peer, uint32) {
		return func(p *peer, seq uint32) {
			p.send(pdu.PDU{Status: s, Sequence: seq, Body: &pdu.SubmitSMResp{}})
		}
	}
	raw := func(command uint32, body ...byte) func(*peer, uint32) {
		return func(p *peer, seq uint32) {
			octets := []byte{0, 0, 0, byte(16 + len(body))}
			for _, v := range []uint32{command, 0, seq} {
				octets = append(octets, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
			}
			if _, err := p.conn.Write(append(octets, body...)); err != nil {
				p.t.Error(err)
			}
		}
	}
	tests := []struct {
		name  string
		send  func(p *peer, seq uint32)
		want  string
		ref   string
		stray float64
	}{
		{"accepted", raw(0x80000004, 'x', 'Y', 0), "accepted", "xY", 0},
		{"without the NUL", raw(0x80000004, '0', '7'), "accepted", "7", 0},
		{"id with spaces", raw(0x80000004, ' ', '7', ' ', 0), "accepted", "7", 0},
		{"no id", raw(0x80000004, 0), "accepted", "", 0},
		{"no body", raw(0x80000004), "accepted", "", 0},
		{"id of control characters", raw(0x80000004, 1, 0xFF, '\n', 'x', 0), "accepted", `\x01\xff\nx`, 0},
		{"refused", refusal(pdu.StatusSubmitFailed), "refused", "", 0},
		{"refused without a known reason", refusal(0x4FF), "refused", "", 0},
		{"bad number", refusal(pdu.StatusInvalidDestination), "bad number", "", 0},
		{"not bound any more", refusal(pdu.StatusInvalidBindStatus), "not sent", "", 0},
		{"nack", func(p *peer, seq uint32) {
			p.send(pdu.PDU{Status: pdu.StatusInvalidCommandID, Sequence: seq, Body: &pdu.GenericNack{}})
		}, "not sent", "", 0},
		{"another response", raw(0x80000015), "unclear", "", 0},
		{"an unknown response", raw(0x800000EE, 1, 2, 3), "unclear", "", 0},
		{"another number", func(p *peer, seq uint32) {
			raw(0x80000004, '1', 0)(p, seq+1000)
			raw(0x80000004, '2', 0)(p, 0)
			raw(0x80000004, '3', 0)(p, 1)
			raw(0x80000004, '4', 0)(p, 0xFFFFFFFF)
		}, "unclear", "", 4},
		{"twice", func(p *peer, seq uint32) {
			p.accepts(pdu.PDU{Sequence: seq}, "1")
			refusal(pdu.StatusSystemError)(p, seq)
		}, "accepted", "1", 1},
		{"shorter than a header", func(p *peer, _ uint32) { _, _ = p.conn.Write(make([]byte, 16)) }, "unclear", "", 0},
		{"requests first", func(p *peer, seq uint32) {
			p.send(pdu.PDU{Sequence: seq, Body: &pdu.EnquireLink{}})
			if got := p.next(); got.Sequence != seq || got.Body.Command() != pdu.CommandEnquireLink.Response() {
				p.t.Errorf("enquire_link answered with %+v", got)
			}
			p.send(pdu.PDU{Sequence: seq, Body: &pdu.SubmitSM{}})
			if got := p.next(); got.Sequence != seq || got.Status != pdu.StatusInvalidCommandID {
				p.t.Errorf("submit_sm answered with %+v", got)
			}
			raw(0x0000EEEE)(p, seq)
			if got := p.next(); got.Sequence != seq || got.Status != pdu.StatusInvalidCommandID {
				p.t.Errorf("unknown command answered with %+v", got)
			}
			raw(0x00000005, 1, 2, 3)(p, seq) // deliver_sm
			if got := p.next(); got.Sequence != seq || got.Status == 0 || got.Body.Command() != pdu.CommandDeliverSM.Response() {
				p.t.Errorf("broken deliver_sm answered with %+v", got)
			}
			p.send(pdu.PDU{Sequence: seq, Body: &pdu.AlertNotification{}})
			p.accepts(pdu.PDU{Sequence: seq}, "8")
		}, "accepted", "8", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				d, _, p := openPeer(t)
				s, began := d.begin("hello"), time.Now()
				tt.send(p, p.next().Sequence)
				err := s.wait()
				if outcome(err) != tt.want {
					t.Fatalf("%v, want %s", err, tt.want)
				}
				if waited := time.Since(began) > 0; waited != (tt.name == "another number") {
					t.Errorf("after %v: %v", time.Since(began), err)
				}
				if err == nil && strings.Join(s.refs, " ") != tt.ref {
					t.Errorf("refs %q, want %q", s.refs, tt.ref)
				}
				if tt.ref == "" && len(s.refs) > 0 {
					t.Errorf("a message without an id has refs %q", s.refs)
				}
				synctest.Wait()
				if n := d.metric("countersign_smpp_stray_responses_total"); n != tt.stray {
					t.Errorf("%v stray responses, want %v", n, tt.stray)
				}
			})
		})
	}
}

// TestManyAtOnce sends messages, receives receipts and drops connections concurrently,
// for the race detector.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	d := open(t, smsc.Config{}, func(c *smpp.Config) { c.Binds, c.Window, c.Mode = 3, 50, smpp.Split })
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for j := range 30 {
				_, err := d.Send(t.Context(), sms(fmt.Sprint(i, "-", j)))
				if outcome(err) == "refused" {
					t.Error(err)
				}
				d.Status()
				if i == 0 && j == 10 {
					d.smsc.Sessions()[0].Close()
				}
			}
		})
	}
	wg.Wait()
}
