package engine

import (
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/verify"
)

// metrics are the counters of the engine. Labels never contain phone numbers, codes or
// accounts.
type metrics struct {
	started  prometheus.Counter
	ended    *prometheus.CounterVec // label: status
	checks   *prometheus.CounterVec // label: result
	events   *prometheus.CounterVec // labels: channel, state
	refunded prometheus.Counter
	early    prometheus.Counter     // receipts
	alarms   prometheus.Counter     // wrong credentials
	capped   *prometheus.CounterVec // label: cap
	lateness prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, caps []string, slots chan struct{}) *metrics {
	m := &metrics{
		started: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_verifications_started_total", Help: "Verifications accepted.",
		}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_verifications_ended_total", Help: "Verifications ended, by status.",
		}, []string{"status"}),
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_checks_total", Help: "Codes submitted, by result.",
		}, []string{"result"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_events_total", Help: "Messages submitted to carriers, by channel and outcome; submitting: not sent, left for the next process.",
		}, []string{"channel", "state"}),
		refunded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_verifications_refunded_total", Help: "Verifications refunded because no message was sent.",
		}),
		early: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_receipts_early_total", Help: "Receipts without a known message: before the carrier's response, for an archived or foreign message, or with a differently formatted id.",
		}),
		alarms: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_credential_alarms_total", Help: "Alarms for 20 requests with wrong credentials to one account in an hour.",
		}),
		capped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_cap_hits_total", Help: "Starts, messages and checks that were refused by a cap on their number, or that reached it, by cap.",
		}, []string{"cap"}),
		lateness: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "countersign_step_lateness_seconds", Help: "Delay of steps after their scheduled time.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 30, 300},
		}),
	}
	queued := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "countersign_messages_queued", Help: "Messages in flight to carriers on this server; above 4096 further requests are refused.",
	}, func() float64 { return float64(len(slots)) })
	reg.MustRegister(queued, m.started, m.ended, m.checks, m.events, m.refunded, m.early, m.alarms, m.capped, m.lateness)
	m.begin(caps)
	return m
}

// begin initializes all counters with known labels to 0.
func (m *metrics) begin(caps []string) {
	for _, status := range []verify.Status{verify.Success, verify.Failed, verify.Cancelled, verify.Expired} {
		m.ended.WithLabelValues(string(status))
	}
	for _, result := range []string{"valid", "invalid", "not_found", "error"} {
		m.checks.WithLabelValues(result)
	}
	for _, channel := range verify.Channels() {
		for _, state := range []verify.EventState{
			verify.EventSubmitting, verify.EventAccepted, verify.EventRefused, verify.EventUnknown, verify.EventExpired, verify.EventDelivered,
		} {
			m.events.WithLabelValues(string(channel.Channel), string(state))
		}
	}
	for _, name := range caps {
		m.capped.WithLabelValues(name)
	}
}

// checked counts a recorded check.
func (m *metrics) checked(valid bool) {
	result := "invalid"
	if valid {
		result = "valid"
	}
	m.checks.WithLabelValues(result).Inc()
}

// checkFailed counts an unrecorded check.
func (m *metrics) checkFailed(err error) {
	result := "error"
	if is(err, verify.KindNotFound) {
		result = "not_found"
	}
	m.checks.WithLabelValues(result).Inc()
}
