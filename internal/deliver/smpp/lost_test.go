package smpp_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver"
	"countersign/internal/deliver/smpp"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
	"countersign/internal/verify"
)

// journal collects log lines.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) use(c *smpp.Config) { c.Log = slog.New(slog.NewTextHandler(j, nil)) }

// sendAsEngine retries a message until it is accepted or finally refused, like the
// engine.
func (d *desk) sendAsEngine(m deliver.Message, patience time.Duration) error {
	pause, end := 200*time.Millisecond, time.Now().Add(patience)
	for {
		if _, err := d.Send(context.Background(), m); outcome(err) != "not sent" || !time.Now().Before(end) {
			return err
		}
		<-time.After(pause) // back-off
		pause = min(2*pause, 3*time.Second)
	}
}

// smsTo returns a message to one of many numbers.
func smsTo(i int) deliver.Message {
	m := sms("hello")
	m.To = verify.PhoneAddress(fmt.Sprintf("4477009%05d", i), "")
	return m
}

// TestLostBind: over TCP, a session is closed and bound again after the SMSC stops
// accepting messages on it. The message is sent once, over the new session.
func TestLostBind(t *testing.T) {
	t.Parallel()
	tests := []struct{ faults, log string }{
		{"lost-bind=1x", "submit_sm answered with ESME_RINVBNDSTS (0x04)"},
		{"refuse=1x:0x05", "ESME_RALYBND (0x05)"},
		{"refuse=1x:0x0F", "ESME_RINVSYSID (0x0F)"},
		{"nack=1x", "ESME_RINVCMDID (0x03)"},
		{"nack=5x:0x02", "5 submit_sm in a row failed, the last with ESME_RINVCMDLEN (0x02)"},
		{"statuses=0x08/0x08/0x08/0x08/0x08", "5 submit_sm in a row failed, the last with ESME_RSYSERR (0x08)"},
		{"statuses=0x08/0x64/0x08/0x08/0x08/0x08", "5 submit_sm in a row failed"},
		{"enquire-error=1x", "enquire_link answered with enquire_link_resp, ESME_RINVBNDSTS (0x04)"},
		{"enquire-error=1x:0x08", "enquire_link answered with enquire_link_resp, ESME_RSYSERR (0x08)"},
		{"enquire-nack=1x", "enquire_link answered with generic_nack, ESME_RINVCMDID (0x03)"},
	}
	for _, tt := range tests {
		t.Run(tt.faults, func(t *testing.T) {
			t.Parallel()
			var log journal
			d := open(t, smsc.Config{}, log.use, func(c *smpp.Config) {
				if strings.HasPrefix(tt.faults, "enquire") {
					c.EnquireInterval = 50 * time.Millisecond
				}
			})
			if n := d.metric("countersign_smpp_binds"); n != 1 {
				t.Fatalf("%v binds", n)
			}
			d.smsc.SetFaults(smsc.MustFaults(tt.faults))
			if strings.HasPrefix(tt.faults, "enquire") {
				await.Until(t, "given up the bind", func() bool { return d.metric("countersign_smpp_unusable_binds_total") == 1 })
			}
			tries := 0
			await.Until(t, "accepting a message", func() bool {
				tries++
				_, err := d.Send(t.Context(), smsTo(tries))
				if outcome(err) != "accepted" && outcome(err) != "not sent" {
					t.Fatal(err)
				}
				return err == nil
			})
			if n := d.smsc.Counters().Connections; n != 2 {
				t.Errorf("%d connections, want 2", n)
			}
			if n := len(d.smsc.Messages()); n != 1 {
				t.Errorf("%d copies", n)
			}
			if n := d.metric("countersign_smpp_unusable_binds_total"); n != 1 {
				t.Errorf("counted %v unusable binds", n)
			}
			if s := log.String(); !strings.Contains(s, "bind is down") || !strings.Contains(s, "bind is unusable: ") || !strings.Contains(s, tt.log) {
				t.Errorf("log %s, want %s", s, tt.log)
			}
			if n := d.metric("countersign_smpp_binds"); n != 1 {
				t.Errorf("%v binds", n)
			}
		})
	}
}

