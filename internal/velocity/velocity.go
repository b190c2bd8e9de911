// Package velocity runs the velocity rules of package fraud in a server. Package fraud has
// the rules, thresholds and counters; velocity adds the database, the other nodes, the
// clock, the metrics and the log.
//
// A [Watch] decides on a start in memory, without a round trip or a commit. Once a second
// it publishes its counts and blocks in the database and pulls the news of the other nodes.
// A block is in force on all nodes within about a second, and a crash loses the counts of
// at most the last second.
//
// The package does not depend on HTTP, SQL, or the texts and status codes of any API.
package velocity

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/fraud"
	"countersign/internal/store"
	"countersign/internal/task"
	"countersign/internal/verify"
)

// Config configures a Watch. Fields are required unless documented otherwise.
type Config struct {
	Store    *store.DB
	Clock    clockwork.Clock
	Log      *slog.Logger
	Metrics  prometheus.Registerer
	Rules    fraud.Rules
	Networks fraud.Networks

	// Verified reports whether an account verified a number before. If so, a start that a
	// rule other than source refuses is permitted. It is called only for such a start. Nil
	// means always false.
	Verified func(ctx context.Context, account, number string) (bool, error)

	// MayForget reports whether counts and blocks may be deleted by age; false while the
	// clock is unreliable. Nil means always true.
	MayForget func() bool
}

// every is the interval of publishing and pulling counts.
const every = time.Second

// Watch applies the rules on one node. Call New, then Load, then Start. A nil Watch has no
// rules.
type Watch struct {
	cfg     Config
	state   *fraud.State
	metrics *metrics
	runner  *task.Runner

	turn   sync.Mutex // serializes synchronization; guards the fields below
	node   string
	seq    int64
	untold *store.FraudNews // batch that was not stored; nil if none failed
	heard  map[string]int64 // sequence number of the last news read, by node
	readAt time.Time        // blocks changed before this time were read
	// lookedAt is the time of the last comparison with the history.
	lookedAt time.Time
}

// New returns a Watch without counts and blocks; see Load.
func New(cfg Config) *Watch {
	w := &Watch{
		cfg: cfg, state: fraud.NewState(cfg.Rules, cfg.Networks, rand.Reader), metrics: newMetrics(cfg.Metrics),
		node: verify.NewID(rand.Reader).Hex(), heard: map[string]int64{},
	}
	w.runner = task.New(task.Config{Name: "velocity", Clock: cfg.Clock, Log: cfg.Log, Run: w.run, MaxSleep: every})
	return w
}

func (w *Watch) now() time.Time { return w.cfg.Clock.Now().UTC().Truncate(time.Millisecond) }

// Start begins to publish and pull counts, until Stop.
func (w *Watch) Start() { w.runner.Start() }

// Stop ends the synchronization and publishes the last counts. It must not be called before
// Start, and no other method after it.
func (w *Watch) Stop(ctx context.Context) error {
	w.runner.Stop()
	w.turn.Lock()
	defer w.turn.Unlock()
	return w.publish(ctx)
}

// Begin decides about a start. It returns KindBlocked with the blocked network,
// KindUnsupportedNetwork for a number that is premium rate or must not be called, or
// KindThrottled for an address over its limit. The caller must call takeBack if the start
// fails later.
func (w *Watch) Begin(ctx context.Context, account verify.Account, req verify.Request, price verify.Money) (takeBack func(), err error) {
	if w == nil || req.Workflow.Test {
		return func() {}, nil
	}
	if err := w.supported(req); err != nil {
		w.metrics.decisions.WithLabelValues(decisionOf(err.By.Rule), "refused").Inc()
		return nil, err
	}
	a, now := attempt(account, req, price), w.now()
	takeBack = func() { w.state.TakeBack(a, now) }
	d := w.state.Start(a, now)
	if d.Refused == nil {
		w.decided(d)
		return takeBack, nil
	}
	passes, err := w.passes(ctx, d, account.Key, req.To.Canonical)
	if err != nil {
		return nil, err
	}
	if passes {
		w.metrics.decisions.WithLabelValues(string(d.Refused.Rule), "passed_verified").Inc()
		d.Refused = nil
		w.decided(d)
		w.state.Pass(a, now)
		return takeBack, nil
	}
	w.decided(d)
	return nil, refusal(d)
}

// Try returns the decision and the error of Begin, but does not count, block or log.
func (w *Watch) Try(ctx context.Context, account verify.Account, req verify.Request, price verify.Money) (fraud.Decision, error) {
	if w == nil || req.Workflow.Test {
		return fraud.Decision{}, nil
	}
	if err := w.supported(req); err != nil {
		return fraud.Decision{}, err
	}
	d := w.state.Try(attempt(account, req, price), w.now())
	if passes, err := w.passes(ctx, d, account.Key, req.To.Canonical); passes || err != nil {
		d.Refused = nil
		return d, err
	}
	return d, refusal(d)
}

func attempt(account verify.Account, req verify.Request, price verify.Money) fraud.Attempt {
	return fraud.Attempt{
		Account: account.Key, Number: req.To.Number(), Country: req.To.Country, Source: sourceOf(req.Source), Price: price,
		Limits: limitsOf(account),
	}
}

// passes reports whether a refused start is permitted because the account has verified the
// number before.
func (w *Watch) passes(ctx context.Context, d fraud.Decision, account, number string) (bool, error) {
	if d.Refused == nil || d.Refused.Rule == fraud.RuleSource || w.cfg.Verified == nil {
		return false, nil
	}
	return w.cfg.Verified(ctx, account, number)
}

