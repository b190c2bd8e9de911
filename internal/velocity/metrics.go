package velocity

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/fraud"
	"countersign/internal/verify"
)

// Rules that package fraud does not have, as labels.
const (
	rulePremium      = "premium"
	ruleVoiceCountry = string(verify.RuleVoiceCountry)
)

// metrics count what the rules decide. No label holds a number, a network or an
// account.
type metrics struct {
	decisions *prometheus.CounterVec // by rule and decision
	blocks    *prometheus.CounterVec // by rule and action
	places    prometheus.Gauge
	evicted   atomic.Int64
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
	}
	evicted := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "countersign_fraud_places_evicted_total", Help: "Places that were forgotten before their time, to bound the memory.",
	}, func() float64 { return float64(m.evicted.Load()) })
	for _, rule := range fraud.RuleNames() {
		for _, decision := range []string{"refused", "would_block", "passed_verified"} {
			m.decisions.WithLabelValues(string(rule), decision)
		}
		for _, action := range []fraud.Action{fraud.ActionBlock, fraud.ActionShadow, fraud.ActionAlert} {
			m.blocks.WithLabelValues(string(rule), string(action))
		}
	}
	for _, rule := range []string{rulePremium, ruleVoiceCountry} {
		m.decisions.WithLabelValues(rule, "refused")
	}
	reg.MustRegister(m.decisions, m.blocks, m.places, evicted)
	return m
}
