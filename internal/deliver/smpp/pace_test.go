package smpp_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver/smpp"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
)

// busiest returns the maximum number of messages in any second.
func busiest(all []smsc.Message) int {
	most, from := 0, 0
	for i, m := range all {
		for m.At.Sub(all[from].At) >= time.Second {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

// TestRate: messages are sent evenly at the rate, over all binds.
func TestRate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rate         float64
		binds, count int
	}{{2, 1, 10}, {10, 1, 60}, {50, 3, 300}, {1000, 2, 3000}} {
		t.Run(fmt.Sprint(tt.rate), func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				d := openIn(t, smsc.Config{}, func(c *smpp.Config) { c.Rate, c.Binds = tt.rate, tt.binds })
				synctest.Wait()
				began := time.Now()
				var left atomic.Int64
				left.Store(int64(tt.count))
				var wg sync.WaitGroup
				for range 2 {
					wg.Go(func() {
						for left.Add(-1) >= 0 {
							if _, err := d.Send(t.Context(), sms("hello")); err != nil {
								t.Error(err)
							}
						}
					})
				}
				wg.Wait()
				want := time.Duration(float64(tt.count-1) / tt.rate * float64(time.Second))
				if took := time.Since(began); took < want || took > want+want/50 {
					t.Errorf("%d messages took %v, want %v", tt.count, took, want)
				}
				if most := busiest(d.smsc.Messages()); float64(most) > tt.rate+1 {
					t.Errorf("%d messages in a second", most)
				}
				if s := d.Status(); s.Rate != tt.rate || s.RateLimit != tt.rate {
					t.Errorf("status %+v", s)
				}
			})
		})
	}
}

// TestNoBurst: messages delayed by a slow SMSC are not sent in a burst.
func TestNoBurst(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		d := openIn(t, smsc.Config{Faults: smsc.MustFaults("delay=2500ms")}, func(c *smpp.Config) { c.Rate = 100 })
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() { _, _ = d.Send(t.Context(), sms("hello")) })
		}
		await.Pass(2 * time.Second)
		d.smsc.SetFaults(smsc.Faults{})
		wg.Wait()
		all := d.smsc.Messages()
		if most := busiest(all); most > 101 {
			t.Errorf("%d messages in a second", most)
		}
		if len(all) < 50 {
			t.Errorf("only %d messages were sent", len(all))
		}
	})
}

// TestOverRate: a message that would wait too long for its turn fails immediately, so
// that another carrier can send it.
func TestOverRate(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		d := openIn(t, smsc.Config{}, func(c *smpp.Config) { c.Rate, c.Window = 10, 5 })
		began := time.Now()
		var accepted, over atomic.Int32
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				_, err := d.Send(t.Context(), sms("hello"))
				switch {
				case err == nil:
					accepted.Add(1)
				case outcome(err) != "not sent":
					t.Error(err)
				case time.Since(began) == 0:
					over.Add(1)
				}
			})
		}
		wg.Wait()
		if a, o := accepted.Load(), over.Load(); a < 29 || a > 32 || a+o != 100 {
			t.Errorf("%d accepted, %d refused immediately; want about 30 (3 s at 10 per second), and all others", a, o)
		}
	})
}

// TestCancelledWaitSendsNothing: a message is never sent if its context ends while it
// waits for its turn.
func TestCancelledWaitSendsNothing(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		d := openIn(t, smsc.Config{}, func(c *smpp.Config) { c.Rate = 1 })
		synctest.Wait()
		if _, err := d.Send(t.Context(), sms("first")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := d.Send(ctx, sms("given up"))
		if took := time.Since(began); outcome(err) != "not sent" || !errors.Is(err, context.DeadlineExceeded) || took != 300*time.Millisecond {
			t.Errorf("after %v: %s, %v; want the end of the wait", took, outcome(err), err)
		}
		if _, err := d.Send(t.Context(), sms("second")); err != nil {
			t.Error(err)
		}
		await.Pass(5 * time.Second)
		if all := d.smsc.Messages(); len(all) != 2 {
			t.Errorf("the SMSC has %d messages, want 2: %+v", len(all), all)
		}
	})
}

