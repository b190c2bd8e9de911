package deliver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"countersign/internal/verify"
)

// Route says which carriers take messages to the numbers that begin with Prefix.
type Route struct {
	Prefix   string         // digits of the number; "" matches all
	Channel  verify.Channel // "" matches all
	Carriers []string       // in the order to try them; none means: not delivered
}

// Router chooses the carrier for each message. It does not change once made.
type Router struct {
	routes   []Route // the most specific first
	carriers map[string]Carrier
}

// NewRouter checks that every route names carriers that exist.
func NewRouter(routes []Route, carriers map[string]Carrier) (*Router, error) {
	for _, r := range routes {
		for _, name := range r.Carriers {
			if carriers[name] == nil {
				return nil, fmt.Errorf("route for prefix %q: no carrier %q", r.Prefix, name)
			}
		}
	}
	routes = slices.Clone(routes)
	slices.SortStableFunc(routes, func(a, b Route) int {
		return cmp.Or(
			cmp.Compare(len(b.Prefix), len(a.Prefix)),
			// A route for one channel is more specific than one for all.
			cmp.Compare(len(b.Channel), len(a.Channel)),
		)
	})
	return &Router{routes, carriers}, nil
}

// Routable reports whether any carrier takes messages to number.
func (r *Router) Routable(channel verify.Channel, number string) bool {
	return len(r.choose(channel, number)) > 0
}

// Send hands m to the first carrier of its route that accepts it. A carrier that
// refuses, or cannot send, is followed by the next; any other failure ends the
// attempt, since the message may have gone out.
func (r *Router) Send(ctx context.Context, m Message) (Submission, error) {
	names := r.choose(m.Channel, m.To)
	if len(names) == 0 {
		return Submission{}, ErrNoRoute
	}
	var refusals []error
	for _, name := range names {
		sub, err := r.carriers[name].Send(ctx, m)
		if err == nil {
			sub.Carrier = name
			return sub, nil
		}
		err = fmt.Errorf("carrier %s: %w", name, err)
		if !errors.Is(err, ErrRefused) && !errors.Is(err, ErrNotSent) {
			// What those before said must not be taken for the outcome.
			if len(refusals) > 0 {
				err = fmt.Errorf("%w (before: %v)", err, refusals)
			}
			return Submission{}, err
		}
		refusals = append(refusals, err)
	}
	return Submission{}, errors.Join(refusals...)
}

func (r *Router) choose(channel verify.Channel, number string) []string {
	for _, route := range r.routes {
		if strings.HasPrefix(number, route.Prefix) && (route.Channel == "" || route.Channel == channel) {
			return route.Carriers
		}
	}
	return nil
}
