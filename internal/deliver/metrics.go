package deliver

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/verify"
)

// metrics are the metrics of all carriers. Labels contain no data of messages except
// the channel.
type metrics struct {
	messages *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	receipts *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_carrier_messages_total", Help: "Messages submitted to a carrier, by carrier, channel and result: accepted, refused, not_sent or unclear.",
		}, []string{"carrier", "channel", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "countersign_carrier_submit_duration_seconds", Help: "Time from the submission of a message to the carrier's answer, by carrier.",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"carrier"}),
		receipts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_carrier_receipts_total", Help: "Receipts of a carrier, by the state that they report.",
		}, []string{"carrier", "state"}),
	}
	if reg != nil {
		reg.MustRegister(m.messages, m.seconds, m.receipts)
	}
	return m
}

// begin registers the gauges of each carrier and initializes its counters to 0.
func (m *metrics) begin(reg prometheus.Registerer, r *Router, protocols map[string]string) {
	for name := range r.carriers {
		carrier := prometheus.Labels{"carrier": name}
		reg.MustRegister(
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "countersign_carrier_up", Help: "1 if the carrier can accept messages, otherwise 0: an SMPP bind for submission is up, or a SIP trunk with register is registered. Without a session: the last message got an answer.",
				ConstLabels: prometheus.Labels{"carrier": name, "protocol": protocols[name]},
			}, func() float64 { return number(r.up(name)) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "countersign_carrier_marked_down", Help: "1 if the carrier is tried last because too many of its messages or receipts failed, otherwise 0.",
				ConstLabels: carrier,
			}, func() float64 { return number(r.health[name].marked()) }),
		)
		for _, channel := range verify.Channels() {
			for _, result := range []string{"accepted", "refused", "not_sent", "unclear"} {
				m.messages.WithLabelValues(name, string(channel.Channel), result)
			}
		}
		for _, state := range []verify.EventState{
			verify.EventAccepted, verify.EventDelivered, verify.EventAnswered, verify.EventHeld,
			verify.EventUndeliverable, verify.EventExpired, verify.EventRejected,
		} {
			m.receipts.WithLabelValues(name, string(state))
		}
		m.seconds.WithLabelValues(name)
	}
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func (m *metrics) submitted(carrier string, channel verify.Channel, took time.Duration, err error) {
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
