package smsc_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
)

// faulty returns a lab with faults that keeps messages.
func faulty(t *testing.T, faults ...string) *lab {
	t.Helper()
	return newLab(t, smsc.Config{Faults: smsc.MustFaults(faults...), MaxMessages: 1000, Seed: 7})
}

// TestRefusals: faults with a status refuse messages; later messages are accepted.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for fault, want := range map[string]pdu.Status{
		"throttle=1x":               pdu.StatusThrottled,
		"queue-full=1x":             pdu.StatusQueueFull,
		"refuse=1x":                 pdu.StatusSubmitFailed,
		"refuse=1x:0x0B":            pdu.StatusInvalidDestination,
		"refuse=1x:88":              pdu.StatusThrottled,
		"unknown-status=1x":         0x400,
		"unknown-status=1x:0x4FF":   0x4FF,
		"throttle=1x,queue-full=1x": pdu.StatusThrottled,
		"refuse=1x:ESME_RINVDSTADR": pdu.StatusInvalidDestination,
		"statuses=0x64/0x08":        pdu.StatusTemporaryAppError,
		"nack=1x":                   pdu.StatusInvalidCommandID,
		"nack=1x:0x02":              pdu.StatusInvalidCommandLength,
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				l := faulty(t, fault)
				c := l.bind(pdu.CommandBindTransceiver)
				if got := c.request(sms("no", pdu.ReceiptAlways)); got.Status != want {
					t.Errorf("status %v, want %v", got.Status, want)
				}
				if len(l.Messages()) != 0 {
					t.Error("the message was accepted")
				}
				l.SetFaults(smsc.Faults{})
				c.submit(sms("yes", 0))
				if got := l.Counters(); got.Submits != 2 || got.Accepted != 1 || got.Responses != 2 {
					t.Errorf("counts %+v", got)
				}
			})
		})
	}
}

// TestLostAnswers: the message is accepted and its receipt sent, but the response is
// lost.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	t.Run("lose-response", func(t *testing.T) {
		t.Parallel()
		in(t, func(t *testing.T) {
			l := faulty(t, "lose-response=1x")
			c := l.bind(pdu.CommandBindTransceiver)
			c.send(sms("first", pdu.ReceiptAlways))
			c.receipt(pdu.StatusOK)
			c.submit(sms("second", 0))
			if got := len(l.Messages()); got != 2 {
				t.Errorf("%d messages, want 2", got)
			}
		})
	})
	t.Run("disconnect", func(t *testing.T) {
		t.Parallel()
		in(t, func(t *testing.T) {
			l := faulty(t, "disconnect=1x")
			c := l.bind(pdu.CommandBindTransceiver)
			c.send(sms("first", pdu.ReceiptAlways))
			c.ended()
			c = l.bind(pdu.CommandBindTransceiver)
			if m := c.receipt(pdu.StatusOK); !strings.Contains(string(m.ShortMessage), "Text:first") {
				t.Errorf("receipt %q", m.ShortMessage)
			}
		})
	})
	t.Run("disconnect-before", func(t *testing.T) {
		t.Parallel()
		in(t, func(t *testing.T) {
			l := faulty(t, "disconnect-before=1x")
			c := l.bind(pdu.CommandBindTransceiver)
			c.send(sms("first", pdu.ReceiptAlways))
			c.ended()
			if got := len(l.Messages()); got != 0 {
				t.Errorf("%d messages, want 0", got)
			}
			l.bind(pdu.CommandBindTransceiver).submit(sms("second", 0))
		})
	})
}

