package deliver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/verify"
)

// Route assigns carriers to the destinations that meet all its nonempty conditions.
type Route struct {
	Account string // API key
	Sender  string // requested by the application
	Network string // name of a [Network]
	Prefix  string // first digits of a phone number
	Country string // ISO 3166-1 alpha-2
	Channel verify.Channel

	Carriers []string // in the order of use; empty means that messages are not delivered

	// Weights distributes the messages: each carrier is first for its weight out of the
	// sum of all weights, followed by the others in order. Without weights the order is
	// always Carriers.
	Weights []int
}

// Network is a set of phone numbers with the same first digits, such as the numbers of
// one operator.
type Network struct {
	Name     string
	Prefixes []string
}

// RouterConfig is the configuration of a [Router].
type RouterConfig struct {
	Routes   []Route
	Networks []Network
	Carriers map[string]Carrier
	Now      func() time.Time      // time.Now if nil
	Metrics  prometheus.Registerer // no metrics if nil
	// Protocols maps carrier names to their protocols, for metric labels.
	Protocols map[string]string

	// RequireMedia makes a call without evidence of a listener
	// ([verify.EventAnswered]) a failure; see [Router.Failed].
	RequireMedia bool
}

// sendTimeout limits one [Carrier.Send].
const sendTimeout = 10 * time.Second

// Router selects the carrier for each message and tracks the health of the carriers.
type Router struct {
	routes   []*route  // most specific first
	networks []network // longest prefix first
	carriers map[string]Carrier
	health   map[string]*health
	now      func() time.Time
	metrics  *metrics

	requireMedia bool
}

type network struct{ prefix, name string }

// NewRouter returns a router. It returns an error if a route has an unknown carrier or
// network, or a wrong number of weights.
func NewRouter(cfg RouterConfig) (*Router, error) {
	r := &Router{
		carriers: cfg.Carriers, health: map[string]*health{}, now: cfg.Now, metrics: newMetrics(cfg.Metrics),
		requireMedia: cfg.RequireMedia,
	}
	if r.now == nil {
		r.now = time.Now
	}
	for name := range cfg.Carriers {
		r.health[name] = &health{}
	}
	if cfg.Metrics != nil {
		r.metrics.begin(cfg.Metrics, r, cfg.Protocols)
	}
	names := map[string]bool{"": true}
	for _, n := range cfg.Networks {
		names[n.Name] = true
		for _, prefix := range n.Prefixes {
			r.networks = append(r.networks, network{prefix, n.Name})
		}
	}
	slices.SortStableFunc(r.networks, func(a, b network) int { return cmp.Compare(len(b.prefix), len(a.prefix)) })
	for _, conf := range cfg.Routes {
		if !names[conf.Network] {
			return nil, fmt.Errorf("route for network %q: unknown network", conf.Network)
		}
		for _, name := range conf.Carriers {
			if cfg.Carriers[name] == nil {
				return nil, fmt.Errorf("route for prefix %q: unknown carrier %q", conf.Prefix, name)
			}
		}
		if conf.Weights != nil && len(conf.Weights) != len(conf.Carriers) {
			return nil, fmt.Errorf("route for prefix %q: %d weights for %d carriers", conf.Prefix, len(conf.Weights), len(conf.Carriers))
		}
		r.routes = append(r.routes, &route{Route: conf, credit: make([]int, len(conf.Carriers))})
	}
	slices.SortStableFunc(r.routes, func(a, b *route) int { return a.compare(b) })
	return r, nil
}

// route is a Route with the state of its weighted selection.
type route struct {
	Route

	mu     sync.Mutex
	credit []int // per carrier, for smooth weighted round-robin
}

// compare orders more specific routes first: account and sender precede conditions on
// the destination, and longer prefixes precede shorter ones.
func (r *route) compare(other *route) int {
	given := func(s string) int { return min(len(s), 1) }
	return cmp.Or(
		cmp.Compare(given(other.Account), given(r.Account)),
		cmp.Compare(given(other.Sender), given(r.Sender)),
		cmp.Compare(given(other.Network), given(r.Network)),
		cmp.Compare(len(other.Prefix), len(r.Prefix)),
		cmp.Compare(given(other.Country), given(r.Country)),
		cmp.Compare(given(string(other.Channel)), given(string(r.Channel))),
	)
}

func (r *route) fits(to Destination, network string) bool { return r.misfit(to, network) == "" }

// misfit returns the first condition of the route that a destination does not meet; ""
// if it meets all.
func (r *route) misfit(to Destination, network string) string {
	switch {
	case r.Account != "" && r.Account != to.Account:
		return "account " + r.Account
	case r.Sender != "" && r.Sender != to.Sender:
		return "sender " + r.Sender
	case r.Network != "" && r.Network != network:
		return "network " + r.Network
	case r.Prefix != "" && !strings.HasPrefix(to.To.Number(), r.Prefix):
		return "prefix " + r.Prefix
	case r.Country != "" && r.Country != to.To.Country:
		return "country " + r.Country
	case r.Channel != "" && r.Channel != to.Channel:
		return "channel " + string(r.Channel)
	}
	return ""
}