// TestKeptBind: refusals of messages and single system errors do not end the session.
func TestKeptBind(t *testing.T) {
	t.Parallel()
	for _, faults := range []string{
		"statuses=0x08/0x08/0x08/0x08/0/0x08/0x08/0x08/0x08", // a success between
		"statuses=0x08/0x08/0x08/0x08/0x0B/0x08/0x08/0x08/0x08",
		"refuse=20x:0x64", "refuse=20x:0x45", "refuse=20x:0x0B", "unknown-status=20x", "queue-full=3x",
	} {
		t.Run(faults, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				d := openIn(t, smsc.Config{Faults: smsc.MustFaults(faults)})
				for i := range 20 {
					_, _ = d.Send(t.Context(), smsTo(i))
				}
				for i := range 3 {
					_ = d.sendAsEngine(smsTo(i), time.Minute)
				}
				if n := d.smsc.Counters().Connections; n != 1 || d.Status().Up() != 1 {
					t.Errorf("%d connections, %+v", n, d.Status())
				}
			})
		})
	}
}

// TestFailingNumbers: a number with failures only does not end the session while other
// numbers are accepted.
func TestFailingNumbers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		faults  string
		numbers int
		want    uint64 // connections
	}{
		{"refuse=10x:0x08", 1, 1},
		{"refuse=10x:0x08", 2, 1},
		{"nack=10x:0x02", 1, 1},
		{"refuse=5x:0x08", 3, 2},
	} {
		t.Run(fmt.Sprint(tt.faults, " ", tt.numbers), func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				d := openIn(t, smsc.Config{Faults: smsc.MustFaults(tt.faults)})
				for i := range 10 {
					_, _ = d.Send(t.Context(), smsTo(i%tt.numbers))
				}
				await.Pass(time.Minute)
				if err := d.sendAsEngine(smsTo(9), time.Minute); err != nil {
					t.Error(err)
				}
				if n := d.smsc.Counters().Connections; n != tt.want {
					t.Errorf("%d connections, want %d", n, tt.want)
				}
			})
		})
	}
}

// TestLostBindForever: if an SMSC accepts binds but no messages, the back-off limits
// binds and submissions.
func TestLostBindForever(t *testing.T) {
	t.Parallel()
	for _, faults := range []string{"lost-bind", "refuse=100%:0x08", "nack"} {
		t.Run(faults, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				d := openIn(t, smsc.Config{Faults: smsc.MustFaults(faults)})
				down := 0
				var sending sync.WaitGroup
				for i := range 3 {
					sending.Go(func() { _ = d.sendAsEngine(smsTo(i), 80*time.Second) })
				}
				for range 80 {
					await.Pass(time.Second)
					if d.metric("countersign_smpp_binds") == 0 {
						down++
					}
				}
				sending.Wait()
				n := d.smsc.Counters()
				if n.Connections < 3 || n.Connections > 9 || n.Submits > 50 || down == 0 {
					t.Errorf("%d connections, %d submits, down in %d of 80 seconds", n.Connections, n.Submits, down)
				}
				d.smsc.SetFaults(smsc.Faults{})
				if err := d.sendAsEngine(smsTo(1), time.Minute); err != nil || len(d.smsc.Messages()) != 1 {
					t.Errorf("after the fault: %v, %d messages", err, len(d.smsc.Messages()))
				}
			})
		})
	}
}

// TestIdleLostBind: a long session without an accepted message does not reset the
// back-off.
func TestIdleLostBind(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		d := openIn(t, smsc.Config{Faults: smsc.MustFaults("lost-bind")})
		var pauses []time.Duration
		for range 5 {
			await.Pass(time.Minute) // longer than any back-off
			if _, err := d.Send(t.Context(), sms("hello")); outcome(err) != "not sent" {
				t.Fatal(err)
			}
			began := time.Now()
			await.Until(t, "bound again", func() bool { return d.Status().Up() > 0 })
			pauses = append(pauses, time.Since(began))
		}
		if pauses[4] < 8*time.Second {
			t.Errorf("pauses %v do not grow", pauses)
		}
	})
}

// TestLostBindTwoBinds: messages refused on one bind are sent over the other, without
// delay or error.
func TestLostBindTwoBinds(t *testing.T) {
	t.Parallel()
	for _, faults := range []string{"lost-bind=1x", "refuse=1x:0x08", "refuse=1x:0x64", "nack=1x"} {
		d := open(t, smsc.Config{}, func(c *smpp.Config) { c.Binds = 2 })
		await.Until(t, "both binds up", func() bool { return d.Status().Up() == 2 })
		d.smsc.SetFaults(smsc.MustFaults(faults))
		send(t, d, 1)
		if n := len(d.smsc.Messages()); n != 1 {
			t.Errorf("%s: %d messages", faults, n)
		}
	}
}

