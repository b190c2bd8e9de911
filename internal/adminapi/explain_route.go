package adminapi

import (
	"strings"

	"countersign/internal/deliver"
	"countersign/internal/verify"
)

func toExplainedRoute(channel verify.Channel, r deliver.RouteCheck, down map[string]string) ExplainedRoute {
	x := ExplainedRoute{Channel: channel, Conditions: conditions(r.Route), Carriers: r.Carriers, Used: r.Used && len(r.Carriers) > 0}
	if x.Carriers == nil {
		x.Carriers = []string{}
	}
	switch {
	case r.Against != "":
		x.Reason = "for " + r.Against + " only"
	case !r.Used:
		x.Reason = "a more specific route is used"
	case len(r.Carriers) == 0:
		x.Reason = "the route fits, but has no carriers"
	default:
		var states []string
		for _, name := range r.Carriers {
			if state := down[name]; state != "" {
				states = append(states, name+": "+state)
			}
		}
		x.Reason = strings.Join(states, "; ")
	}
	return x
}

// conditions returns the conditions of a route, such as "prefix 4477, channel sms".
func conditions(r deliver.Route) string {
	var list []string
	for _, c := range []struct{ name, value string }{
		{"account", r.Account}, {"sender", r.Sender}, {"network", r.Network}, {"prefix", r.Prefix},
		{"country", r.Country}, {"channel", string(r.Channel)},
	} {
		if c.value != "" {
			list = append(list, c.name+" "+c.value)
		}
	}
	if list == nil {
		return "all"
	}
	return strings.Join(list, ", ")
}
