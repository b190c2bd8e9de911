package velocity

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/fraud"
	"countersign/internal/verify"
)

// Labels of rules that package fraud does not have.
const (
	rulePremium      = "premium"
	ruleVoiceCountry = string(verify.RuleVoiceCountry)
)

// metrics count decisions and blocks. No label contains a number, a network or an account.
type metrics struct {
	decisions *prometheus.CounterVec // labels: rule, decision
	blocks    *prometheus.CounterVec // labels: rule, action
	places    prometheus.Gauge
	evicted   atomic.Int64
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_fraud_decisions_total",
			Help: "Decisions of fraud rules: refused; would_block, in shadow mode; passed_verified, since the account verified the number before.",
		}, []string{"rule", "decision"}),
		blocks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_fraud_blocks_total", Help: "Blocks made by this node, by rule and action: block, shadow or alert.",
		}, []string{"rule", "action"}),
		places: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "countersign_fraud_places", Help: "Places with counts in memory: networks, prefixes, countries, addresses, ranges of 100 numbers.",
		}),
	}
	evicted := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "countersign_fraud_places_evicted_total", Help: "Places evicted before they expired, to bound the memory.",
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