func TestWrongAnswers(t *testing.T) {
	t.Parallel()
	t.Run("duplicate-response", func(t *testing.T) {
		t.Parallel()
		in(t, func(t *testing.T) {
			l := faulty(t, "duplicate-response=1x")
			c := l.bind(pdu.CommandBindTransceiver)
			id := c.submit(sms("first", 0))
			if p := c.read(); p.Sequence != c.sequence || messageID(t, p) != id {
				t.Errorf("second answer %+v", p)
			}
			c.submit(sms("second", 0))
			if got := len(l.Messages()); got != 2 {
				t.Errorf("%d messages, want 2", got)
			}
		})
	})
	t.Run("wrong-sequence", func(t *testing.T) {
		t.Parallel()
		in(t, func(t *testing.T) {
			c := faulty(t, "wrong-sequence=1x").bind(pdu.CommandBindTransceiver)
			n := c.send(sms("first", 0))
			if p := c.read(); p.Sequence == n || p.Sequence == 0 || p.Sequence > 0x7FFFFFFF || messageID(t, p) == "" {
				t.Errorf("answer %+v to %d", p, n)
			}
			c.submit(sms("second", 0))
		})
	})
	t.Run("malformed", func(t *testing.T) {
		t.Parallel()
		in(t, func(t *testing.T) {
			l := faulty(t, "malformed")
			reasons := map[string]bool{}
			for range 40 {
				c := l.bind(pdu.CommandBindTransceiver)
				n := c.send(sms("first", 0))
				p, err := c.reader.Next()
				var broken *pdu.Error
				switch {
				case errors.As(err, &broken):
					reasons[broken.Reason] = true
				case err == nil && p.Sequence == n && strings.ContainsFunc(messageID(t, p), func(r rune) bool { return r > '~' }):
					reasons["id"] = true
				default:
					t.Fatalf("%+v, %v", p, err)
				}
				c.conn.Close()
			}
			if len(reasons) != 4 {
				t.Errorf("mistakes %v, want 4", reasons)
			}
		})
	})
}

func TestRefuseBind(t *testing.T) {
	t.Parallel()
	for fault, want := range map[string]pdu.Status{"refuse-bind=1x": pdu.StatusBindFailed, "refuse-bind=1x:0x0E": pdu.StatusInvalidPassword} {
		in(t, func(t *testing.T) {
			l := faulty(t, fault)
			c := l.connect()
			if got := c.request(&pdu.Bind{Kind: pdu.CommandBindReceiver}).Status; got != want {
				t.Errorf("%s: %v", fault, got)
			}
			c.bind(pdu.CommandBindReceiver, "esme", "")
		})
	}
}

func TestIgnoreEnquireLink(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		c := faulty(t, "ignore-enquire-link").bind(pdu.CommandBindTransceiver)
		c.send(&pdu.EnquireLink{})
		c.submit(sms("hello", 0))
	})
}

func TestHalfOpen(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		l := faulty(t)
		c := l.bind(pdu.CommandBindTransceiver)
		l.SetFaults(smsc.MustFaults("half-open"))
		c.send(&pdu.EnquireLink{})
		c.send(sms("hello", pdu.ReceiptAlways))
		c.conn.Write([]byte{0, 0, 0, 16, 0, 0, 0, 0x77, 0, 0, 0, 0, 0, 0, 0, 9}) // no command
		c.conn.SetReadDeadline(time.Now().Add(time.Hour))
		if p, err := c.reader.Next(); err == nil {
			t.Errorf("got %v", p.Body.Command())
		}
		c.conn.SetReadDeadline(time.Time{})
		if got := len(l.Messages()); got != 0 {
			t.Errorf("%d messages", got)
		}
		l.SetFaults(smsc.Faults{})
		c.submit(sms("hello", pdu.ReceiptAlways))
		c.receipt(pdu.StatusOK)
	})
}

func TestDelay(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		l := faulty(t, "delay=200ms")
		c := l.bind(pdu.CommandBindTransceiver)
		began := time.Now()
		first, second := c.send(sms("1", pdu.ReceiptAlways)), c.send(sms("2", 0))
		c.request(&pdu.EnquireLink{}) // not delayed
		if got := time.Since(began); got != 0 {
			t.Errorf("enquire_link took %v", got)
		}
		if p := c.read(); p.Sequence != first || time.Since(began) != 200*time.Millisecond {
			t.Errorf("%d after %v", p.Sequence, time.Since(began))
		}
		if p := c.read(); p.Sequence != second { // before the receipt
			t.Errorf("%v %d", p.Body.Command(), p.Sequence)
		}
		c.receipt(pdu.StatusOK)

		l.SetFaults(smsc.MustFaults("delay=0-2s"))
		began = time.Now()
		for range 50 {
			c.send(sms("hello", 0))
		}
		var order []uint32
		for range 50 {
			order = append(order, c.read().Sequence)
		}
		if took := time.Since(began); took < time.Second || took > 2*time.Second || slices.IsSorted(order) {
			t.Errorf("took %v, order %v", took, order)
		}
	})
}

