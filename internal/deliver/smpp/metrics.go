package smpp

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/deliver/smpp/pdu"
)

// metrics are the metrics of one carrier, labeled with its name.
type metrics struct {
	responses *prometheus.CounterVec // labeled by status
	seconds   prometheus.Histogram
	received  *prometheus.CounterVec // labeled by kind
	late      prometheus.Counter
	astray    prometheus.Counter
	stray     prometheus.Counter
	unusable  prometheus.Counter
	ok        prometheus.Counter // responses with ESME_ROK, cached
}

func newMetrics(reg prometheus.Registerer, c *Carrier) *metrics {
	reg = prometheus.WrapRegistererWith(prometheus.Labels{"carrier": c.cfg.Name}, reg)
	m := &metrics{
		responses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_smpp_submissions_total", Help: "submit_sm by the status of the response, or none: timeout, lost, malformed, not_written.",
		}, []string{"status"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "countersign_smpp_response_duration_seconds", Help: "Time from submit_sm to its response.",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_smpp_pdus_received_total", Help: "deliver_sm and data_sm by kind: receipt, unreadable, turned away, message, or receipt in message.",
		}, []string{"kind"}),
		late: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_smpp_late_responses_total", Help: "Responses after their timeout.",
		}),
		astray: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_smpp_astray_receipts_total", Help: "Receipts that arrived over another address than their message id.",
		}),
		stray: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_smpp_stray_responses_total", Help: "Responses without a pending request: duplicates and wrong sequence numbers.",
		}),
		unusable: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_smpp_unusable_binds_total", Help: "Sessions closed because the SMSC no longer accepted messages on them.",
		}),
	}
	for _, status := range []string{"timeout", "lost", "malformed", "not_written"} {
		m.responses.WithLabelValues(status)
	}
	for _, kind := range []string{"receipt", "unreadable", "turned away", "message", "receipt in message"} {
		m.received.WithLabelValues(kind)
	}
	m.ok = m.responses.WithLabelValues(pdu.StatusOK.Name())
	gauge := func(name, help string, read func(deliverStatus) float64) prometheus.GaugeFunc {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return read(c.Status()) })
	}
	reg.MustRegister(m.responses, m.seconds, m.received, m.late, m.astray, m.stray, m.unusable,
		gauge("countersign_smpp_binds", "Binds that are up.", func(s deliverStatus) float64 { return float64(s.Up()) }),
		gauge("countersign_smpp_inflight_messages", "Submitted messages without a response.", func(s deliverStatus) float64 { return float64(s.InFlight) }),
		gauge("countersign_smpp_rate_limit_messages_per_second", "Current rate limit, lower than configured after a status of class throttled; 0 for no limit.", func(s deliverStatus) float64 { return s.Rate }),
	)
	return m
}

func (m *metrics) submitted(took time.Duration, status pdu.Status, err error) {
	if err == nil {
		m.seconds.Observe(took.Seconds())
		if status == pdu.StatusOK {
			m.ok.Inc()
			return
		}
	}
	label := "not_written"
	switch {
	case err == nil:
		label = status.Name()
	case errors.Is(err, errTimeout):
		label = "timeout"
	case errors.Is(err, errLost):
		label = "lost"
	case errors.Is(err, errMalformed):
		label = "malformed"
	}
	m.responses.WithLabelValues(label).Inc()
}

func (m *metrics) incoming(kind string) { m.received.WithLabelValues(kind).Inc() }
