package retention

import "github.com/prometheus/client_golang/prometheus"

// metrics count what this node has put away, and tell how far behind it is.
type metrics struct {
	archived, redacted, carried, destroyed prometheus.Counter

	oldest, suspended prometheus.Gauge
}

// suspend sets the gauge of the suspension.
func (m *metrics) suspend(yes bool) {
	m.suspended.Set(0)
	if yes {
		m.suspended.Set(1)
	}
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		archived: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_retention_verifications_archived_total", Help: "Verifications moved to the archive, their codes destroyed.",
		}),
		redacted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_retention_verifications_redacted_total", Help: "Archived verifications whose number was taken out.",
		}),
		carried: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_retention_ledger_entries_carried_total", Help: "Entries of the ledger folded into a carried sum.",
		}),
		destroyed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_retention_keys_destroyed_total", Help: "Data keys destroyed, and with them what they had sealed.",
		}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "countersign_retention_oldest_verification_age_seconds", Help: "Time since the end of the oldest verification that is not in the archive yet; 0 if there is none.",
		}),
		suspended: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "countersign_retention_suspended", Help: "1 while nothing is deleted by age because the clock jumped or is in doubt.",
		}),
	}
	reg.MustRegister(m.archived, m.redacted, m.carried, m.destroyed, m.oldest, m.suspended)
	return m
}
