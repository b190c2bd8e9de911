package apiv1

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// network-unblock is the one call of this API that answers with real HTTP codes, and
// with problems as RFC 9457 has them. Its form is that of version 1.2.4 of the
// published document.

// unblockResponse answers a network that was unblocked.
type unblockResponse struct {
	Network        string `json:"network"`
	UnblockedUntil string `json:"unblocked_until"`
}

// problem is a refusal of network-unblock.
type problem struct {
	Type     string         `json:"type"`
	Title    string         `json:"title"`
	Detail   string         `json:"detail"`
	Instance string         `json:"instance"`
	Invalid  []invalidParam `json:"invalid_parameters,omitempty"`

	code int
}

type invalidParam struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

func (p *problem) Error() string { return p.Detail }

// The longest time that a network can be unblocked for, and that for who does not
// say, in seconds.
const (
	maxUnblock     = 86_400
	defaultUnblock = 3600
)

// unblock serves /verify/network-unblock.
func (a *API) unblock(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		refuseUnblock(w, &problem{
			code: http.StatusMethodNotAllowed, Type: "https://developer.vonage.com/api-errors#method-not-allowed", Title: "Method Not Allowed",
			Detail: "Method not allowed: " + r.Method,
		})
		return
	}
	a.serveCoded(w, r, coded{"network-unblock", unblockParams(), http.StatusAccepted, a.unblockNetwork, func(c *exchange, err error) (int, any) {
		p := a.problemOf(c, err)
		p.Instance = newInstance()
		return p.code, p
	}})
}

func refuseUnblock(w http.ResponseWriter, p *problem) {
	p.Instance = newInstance()
	writeAnswer(w, formatJSON, p.code, p)
}

// newInstance names a refusal, so that it can be asked about.
func newInstance() string { return verify.NewID(rand.Reader).String() }

func (a *API) unblockNetwork(ctx context.Context, c *exchange) (any, error) {
	if !c.account.Settings.Fraud.Unblock {
		return nil, &problem{
			code: http.StatusForbidden, Type: "https://developer.vonage.com/api-errors#forbidden", Title: "Forbidden",
			Detail: "Your account does not have permission to perform this action.",
		}
	}
	network, seconds, err := c.unblockParams()
	if err != nil {
		return nil, err
	}
	until, err := a.cfg.Velocity.Unblock(ctx, c.account, network, time.Duration(seconds)*time.Second)
	if errors.Is(err, store.ErrNoBlock) {
		return nil, &problem{
			code: http.StatusNotFound, Type: "https://developer.vonage.com/api-errors#not-found", Title: "Not Found",
			Detail: "The network you provided does not have an active block.",
		}
	}
	if err != nil {
		return nil, err
	}
	return unblockResponse{network, until.UTC().Truncate(time.Second).Format(time.RFC3339)}, nil
}

// unblockParams reads what is to be unblocked, and for how long. The document calls
// the time unblock_duration, one SDK duration.
func (c *exchange) unblockParams() (network string, seconds int, err error) {
	const maxNetwork = 64
	var bad []invalidParam
	network = c.params.get("network")
	switch {
	case network == "":
		bad = append(bad, invalidParam{"network", "is required"})
	case len(network) > maxNetwork || !printable(network):
		bad = append(bad, invalidParam{"network", "must be the network of the answer with status 7"})
	}
	name := "unblock_duration"
	if c.params.get(name) == "" && c.params.get("duration") != "" {
		name = "duration"
	}
	if seconds, err = c.integer(name, defaultUnblock, 0, maxUnblock); err != nil {
		bad = append(bad, invalidParam{name, "must be a whole number of seconds from 0 to 86400"})
	}
	if len(bad) > 0 {
		return "", 0, invalidProblem(bad...)
	}
	return network, seconds, nil
}

func invalidProblem(bad ...invalidParam) *problem {
	return &problem{
		code: http.StatusUnprocessableEntity, Type: "https://developer.vonage.com/api-errors#invalid-params", Title: "Invalid params.",
		Detail: "The value of one or more parameters is invalid.", Invalid: bad,
	}
}

// problemOf gives a refusal, or a failure, in the words of this call.
func (a *API) problemOf(c *exchange, err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	refusal, ok := errors.AsType[*verify.Error](err)
	if !ok {
		refusal = a.failed(c, err)
	}
	switch refusal.Kind {
	case verify.KindThrottled:
		return &problem{
			code: http.StatusTooManyRequests, Type: "https://developer.vonage.com/api-errors#throttled", Title: "Rate Limit Hit",
			Detail: "Please wait, then retry your request",
		}
	case verify.KindBadCredentials:
		return unauthorized()
	case verify.KindMissingParameter:
		if refusal.Param == "api_key" || refusal.Param == "api_secret" {
			return unauthorized()
		}
		return invalidProblem(invalidParam{refusal.Param, "is required"})
	case verify.KindInvalidParameter:
		return invalidProblem(invalidParam{refusal.Param, shortened(cmp.Or(refusal.Reason, "cannot be used"), maxReason)})
	}
	return &problem{
		code: http.StatusInternalServerError, Type: "https://developer.vonage.com/api-errors#internal-error", Title: "Internal Error",
		Detail: "There was an error processing your request in the Platform.",
	}
}

func unauthorized() *problem {
	return &problem{
		code: http.StatusUnauthorized, Type: "https://developer.vonage.com/api-errors#unauthorized", Title: "Unauthorized",
		Detail: "You did not provide correct credentials.",
	}
}
