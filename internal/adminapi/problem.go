package adminapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"countersign/internal/account"
	"countersign/internal/store"
	"countersign/internal/web"
)

// invalid returns the problem of a parameter.
func invalid(parameter, format string, args ...any) *web.Problem {
	return &web.Problem{Status: http.StatusBadRequest, Parameter: parameter, Detail: fmt.Sprintf(format, args...)}
}

func unauthorized() *web.Problem {
	return &web.Problem{Status: http.StatusUnauthorized, Detail: "missing or unknown token; send Authorization: Bearer TOKEN"}
}

// refusal is the response to an error of the store.
type refusal struct {
	err       error
	status    int
	parameter string
}

// refusals returns the responses to errors of the store.
func refusals() []refusal {
	return []refusal{
		{store.ErrNoAccount, http.StatusNotFound, "key"},
		{store.ErrAccountExists, http.StatusConflict, "key"},
		{store.ErrNoSecret, http.StatusNotFound, "id"},
		{store.ErrSecrets, http.StatusConflict, "secret"},
		{store.ErrSecretExists, http.StatusConflict, "secret"},
		{store.ErrNotApproved, http.StatusNotFound, "number"},
		{store.ErrNoParent, http.StatusConflict, "parent"},
		{store.ErrParent, http.StatusConflict, "parent"},
		{store.ErrOwnBalance, http.StatusConflict, "parent"},
		{store.ErrBalanceRange, http.StatusBadRequest, "amount"},
		{store.ErrNoBlock, http.StatusNotFound, "id"},
		{store.ErrBlockOver, http.StatusConflict, "id"},
	}
}

// problem returns the response to an error.
func (c *exchange) problem(err error) *web.Problem {
	if p, ok := errors.AsType[*web.Problem](err); ok {
		return p
	}
	if setting, ok := errors.AsType[*account.Error](err); ok {
		return invalid(setting.Setting, "%s", setting.Reason)
	}
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &web.Problem{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("the body is larger than %d bytes", large.Limit)}
	}
	for _, r := range refusals() {
		if errors.Is(err, r.err) {
			return &web.Problem{Status: r.status, Parameter: r.parameter, Detail: r.err.Error()}
		}
	}
	switch {
	case errors.Is(err, web.ErrMethod):
		return &web.Problem{Status: http.StatusMethodNotAllowed, Detail: "this path does not support " + c.r.Method}
	case errors.Is(err, store.ErrOverloaded), errors.Is(err, context.DeadlineExceeded) && !c.cfg.Explain:
		return &web.Problem{Status: http.StatusServiceUnavailable, Detail: "the server is overloaded; retry later"}
	case c.cfg.Explain:
		return &web.Problem{Status: http.StatusInternalServerError, Detail: err.Error()}
	}
	c.logFailure(err)
	return &web.Problem{Status: http.StatusInternalServerError, Detail: "internal error; see the server's log"}
}

// logFailure logs a failure that the client did not cause.
func (c *exchange) logFailure(err error) {
	c.cfg.Log.Error("admin request failed", "method", c.endpoint.method, "route", Base+c.endpoint.path, "error", err)
}

// ofAccount replaces an unknown account with a problem of the parameter "account".
func ofAccount(err error) error {
	if errors.Is(err, store.ErrNoAccount) {
		return &web.Problem{Status: http.StatusNotFound, Parameter: "account", Detail: store.ErrNoAccount.Error()}
	}
	return err
}

func writeProblem(w http.ResponseWriter, p *web.Problem) {
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="countersign"`)
	}
	p.Write(w)
}
