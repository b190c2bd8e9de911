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
	"countersign/internal/web"
)

// network-unblock responds with HTTP codes. Its refusals are problems as in version 1.2.4 of the
// published document: with media type application/json and without the member status.

// unblockResponse is the response to an unblocked network.
type unblockResponse struct {
	Network        string `json:"network"`
	UnblockedUntil string `json:"unblocked_until"`
}

// Maximum and default of unblock_duration, in seconds.
const (
	maxUnblock     = 86_400
	defaultUnblock = 3600
)

// refuseUnblock returns the HTTP code and the problem of a refusal.
func (a *API) refuseUnblock(c *exchange, err error) (code int, body any) {
	p := *a.problemOf(c, err)
	code, p.Status = p.Status, 0
	p.Instance = verify.NewID(rand.Reader).String()
	return code, p
}

// unblockNetwork serves POST /verify/network-unblock.
func (a *API) unblockNetwork(ctx context.Context, c *exchange) (any, error) {
	if !c.account.Settings.Fraud.Unblock {
		return nil, vonageProblem(http.StatusForbidden, "forbidden", "Forbidden", "Your account does not have permission to perform this action.")
	}
	network, seconds, err := c.unblockParams()
	if err != nil {
		return nil, err
	}
	until, err := a.cfg.Velocity.Unblock(ctx, c.account, network, time.Duration(seconds)*time.Second)
	if errors.Is(err, store.ErrNoBlock) {
		return nil, vonageProblem(http.StatusNotFound, "not-found", "Not Found", "The network you provided does not have an active block.")
	}
	if err != nil {
		return nil, err
	}
	return unblockResponse{network, until.UTC().Truncate(time.Second).Format(time.RFC3339)}, nil
}

// unblockParams returns the network and the duration in seconds. The document names the
// duration unblock_duration, one SDK duration.
func (c *exchange) unblockParams() (network string, seconds int, err error) {
	const maxNetwork = 64
	var bad []web.InvalidParameter
	network = c.params.get("network")
	switch {
	case network == "":
		bad = append(bad, web.InvalidParameter{Name: "network", Reason: "is required"})
	case len(network) > maxNetwork || !printable(network):
		bad = append(bad, web.InvalidParameter{Name: "network", Reason: "must be the network of the answer with status 7"})
	}
	name := "unblock_duration"
	if c.params.get(name) == "" && c.params.get("duration") != "" {
		name = "duration"
	}
	if seconds, err = c.integer(name, defaultUnblock, 0, maxUnblock); err != nil {
		bad = append(bad, web.InvalidParameter{Name: name, Reason: "must be a whole number of seconds from 0 to 86400"})
	}
	if len(bad) > 0 {
		return "", 0, invalidProblem(bad...)
	}
	return network, seconds, nil
}

func invalidProblem(bad ...web.InvalidParameter) *web.Problem {
	p := vonageProblem(http.StatusUnprocessableEntity, "invalid-params", "Invalid params.", "The value of one or more parameters is invalid.")
	p.Parameters = bad
	return p
}

// problemOf returns the problem of a refusal or a failure. Its status is the HTTP code.
func (a *API) problemOf(c *exchange, err error) *web.Problem {
	if p, ok := errors.AsType[*web.Problem](err); ok {
		return p
	}
	if errors.Is(err, web.ErrMethod) {
		return vonageProblem(http.StatusMethodNotAllowed, "method-not-allowed", "Method Not Allowed", methodText(c.r))
	}
	refusal, ok := errors.AsType[*verify.Error](err)
	if !ok {
		refusal = c.failed(err)
	}
	switch refusal.Kind {
	case verify.KindThrottled:
		return vonageProblem(http.StatusTooManyRequests, "throttled", "Rate Limit Hit", "Please wait, then retry your request")
	case verify.KindBadCredentials:
		return unauthorized()
	case verify.KindMissingParameter:
		if refusal.Param == "api_key" || refusal.Param == "api_secret" {
			return unauthorized()
		}
		return invalidProblem(web.InvalidParameter{Name: refusal.Param, Reason: "is required"})
	case verify.KindInvalidParameter:
		return invalidProblem(web.InvalidParameter{Name: refusal.Param, Reason: shortened(cmp.Or(refusal.Reason, "cannot be used"), maxReason)})
	}
	return vonageProblem(http.StatusInternalServerError, "internal-error", "Internal Error", "There was an error processing your request in the Platform.")
}

func unauthorized() *web.Problem {
	return vonageProblem(http.StatusUnauthorized, "unauthorized", "Unauthorized", "You did not provide correct credentials.")
}

// vonageProblem returns a problem of a type in the published document.
func vonageProblem(status int, kind, title, detail string) *web.Problem {
	return &web.Problem{Status: status, Type: "https://developer.vonage.com/api-errors#" + kind, Title: title, Detail: detail}
}
