package deliver_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/deliver"
	"countersign/internal/verify"
)

// series returns the values of a metric by its labels, in the order of label names. A
// histogram has its count, and under the labels with " sum" its sum.
func series(t *testing.T, reg prometheus.Gatherer, name string) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.Metric {
			labels := ""
			for i, l := range m.Label {
				labels += map[bool]string{true: " "}[i > 0] + l.GetValue()
			}
			if h := m.GetHistogram(); h != nil {
				values[labels], values[labels+" sum"] = float64(h.GetSampleCount()), h.GetSampleSum()
				continue
			}
			values[labels] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return values
}

// expect compares the nonzero series of a metric with want, and the number of all series.
func expect(t *testing.T, reg prometheus.Gatherer, name string, all int, want map[string]float64) {
	t.Helper()
	got := series(t, reg, name)
	if len(got) != all {
		t.Errorf("%s has %d series, want %d from the start: %v", name, len(got), all, got)
	}
	for labels, value := range got {
		if value != want[labels] {
			t.Errorf("%s of %s is %v, want %v", name, labels, value, want[labels])
		}
	}
}

// slow is a carrier that answers after a delay.
type slow struct {
	takes time.Duration
	err   error
}

func (s slow) Send(context.Context, deliver.Message) (deliver.Submission, error) {
	time.Sleep(s.takes) //nolint:forbidigo // simulated time in a bubble
	return deliver.Submission{}, s.err
}

// TestCarrierMetrics: each message and each receipt counts once, by carrier and result,
// and every series exists from the start.
func TestCarrierMetrics(t *testing.T) {
	t.Parallel()
	const messages, seconds, receipts = "countersign_carrier_messages_total", "countersign_carrier_submit_duration_seconds", "countersign_carrier_receipts_total"
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		results := []struct {
			name   string
			err    error
			result string
		}{
			{"takes", nil, "accepted"},
			{"refuses", fmt.Errorf("%w: no", deliver.ErrRefused), "refused"},
			{"bad number", deliver.ErrNumber, "refused"},
			{"not sent", deliver.ErrNotSent, "not_sent"},
			{"too many", deliver.ErrTooManyThere, "not_sent"},
			{"lost", errLost, "unclear"},
		}
		cfg := deliver.RouterConfig{Carriers: map[string]deliver.Carrier{}, Metrics: reg}
		for _, r := range results {
			cfg.Carriers[r.name] = slow{250 * time.Millisecond, r.err}
			cfg.Routes = append(cfg.Routes, deliver.Route{Sender: r.name, Carriers: []string{r.name}})
		}
		cfg.Routes = append(cfg.Routes, deliver.Route{Carriers: []string{"refuses", "not sent", "takes", "lost"}})
		router, err := deliver.NewRouter(cfg)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, reg, messages, 6*len(verify.Channels())*4, nil)
		expect(t, reg, seconds, 6*2, nil)
		expect(t, reg, receipts, 6*7, nil)

		counts, times := map[string]float64{}, map[string]float64{}
		note := func(carrier string, channel verify.Channel, result string) {
			counts[fmt.Sprintf("%s %s %s", carrier, channel, result)]++
			times[carrier]++
			times[carrier+" sum"] += .25
		}
		for _, r := range results {
			for _, channel := range []verify.Channel{verify.SMS, verify.TTS, verify.TTS} {
				_, _ = router.Send(t.Context(), deliver.Message{Channel: channel, To: verify.PhoneAddress("1", ""), From: r.name}) // the carrier may fail
				note(r.name, channel, r.result)
			}
		}
		if _, err := router.Send(t.Context(), deliver.Message{Channel: verify.SMS, To: verify.PhoneAddress("1", "")}); err != nil {
			t.Fatal(err)
		}
		note("refuses", verify.SMS, "refused")
		note("not sent", verify.SMS, "not_sent")
		note("takes", verify.SMS, "accepted")
		expect(t, reg, messages, 6*len(verify.Channels())*4, counts)
		expect(t, reg, seconds, 6*2, times)

		reported := map[string]float64{}
		for i, state := range []verify.EventState{
			verify.EventAccepted, verify.EventDelivered, verify.EventAnswered, verify.EventHeld,
			verify.EventUndeliverable, verify.EventExpired, verify.EventRejected,
		} {
			for range i + 1 {
				router.Reported(deliver.Receipt{Carrier: "takes", State: state})
				reported["takes "+string(state)]++
			}
		}
		expect(t, reg, receipts, 6*7, reported)
	})
}

// TestMarkedDownMetric: the gauge is 1 from the failure that marks a carrier down until a
// successful probe.
func TestMarkedDownMetric(t *testing.T) {
	t.Parallel()
	var asked []string
	reg, now := prometheus.NewRegistry(), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	bad := &carrier{"bad", errLost, &asked}
	router, err := deliver.NewRouter(deliver.RouterConfig{
		Routes:   []deliver.Route{{Carriers: []string{"bad"}}},
		Carriers: map[string]deliver.Carrier{"bad": bad, "good": carrier{"good", nil, &asked}},
		Now:      func() time.Time { return now }, Metrics: reg,
	})
	if err != nil {
		t.Fatal(err)
	}
	send := func() {
		_, _ = router.Send(t.Context(), deliver.Message{Channel: verify.SMS, To: verify.PhoneAddress("1", "")})
	}
	const gauge = "countersign_carrier_marked_down"
	expect(t, reg, gauge, 2, nil)
	for range 10 {
		send()
	}
	expect(t, reg, gauge, 2, map[string]float64{"bad": 1})
	now, bad.err = now.Add(30*time.Second), nil
	send()
	expect(t, reg, gauge, 2, nil)
}