// supported refuses premium-rate numbers and calls to excluded countries.
func (w *Watch) supported(req verify.Request) *verify.Error {
	voice := w.cfg.Rules.Voice
	allowed := slices.ContainsFunc(voice.AllowPrefixes, func(p string) bool { return strings.HasPrefix(req.To.Number(), p) })
	switch {
	case allowed:
		return nil
	case req.Premium:
		return &verify.Error{Kind: verify.KindUnsupportedNetwork, By: verify.Cause{Rule: verify.RulePremium}}
	case req.Workflow.Steps[0].Channel.Spoken() && !w.callable(req.To.Country):
		return &verify.Error{Kind: verify.KindUnsupportedNetwork, By: verify.Cause{Rule: verify.RuleVoiceCountry, Detail: req.To.Country}}
	}
	return nil
}

func (w *Watch) callable(country string) bool {
	countries := w.cfg.Rules.Voice.Countries
	return len(countries) == 0 || slices.Contains(countries, country)
}

// MayCall reports whether a call of a verification may be placed now, and counts it.
func (w *Watch) MayCall(v verify.Verification, to verify.Address) bool {
	if w == nil || v.Workflow.Test {
		return true
	}
	allowed := slices.ContainsFunc(w.cfg.Rules.Voice.AllowPrefixes, func(p string) bool { return strings.HasPrefix(to.Number(), p) })
	if !allowed && !w.callable(to.Country) {
		w.metrics.decisions.WithLabelValues(ruleVoiceCountry, "refused").Inc()
		return false
	}
	d := w.state.Call(v.Account, to.Number(), to.Country, w.now())
	w.decided(d)
	return d.Refused == nil
}

// MayCheck decides about a code from an address, as reported by the application. It returns
// KindThrottled after too many wrong codes from the address.
func (w *Watch) MayCheck(account verify.Account, address string) error {
	if w == nil {
		return nil
	}
	d := w.state.MayCheck(account.Key, sourceOf(address), w.now())
	w.decided(d)
	return refusal(d)
}

// Ended counts finished verifications.
func (w *Watch) Ended(list ...verify.Verification) {
	if w == nil {
		return
	}
	for _, v := range list {
		if !v.Workflow.Test {
			w.state.Ended(v, w.now())
		}
	}
}

// Sent counts an SMS to an address that a carrier accepted.
func (w *Watch) Sent(v verify.Verification, to verify.Address) {
	if w != nil && !v.Workflow.Test {
		w.state.Sent(v, to, w.now())
	}
}

// Failed counts a wrong code from an address; "" if unknown.
func (w *Watch) Failed(v verify.Verification, address string) {
	if w != nil && !v.Workflow.Test {
		w.state.Failed(v, sourceOf(address), w.now())
	}
}

// decided counts a decision, logs each new block, and wakes the runner to publish it.
func (w *Watch) decided(d fraud.Decision) {
	if d.Refused != nil {
		w.metrics.decisions.WithLabelValues(string(d.Refused.Rule), "refused").Inc()
	}
	for _, b := range d.Would {
		w.metrics.decisions.WithLabelValues(string(b.Rule), "would_block").Inc()
	}
	for _, b := range d.Fresh {
		w.log(b)
	}
	if len(d.Fresh) > 0 {
		w.runner.Wake(w.now())
	}
}

func (w *Watch) log(b fraud.Block) {
	w.metrics.blocks.WithLabelValues(string(b.Rule), string(b.Action)).Inc()
	until := "lifted"
	if !b.Until.IsZero() {
		until = b.Until.Format(time.RFC3339)
	}
	value := b.Value
	if b.Kind == fraud.KindSource {
		value = "" // an IP address is personal data
	}
	w.cfg.Log.Warn("fraud rule", "rule", b.Rule, "action", b.Action, "block", b.ID, "account", b.Account, "kind", b.Kind,
		"value", value, "until", until, "repeat", b.Repeat, "starts", b.Figures.Starts, "successes", b.Figures.Successes,
		"finished", b.Figures.Finished, "numbers", b.Figures.Numbers, "limit", b.Figures.Limit)
}

// refusal returns the error of a decision; nil if it permits the start.
func refusal(d fraud.Decision) error {
	b := d.Refused
	if b == nil {
		return nil
	}
	by := verify.Cause{Rule: verify.RuleVelocity, Detail: string(b.Rule), Count: b.Count(), Limit: int64(b.Figures.Limit), Until: b.Until}
	if b.Rule == fraud.RuleSource {
		by.Rule = verify.RuleSource
		return &verify.Error{Kind: verify.KindThrottled, By: by}
	}
	return &verify.Error{Kind: verify.KindBlocked, Network: d.Network, By: by}
}

// decisionOf returns the label of a rule in countersign_fraud_decisions_total.
func decisionOf(rule verify.Rule) string {
	if rule == verify.RulePremium {
		return rulePremium
	}
	return string(rule)
}

func limitsOf(a verify.Account) fraud.Limits {
	return fraud.Limits{Mode: fraud.Mode(a.Settings.Fraud.Mode), Below: a.Settings.Fraud.ConversionBelow, Finished: a.Settings.Fraud.ConversionFinished}
}

// sourceOf returns the form of an IP address that is counted: for IPv6 its /64, since a
// customer has a whole network.
func sourceOf(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	if a = a.Unmap().WithZone(""); a.Is6() {
		p, _ := a.Prefix(64) // never fails
		a = p.Addr()
	}
	return a.String()
}
