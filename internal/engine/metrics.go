package engine

import (
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/verify"
)

// metrics count what the engine does. No label holds a number, a code or an
// account.
type metrics struct {
	started  prometheus.Counter
	ended    *prometheus.CounterVec // by status
	checks   *prometheus.CounterVec // by result
	events   *prometheus.CounterVec // by channel and state
	refunded prometheus.Counter
	early    prometheus.Counter     // receipts
	alarms   prometheus.Counter     // of wrong credentials
	capped   *prometheus.CounterVec // by cap
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
			Name: "countersign_events_total", Help: "Messages handed to carriers, by channel and outcome; submitting: not sent, left for the next process.",
		}, []string{"channel", "state"}),
		refunded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_verifications_refunded_total", Help: "Verifications that were given their price back, since nothing of them ever left.",
		}),
		early: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_receipts_early_total", Help: "Receipts without a known message: faster than the carrier's answer, of a message that is archived or not ours, or with an id in another form.",
		}),
		alarms: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_credential_alarms_total", Help: "Times that an account had 20 requests with wrong credentials in an hour.",
		}),
		capped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_cap_hits_total", Help: "Starts, messages and checks that a cap on their number refused, or that filled one, by cap.",
		}, []string{"cap"}),
		lateness: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "countersign_step_lateness_seconds", Help: "How long after its time a step was taken.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 30, 300},
		}),
	}
	queued := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "countersign_messages_queued", Help: "Messages on their way to a carrier on this server; above 4096 new ones are refused.",
	}, func() float64 { return float64(len(slots)) })
	reg.MustRegister(queued, m.started, m.ended, m.checks, m.events, m.refunded, m.early, m.alarms, m.capped, m.lateness)
	m.begin(caps)
	return m
}

// begin lets the counters with known labels start at 0.
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

// checked counts a check that was recorded.
func (m *metrics) checked(valid bool) {
	result := "invalid"
	if valid {
		result = "valid"
	}
	m.checks.WithLabelValues(result).Inc()
}

// checkFailed counts a check that was not recorded.
func (m *metrics) checkFailed(err error) {
	result := "error"
	if is(err, verify.KindNotFound) {
		result = "not_found"
	}
	m.checks.WithLabelValues(result).Inc()
}