func TestRate(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		l := faulty(t, "rate=30", "rate=40")
		c := l.bind(pdu.CommandBindTransceiver)
		burst := func() (accepted int) {
			for range 50 {
				switch p := c.request(sms("hello", 0)); p.Status {
				case pdu.StatusOK:
					accepted++
				case pdu.StatusThrottled:
				default:
					t.Fatalf("status %v", p.Status)
				}
			}
			return accepted
		}
		if got := burst(); got != 30 {
			t.Errorf("%d accepted immediately, want 30", got)
		}
		await.Pass(999 * time.Millisecond)
		if got := burst(); got != 0 {
			t.Errorf("%d more accepted within the second", got)
		}
		await.Pass(time.Millisecond)
		if got := burst(); got != 30 {
			t.Errorf("%d accepted in the next second, want 30", got)
		}
		other := l.connect()
		other.bind(pdu.CommandBindTransceiver, "other", "")
		other.submit(sms("hello", 0)) // another system_id has a separate limit
	})
}

// TestSeed: equal seeds and messages lead to equal faults.
func TestSeed(t *testing.T) {
	t.Parallel()
	statuses := func(t *testing.T, seed uint64) string {
		var b strings.Builder
		l := newLab(t, smsc.Config{Seed: seed, Faults: smsc.MustFaults("throttle=30%")})
		c := l.bind(pdu.CommandBindTransceiver)
		for range 1000 {
			if c.request(sms("hello", 0)).Status == pdu.StatusOK {
				b.WriteByte('.')
			} else {
				b.WriteByte('T')
			}
		}
		return b.String()
	}
	in(t, func(t *testing.T) {
		first, again, other := statuses(t, 1), statuses(t, 1), statuses(t, 2)
		if first != again {
			t.Error("the same seed, other faults")
		}
		if first == other {
			t.Error("another seed, the same faults")
		}
		if n := strings.Count(first, "T"); n < 250 || n > 350 {
			t.Errorf("%d of 1000, want about 30%%", n)
		}
		synctest.Wait()
	})
}

// TestStatuses: each message gets the next status; later messages are accepted.
func TestStatuses(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		c := faulty(t, "statuses=0x08/0/ESME_RX_T_APPN").bind(pdu.CommandBindTransceiver)
		for i, want := range []pdu.Status{0x08, 0, 0x64, 0, 0} {
			if got := c.request(sms("hello", 0)); got.Status != want {
				t.Errorf("message %d: %v, want %v", i, got.Status, want)
			}
		}
	})
}

// TestUnusableSession: a lost bind stays lost on its connection, although enquire_link
// is answered; a new connection can bind.
func TestUnusableSession(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		l := faulty(t, "lost-bind=1x")
		c := l.bind(pdu.CommandBindTransceiver)
		for range 3 {
			if got := c.request(sms("hello", 0)); got.Status != pdu.StatusInvalidBindStatus {
				t.Errorf("status %v", got.Status)
			}
			if got := c.request(&pdu.EnquireLink{}); got.Status != 0 {
				t.Errorf("enquire_link: %v", got.Status)
			}
		}
		l.bind(pdu.CommandBindTransceiver).submit(sms("hello", 0))
	})
	for fault, want := range map[string]pdu.Status{"enquire-error=1x": 0x04, "enquire-error=1x:0x08": 0x08, "enquire-nack=1x": 0x03} {
		in(t, func(t *testing.T) {
			c := faulty(t, fault).bind(pdu.CommandBindTransceiver)
			for _, want := range []pdu.Status{want, 0} {
				got := c.request(&pdu.EnquireLink{})
				if got.Status != want || (got.Body.Command() == pdu.CommandGenericNack) != (want == 0x03) {
					t.Errorf("%s: %+v, want %v", fault, got, want)
				}
			}
		})
	}
}