// next returns the carriers in the order of use. With weights the first one follows a
// smooth weighted round-robin: the shares are exact over each sum of the weights.
func (r *route) next() []string {
	if r.Weights == nil {
		return r.Carriers
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	best, sum := 0, 0
	for i, w := range r.Weights {
		r.credit[i] += w
		sum += w
		if r.credit[i] > r.credit[best] {
			best = i
		}
	}
	r.credit[best] -= sum
	order := []string{r.Carriers[best]}
	for i, name := range r.Carriers {
		if i != best && r.Weights[i] > 0 {
			order = append(order, name)
		}
	}
	return order
}

// Routable reports whether the route of a destination has a carrier.
func (r *Router) Routable(to Destination) bool {
	route := r.find(to)
	return route != nil && len(route.Carriers) > 0
}

// RouteCheck is a route and the result of its comparison with a destination.
type RouteCheck struct {
	Route
	Used    bool   // the route applies to the destination
	Against string // first condition that the destination does not meet; "" if it meets all
}

// Check compares every route with a destination, most specific first. The first match
// is used, even without carriers.
func (r *Router) Check(to Destination) []RouteCheck {
	used, network := r.find(to), r.Network(to.To.Number())
	checks := make([]RouteCheck, len(r.routes))
	for i, route := range r.routes {
		checks[i] = RouteCheck{route.Route, route == used, route.misfit(to, network)}
	}
	return checks
}

// Network returns the name of a number's network; "" if it is unknown.
func (r *Router) Network(number string) string {
	for _, n := range r.networks {
		if strings.HasPrefix(number, n.prefix) {
			return n.name
		}
	}
	return ""
}

func (r *Router) find(to Destination) *route {
	name := r.Network(to.To.Number())
	for _, route := range r.routes {
		if route.fits(to, name) {
			return route
		}
	}
	return nil
}

// choose returns the carriers for a message in the order of use: carriers that are not
// marked down, marked down carriers, and carriers in m.Tried.
func (r *Router) choose(m Message) []string {
	route := r.find(m.Destination())
	if route == nil {
		return nil
	}
	order := slices.DeleteFunc(slices.Clone(route.next()), func(name string) bool { return slices.Contains(m.Refused, name) })
	rank := make(map[string]int, len(order))
	now := r.now()
	for _, name := range order {
		if r.health[name].down(now) {
			rank[name] = 1
		}
		if slices.Contains(m.Tried, name) {
			rank[name] = 2
		}
	}
	slices.SortStableFunc(order, func(a, b string) int { return cmp.Compare(rank[a], rank[b]) })
	return order
}

// CarrierError is the error of a carrier that did not accept a message.
type CarrierError struct {
	Carrier string
	Err     error
}

func (e *CarrierError) Error() string { return fmt.Sprintf("carrier %s: %v", e.Carrier, e.Err) }

// Unwrap returns the error of [Carrier.Send].
func (e *CarrierError) Unwrap() error { return e.Err }

// Refusers returns the carriers that refused the message, from an error of
// [Router.Send].
func Refusers(err error) []string {
	switch e := err.(type) { //nolint:errorlint // walks the tree of errors
	case *CarrierError:
		if errors.Is(e.Err, ErrRefused) {
			return []string{e.Carrier}
		}
	case interface{ Unwrap() []error }:
		var names []string
		for _, part := range e.Unwrap() {
			names = append(names, Refusers(part)...)
		}
		return names
	}
	return nil
}

// Failures returns the failed attempts in an error of [Router.Send], in order, each
// with its carrier and [Reason].
func Failures(err error) []verify.Failure {
	switch e := err.(type) { //nolint:errorlint // walks the tree of errors
	case nil:
	case *CarrierError:
		var list []verify.Failure
		if tried, ok := errors.AsType[*triedError](e.Err); ok {
			list = failuresOf(e.Carrier, tried.before)
		}
		return append(list, failure(e.Carrier, e.Err))
	case interface{ Unwrap() []error }:
		var list []verify.Failure
		for _, part := range e.Unwrap() {
			list = append(list, Failures(part)...)
		}
		return list
	case *unclearError:
		return append(Failures(errors.Join(e.before...)), Failures(e.CarrierError)...)
	}
	return nil
}

func failure(carrier string, err error) verify.Failure {
	f := verify.Failure{Carrier: carrier, Error: Reason(err)}
	if text := words(err); text != f.Error {
		f.Text = text
	}
	return f
}

func failuresOf(carrier string, errs []error) (list []verify.Failure) {
	for _, err := range errs {
		list = append(list, failure(carrier, err))
	}
	return list
}

// Tried adds the errors of earlier attempts within the carrier to err. Only [Failures]
// returns them.
func Tried(err error, before []error) error {
	if err == nil || len(before) == 0 {
		return err
	}
	return &triedError{err, before}
}

type triedError struct {
	error
	before []error
}

// Unwrap returns the failure of the last attempt.
func (e *triedError) Unwrap() error { return e.error }

// unclearError is the failure that ended [Router.Send] because the message may have
// been sent. Earlier failures are not unwrapped, since they are not the outcome.
type unclearError struct {
	*CarrierError
	before []error
}

func (e *unclearError) Error() string {
	return fmt.Sprintf("%v (before: %v)", e.CarrierError, e.before)
}

// Unwrap returns the last failure.
func (e *unclearError) Unwrap() error { return e.CarrierError }

// Reason returns the reason of a failed attempt: the [Code] of err, or without one the
// text of err without the texts of [ErrRefused] and [ErrNotSent].
func Reason(err error) string {
	if code := Code(err); code != "" {
		return code
	}
	return words(err)
}

// words returns the text of err without the texts of [ErrRefused], [ErrNotSent] and the
// errors that wrap them.
func words(err error) string {
	text := err.Error()
	for _, class := range []error{ErrTooManyThere, ErrNumber, ErrRefused, ErrNotSent} {
		text = strings.TrimPrefix(text, class.Error()+": ")
	}
	return text
}

// Code returns the carrier's code in err with its name, such as
// "ESME_RINVDSTADR (0x0B)", "503 Service Unavailable" or "HTTP 400"; "" if err wraps no
// error that implements Code() string.
func Code(err error) string {
	if coded, ok := errors.AsType[interface {
		error
		Code() string
	}](err); ok {
		return coded.Code()
	}
	return ""
}

// Send submits m to the first carrier of its route that accepts it. It fails over on
// ErrRefused and ErrNotSent. Any other error stops it, since the message may have been
// sent; the error then wraps a [*CarrierError] with the carrier. Without a route it
// returns ErrNoRoute.
func (r *Router) Send(ctx context.Context, m Message) (Submission, error) {
	names := r.choose(m)
	switch {
	case len(names) == 0 && len(m.Refused) > 0:
		return Submission{}, ErrRefused
	case len(names) == 0:
		return Submission{}, ErrNoRoute
	}
	var refusals []error
	for _, name := range names {
		sub, err := r.sendVia(ctx, name, m)
		if err == nil {
			sub.Carrier, sub.Failures = name, append(Failures(errors.Join(refusals...)), failuresOf(name, sub.Failed)...)
			return sub, nil
		}
		failure := &CarrierError{name, err}
		if !errors.Is(err, ErrRefused) && !errors.Is(err, ErrNotSent) {
			if len(refusals) > 0 {
				return Submission{}, &unclearError{failure, refusals}
			}
			return Submission{}, failure
		}
		refusals = append(refusals, failure)
	}
	return Submission{}, errors.Join(refusals...)
}

// sendVia submits m to the carrier name, within sendTimeout, and records the outcome in
// its metrics and health.
func (r *Router) sendVia(ctx context.Context, name string, m Message) (Submission, error) {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	began := time.Now()
	sub, err := r.carriers[name].Send(ctx, m)
	r.metrics.submitted(name, m.Channel, time.Since(began), err)
	r.health[name].answered(err)
	if !errors.Is(err, ErrNumber) && !errors.Is(err, ErrTooManyThere) { // not caused by the carrier
		r.health[name].sent(r.now(), err == nil)
	}
	return sub, err
}

// Failed reports whether an event in a state counts against its carrier and, if the
// account is so configured, makes the next event due immediately.
func (r *Router) Failed(state verify.EventState) bool {
	return (verify.Event{State: state}).Failed() || state == verify.EventAnswered && r.requireMedia
}

// Reported records the outcome of a message that a carrier accepted. A call that was
// answered without evidence of a listener has no effect on the carrier's health,
// unless media is required.
func (r *Router) Reported(rec Receipt) {
	r.metrics.reported(rec)
	if h := r.health[rec.Carrier]; h != nil && (rec.State == verify.EventDelivered || r.Failed(rec.State)) {
		h.reported(r.now(), rec.State == verify.EventDelivered)
	}
}

func (r *Router) statusOf(name string) CarrierStatus {
	if c, ok := r.carriers[name].(interface{ Status() CarrierStatus }); ok {
		return c.Status()
	}
	return CarrierStatus{}
}

// up reports whether a carrier can accept messages: one of its sending sessions is up.
// For a carrier without sessions, the last message got an answer, or there was no
// message.
func (r *Router) up(name string) bool {
	binds := r.statusOf(name).Binds
	if len(binds) == 0 {
		return r.health[name].answers()
	}
	return slices.ContainsFunc(binds, func(b BindStatus) bool { return b.Up && !b.ReceiveOnly })
}

// Status returns the status of all carriers, sorted by name.
func (r *Router) Status() []CarrierStatus {
	var list []CarrierStatus
	for _, name := range slices.Sorted(maps.Keys(r.carriers)) {
		s := r.statusOf(name)
		s.Name = name
		s.Down = r.health[name].marked()
		list = append(list, s)
	}
	return list
}
