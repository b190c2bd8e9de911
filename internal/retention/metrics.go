package retention

import "github.com/prometheus/client_golang/prometheus"

// metrics count the completed work of this node and measure its backlog.
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
			Name: "countersign_retention_verifications_archived_total", Help: "Verifications moved to the archive, with their codes destroyed.",
		}),
		redacted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_retention_verifications_redacted_total", Help: "Archived verifications with their number erased.",
		}),
		carried: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_retention_ledger_entries_carried_total", Help: "Ledger entries rolled up into a carried sum.",
		}),
		destroyed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "countersign_retention_keys_destroyed_total", Help: "Data keys destroyed, so that the data encrypted with them is unreadable.",
		}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "countersign_retention_oldest_verification_age_seconds", Help: "Time since the end of the oldest ended verification outside the archive; 0 without one.",
		}),
		suspended: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "countersign_retention_suspended", Help: "1 while deletion by age is suspended, because the clock jumped or is in doubt.",
		}),
	}
	reg.MustRegister(m.archived, m.redacted, m.carried, m.destroyed, m.oldest, m.suspended)
	return m
}
