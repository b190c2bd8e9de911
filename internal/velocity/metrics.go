package velocity

import "github.com/prometheus/client_golang/prometheus"

// metrics count what the rules decide. No label holds a number, a network or an
// account.
type metrics struct {
	decisions *prometheus.CounterVec // by rule and decision
	blocks    *prometheus.CounterVec // by rule and action
	places    prometheus.Gauge
	evicted   prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_fraud_decisions_total",
			Help: "Decisions of the rules against fraud: refused; would_block, in shadow mode; passed_verified, since the number was verified before.",
		}, []string{"rule", "decision"}),
		blocks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_fraud_blocks_total", Help: "Blocks that this node made, by rule and action: block, shadow or alert.",
		}, []string{"rule", "action"}),
		places: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "countersign_fraud_places", Help: "Places that are counted in memory: networks, prefixes, countries, addresses, hundreds of numbers.",
		}),
		evicted: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "countersign_fraud_places_evicted", Help: "Places that were forgotten before their time, to bound the memory.",
		}),
	}
	reg.MustRegister(m.decisions, m.blocks, m.places, m.evicted)
	return m
}