// TestThrottled: throttling slows the carrier down without duplicates, and the rate
// recovers within 30 s.
func TestThrottled(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fault       string
		rate, offer float64
	}{{"throttle", 50, 100}, {"queue-full", 50, 100}, {"throttle", 0, 50}, {"throttle=60%", 50, 100}} {
		t.Run(fmt.Sprintf("%s at %v", tt.fault, tt.rate), func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				d := openIn(t, smsc.Config{}, func(c *smpp.Config) { c.Rate = tt.rate })
				accepted, stop := offer(t, d, tt.offer)
				during := func(pause, span time.Duration) float64 {
					await.Pass(pause)
					before := d.smsc.Counters().Submits
					await.Pass(span)
					return float64(d.smsc.Counters().Submits-before) / span.Seconds()
				}
				full := during(5*time.Second, 5*time.Second)
				d.smsc.SetFaults(smsc.MustFaults(tt.fault))
				slow := during(3*time.Second, 10*time.Second)
				d.smsc.SetFaults(smsc.Faults{})
				soon := during(0, 2*time.Second)
				back := during(28*time.Second, 5*time.Second)
				total := stop()
				t.Logf("%.0f per second before, %.0f while throttled, %.0f just after, %.0f after 30 s", full, slow, soon, back)
				if full < 47 || full > 51 || slow > full/4 || soon > full/2 || back < 0.9*full {
					t.Error("the logged rates are out of range")
				}
				copies := map[string]int{}
				for _, m := range d.smsc.Messages() {
					copies[m.Text]++
				}
				for text, n := range copies {
					if n != 1 {
						t.Errorf("%s was sent %d times", text, n)
					}
				}
				if n := int(accepted.Load()); n != len(copies) || total < n {
					t.Errorf("%d accepted, %d at the SMSC", n, len(copies))
				}
				if s := d.Status(); s.Rate != tt.rate {
					t.Errorf("rate %v", s.Rate)
				}
			})
		})
	}
}

// offer sends messages at a rate per second, with up to 3 attempts each. stop ends the
// sending and returns the total.
func offer(t *testing.T, d *desk, rate float64) (accepted *atomic.Int64, stop func() int) {
	accepted = new(atomic.Int64)
	done := make(chan struct{})
	var wg sync.WaitGroup
	total := 0
	wg.Go(func() {
		tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-done:
				return
			}
			total++
			m := sms(fmt.Sprint("message ", total))
			wg.Go(func() {
				for range 3 {
					_, err := d.Send(t.Context(), m)
					if err == nil {
						accepted.Add(1)
						return
					}
					if outcome(err) != "not sent" {
						t.Error(err)
						return
					}
				}
			})
		}
	})
	return accepted, func() int {
		close(done)
		wg.Wait()
		return total
	}
}

// TestThrottledInParts: the later parts of a message wait longer than a message that can
// fail over.
func TestThrottledInParts(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		d, _, p := openPeer(t)
		began := time.Now()
		var parts atomic.Int32
		go func() {
			for {
				got, err := p.reader.Next()
				if err != nil {
					return
				}
				if m := got.Body.(*pdu.SubmitSM); m.ESMClass&pdu.ESMUDHI != 0 && (parts.Load() == 0 || time.Since(began) > 8*time.Second) {
					parts.Add(1)
					p.accepts(got, "1")
				} else {
					p.send(pdu.PDU{Status: pdu.StatusQueueFull, Sequence: got.Sequence, Body: &pdu.SubmitSMResp{}})
				}
			}
		}()
		short, long := d.begin("short"), d.begin(strings.Repeat("long ", 40))
		if err := short.wait(); outcome(err) != "not sent" || time.Since(began) > 3*time.Second {
			t.Errorf("short: %v after %v", err, time.Since(began))
		}
		if err := long.wait(); err != nil || len(long.refs) != 2 {
			t.Errorf("long: refs %v, %v", long.refs, err)
		}
		if time.Since(began) < 8*time.Second {
			t.Error("accepted before patience ended")
		}
	})
}
