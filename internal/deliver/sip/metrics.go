package sip

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the metrics of one trunk; register adds its name as a label.
type metrics struct {
	calls    *prometheus.CounterVec // calls, by outcome
	answered prometheus.Counter
	unheard  prometheus.Counter
	packets  prometheus.Counter
	late     prometheus.Counter
	mos      prometheus.Histogram
	extra    prometheus.Counter
	dropped  *prometheus.CounterVec // packets, by reason

	registered prometheus.Gauge
	refusals   *prometheus.CounterVec // failed registrations, by reason
}

func newMetrics() *metrics {
	m := &metrics{
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_sip_packets_dropped_total",
			Help: "SIP packets dropped before parsing, by reason: unknown source, over the rate limit, or too many transactions.",
		}, []string{"reason"}),
		extra: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_sip_extra_answers_total", Help: "Answers beyond the first, or after a CANCEL, that were ended with a BYE.",
		}),
		registered: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "countersign_sip_registration_up", Help: "1 if the last REGISTER succeeded, otherwise 0.",
		}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_sip_registration_failures_total", Help: "Failed REGISTER requests, by status or \"no response\".",
		}, []string{"reason"}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_sip_calls_total", Help: "Finished calls, by outcome.",
		}, []string{"outcome"}),
		answered: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_sip_call_answered_seconds_total", Help: "Total duration of answered calls.",
		}),
		unheard: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_sip_unheard_calls_total",
			Help: "Answered calls without evidence that our audio arrived: no RTP or RTCP received, or ended within 1 s.",
		}),
		packets: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_sip_rtp_packets_total", Help: "RTP packets sent.",
		}),
		late: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_sip_rtp_packets_late_total", Help: "RTP packets sent more than 10 ms late.",
		}),
		mos: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "countersign_sip_call_quality_mos", Help: "Mean opinion score per call, 1 to 4.5, from RTCP reports of the other side.",
			Buckets: []float64{1, 2, 3, 3.5, 3.8, 4, 4.2, 4.4},
		}),
	}
	for _, outcome := range outcomes() {
		m.calls.WithLabelValues(string(outcome))
	}
	m.refusals.WithLabelValues(noResponse)
	return m
}

// register publishes the metrics of a carrier.
func (m *metrics) register(reg prometheus.Registerer, c *Carrier) {
	reg = prometheus.WrapRegistererWith(prometheus.Labels{"carrier": c.cfg.Name}, reg)
	reg.MustRegister(m.calls, m.answered, m.unheard, m.packets, m.late, m.mos, m.extra, m.dropped,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "countersign_sip_active_calls", Help: "Calls in progress.",
		}, func() float64 { return float64(len(c.limit.slots)) }))
	if c.cfg.Register {
		reg.MustRegister(m.registered, m.refusals)
	}
}

func (m *metrics) ended(r Result) {
	m.calls.WithLabelValues(string(r.Outcome)).Inc()
	m.answered.Add(r.Talked.Seconds())
	if r.Outcome == Answered && !r.Heard {
		m.unheard.Inc()
	}
	m.packets.Add(float64(r.Stats.Sent.Packets))
	m.late.Add(float64(r.Stats.Sent.Late))
	if mos := r.Stats.MOS(); mos > 0 {
		m.mos.Observe(mos)
	}
}
