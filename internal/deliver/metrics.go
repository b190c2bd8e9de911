package deliver

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/verify"
)

// metrics count what carriers do. Their names are all that labels say of a
// message.
type metrics struct {
	messages *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	receipts *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_carrier_messages_total", Help: "Messages handed to a carrier, by what came of it: accepted, refused, not_sent, unclear.",
		}, []string{"carrier", "channel", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "countersign_carrier_seconds", Help: "From handing a message over to the carrier's answer.",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"carrier"}),
		receipts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_carrier_receipts_total", Help: "Receipts of a carrier, by what they say.",
		}, []string{"carrier", "state"}),
	}
	if reg != nil {
		reg.MustRegister(m.messages, m.seconds, m.receipts)
	}
	return m
}

func (m *metrics) handed(carrier string, channel verify.Channel, took time.Duration, err error) {
	result := "unclear"
	switch {
	case err == nil:
		result = "accepted"
	case errors.Is(err, ErrRefused):
		result = "refused"
	case errors.Is(err, ErrNotSent):
		result = "not_sent"
	}
	m.messages.WithLabelValues(carrier, string(channel), result).Inc()
	m.seconds.WithLabelValues(carrier).Observe(took.Seconds())
}

func (m *metrics) reported(r Receipt) {
	m.receipts.WithLabelValues(r.Carrier, string(r.State)).Inc()
}
