package refusal

import "github.com/prometheus/client_golang/prometheus"

// metrics count the refusals without a complete record.
type metrics struct{ folded, dropped prometheus.Counter }

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		folded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_refusals_folded_total", Help: "Refused starts recorded without their number, because the hour had too many.",
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_refusals_dropped_total", Help: "Refused starts that were not recorded, because too many waited for the database.",
		}),
	}
	reg.MustRegister(m.folded, m.dropped)
	return m
}
