package smpp_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"countersign/internal/await"
	"countersign/internal/deliver"
	"countersign/internal/deliver/smpp"
	"countersign/internal/deliver/smpp/smsc"
	"countersign/internal/logtest"
	"countersign/internal/verify"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m) // detects goroutines that survive Close
}

const number = "447700900001"

// patience limits the wait for asynchronous events. Only a failing test waits so
// long.
const patience = 10 * time.Second

// desk is a carrier with the SMSC to which it is bound, and its reports.
type desk struct {
	*smpp.Carrier
	t    testing.TB
	smsc *smsc.Server
	reg  *prometheus.Registry

	mu       sync.Mutex
	receipts []deliver.Receipt
	answers  []deliver.Answer
	fail     atomic.Int32 // number of receipts to refuse to store
}

// open starts an SMSC and binds a carrier to it.
func open(t testing.TB, far smsc.Config, change ...func(*smpp.Config)) *desk {
	t.Helper()
	if far.MaxMessages == 0 {
		far.MaxMessages = 10_000
	}
	return openTo(t, smsc.Start(t, far), change...)
}

func openTo(t testing.TB, srv *smsc.Server, change ...func(*smpp.Config)) *desk {
	t.Helper()
	d := &desk{t: t, smsc: srv, reg: prometheus.NewRegistry()}
	cfg := smpp.Config{
		Name: "test", Addresses: []string{"none"}, SystemID: "esme", Password: "secret", Metrics: d.reg, Log: logtest.New(t),
		Reports: deliver.Reports{Receipt: d.receipt, Answer: d.answer},
	}
	if srv != nil && srv.Addr() != "" {
		cfg.Addresses = []string{srv.Addr()}
	}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if d.Carrier, err = smpp.New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_ = d.Bound(ctx) // a test that needs the bind fails without it
	return d
}

func (d *desk) receipt(_ context.Context, r deliver.Receipt) error {
	if d.fail.Add(-1) >= 0 {
		return errors.New("disk full")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.receipts = append(d.receipts, r)
	return nil
}

func (d *desk) answer(_ context.Context, a deliver.Answer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answers = append(d.answers, a)
	return nil
}

func (d *desk) awaitReceipts(n int) []deliver.Receipt {
	d.t.Helper()
	var got []deliver.Receipt
	await.Until(d.t, fmt.Sprint(n, " receipts"), func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		got = append([]deliver.Receipt(nil), d.receipts...)
		return len(got) >= n
	})
	return got
}

func (d *desk) awaitAnswers(n int) []deliver.Answer {
	d.t.Helper()
	var got []deliver.Answer
	await.Until(d.t, fmt.Sprint(n, " answers"), func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		got = append([]deliver.Answer(nil), d.answers...)
		return len(got) >= n
	})
	return got
}

// metric returns the sum of the values of a counter or gauge.
func (d *desk) metric(name string) (sum float64) {
	d.t.Helper()
	families, err := d.reg.Gather()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// outcome returns the outcome of a message by the error of Send.
func outcome(err error) string {
	switch {
	case err == nil:
		return "accepted"
	case errors.Is(err, deliver.ErrNumber):
		return "bad number"
	case errors.Is(err, deliver.ErrRefused):
		return "refused"
	case errors.Is(err, deliver.ErrNotSent):
		return "not sent"
	}
	return "unclear"
}

func sms(text string) deliver.Message {
	return deliver.Message{
		EventID: verify.ID{1}, Attempt: 1, Channel: verify.SMS, To: verify.PhoneAddress(number, "GB"), From: "Acme", Text: text,
		ValidFor: 5 * time.Minute,
	}
}

func BenchmarkCarrier(b *testing.B) {
	for _, window := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprint("window=", window), func(b *testing.B) {
			d := openTo(b, smsc.Start(b, smsc.Config{}), func(c *smpp.Config) {
				c.Window = window
				c.NoReceipts = true
			})
			m := sms("Acme code: 5856. Valid for 5 minutes.")
			var wg sync.WaitGroup
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ReportAllocs()
			b.ResetTimer()
			for range window {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := d.Send(context.Background(), m); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "submit_sm/s")
		})
	}
}