// TestNackWithoutNumber: a generic_nack with sequence number 0 answers an enquire_link
// that is the only pending request.
func TestNackWithoutNumber(t *testing.T) {
	t.Parallel()
	for _, submits := range []int{0, 1} {
		t.Run(fmt.Sprint(submits, " submissions"), func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				var log journal
				d, _, p := openPeer(t, log.use, func(c *smpp.Config) { c.ResponseTimeout = time.Minute })
				asked := p.next() // after 20 idle seconds
				if _, ok := asked.Body.(*pdu.EnquireLink); !ok {
					t.Errorf("got %+v", asked)
				}
				var open []*sending
				for range submits {
					open = append(open, d.begin("hello"))
					p.next()
				}
				if _, err := p.conn.Write(header(0x80000000, uint32(pdu.StatusInvalidCommandID), 0)); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				if lost := d.Status().Up() == 0; lost != (submits == 0) {
					t.Errorf("bind lost: %v", lost)
				}
				if named := strings.Contains(log.String(), "enquire_link answered with generic_nack"); named != (submits == 0) {
					t.Errorf("log:\n%s", &log)
				}
				_ = p.conn.Close()
				for _, s := range open {
					_ = s.wait()
				}
			})
		})
	}
}

// TestLostBindInFlight: messages in flight on the session still get their responses, so
// that no outcome is unclear.
func TestLostBindInFlight(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		d, pipes, p := openPeer(t)
		all := []*sending{d.begin("1"), d.begin("2"), d.begin("3")}
		submits := []pdu.PDU{p.next(), p.next(), p.next()}
		p.send(pdu.PDU{Sequence: submits[1].Sequence, Status: pdu.StatusInvalidBindStatus, Body: &pdu.SubmitSMResp{}})
		synctest.Wait()
		if d.Status().Up() != 0 || d.metric("countersign_smpp_binds") != 0 {
			t.Errorf("still up: %+v", d.Status())
		}
		if _, err := d.Send(t.Context(), sms("4")); outcome(err) != "not sent" {
			t.Errorf("on a retired session: %v", err)
		}
		p.accepts(submits[0], "10")
		p.accepts(submits[2], "12")
		p.ended()
		count := map[string]int{}
		for _, s := range all {
			count[outcome(s.wait())]++
		}
		if count["accepted"] != 2 || count["not sent"] != 1 {
			t.Errorf("%v, want 2 accepted and 1 not sent", count)
		}
		accept(t, pipes)
		synctest.Wait()
		if d.Status().Up() != 1 {
			t.Error("not bound again")
		}
	})
}

// TestLostBindBetweenParts: the later parts of a long message wait for the new session,
// since no other carrier can complete the message.
func TestLostBindBetweenParts(t *testing.T) {
	t.Parallel()
	for _, faults := range []string{"statuses=0/0x04", "statuses=0/0x08/0x64/0x08", "statuses=0/0x58"} {
		t.Run(faults, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				d := openIn(t, smsc.Config{Faults: smsc.MustFaults(faults)})
				sub, err := d.Send(t.Context(), sms(strings.Repeat("long ", 50)))
				if err != nil || len(sub.Refs) != 2 || len(d.smsc.Messages()) != 2 {
					t.Errorf("%v, %+v, %d parts at the SMSC", err, sub, len(d.smsc.Messages()))
				}
			})
		})
	}
}

// TestLateLostBind: a late response can also retire the session.
func TestLateLostBind(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		d, _, p := openPeer(t)
		s := d.begin("hello")
		submit := p.next()
		if err := s.wait(); outcome(err) != "unclear" {
			t.Fatal(err)
		}
		p.send(pdu.PDU{Sequence: submit.Sequence, Status: pdu.StatusInvalidBindStatus, Body: &pdu.SubmitSMResp{}})
		p.ended()
		if got := d.awaitAnswers(1); got[0].Part.Error != "ESME_RINVBNDSTS (0x04)" {
			t.Errorf("reported %+v", got)
		}
	})
}
