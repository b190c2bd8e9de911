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

// invalid returns the refusal of a parameter.
func invalid(parameter, format string, args ...any) *web.Problem {
	return &web.Problem{Status: http.StatusBadRequest, Parameter: parameter, Detail: fmt.Sprintf(format, args...)}
}

func unauthorized() *web.Problem {
	return &web.Problem{Status: http.StatusUnauthorized, Detail: "give a token that is known here: Authorization: Bearer TOKEN"}
}

// problem is the one table from errors to answers.
func (h *Handler) problem(route route, err error) *web.Problem {
	if p, ok := errors.AsType[*web.Problem](err); ok {
		return p
	}
	if setting, ok := errors.AsType[*account.Error](err); ok {
		return invalid(setting.Setting, "%s", setting.Reason)
	}
	large, tooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case tooLarge:
		return &web.Problem{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("the body is larger than %d bytes", large.Limit)}
	case errors.Is(err, store.ErrNoAccount):
		return &web.Problem{Status: http.StatusNotFound, Parameter: "key", Detail: store.ErrNoAccount.Error()}
	case errors.Is(err, store.ErrAccountExists):
		return &web.Problem{Status: http.StatusConflict, Parameter: "key", Detail: store.ErrAccountExists.Error()}
	case errors.Is(err, store.ErrNoSecret):
		return &web.Problem{Status: http.StatusNotFound, Parameter: "id", Detail: store.ErrNoSecret.Error()}
	case errors.Is(err, store.ErrNotApproved):
		return &web.Problem{Status: http.StatusNotFound, Parameter: "number", Detail: store.ErrNotApproved.Error()}
	case errors.Is(err, store.ErrSecrets), errors.Is(err, store.ErrSecretExists):
		return &web.Problem{Status: http.StatusConflict, Parameter: "secret", Detail: rootOf(err).Error()}
	case errors.Is(err, store.ErrNoParent), errors.Is(err, store.ErrParent), errors.Is(err, store.ErrOwnBalance):
		return &web.Problem{Status: http.StatusConflict, Parameter: "parent", Detail: rootOf(err).Error()}
	case errors.Is(err, store.ErrBalanceRange):
		return &web.Problem{Status: http.StatusBadRequest, Parameter: "amount", Detail: store.ErrBalanceRange.Error()}
	case errors.Is(err, store.ErrOverloaded), errors.Is(err, context.DeadlineExceeded) && !h.cfg.Explain:
		return &web.Problem{Status: http.StatusServiceUnavailable, Detail: "the server has too much to do; try again"}
	}
	if h.cfg.Explain {
		return &web.Problem{Status: http.StatusInternalServerError, Detail: err.Error()}
	}
	h.cfg.Log.Error("admin call failed", "method", route.method, "route", Base+route.path, "error", err)
	return &web.Problem{Status: http.StatusInternalServerError, Detail: "internal error; the server's log tells more"}
}

// ofAccount is for calls whose parameter "account" names the account.
func ofAccount(err error) error {
	if errors.Is(err, store.ErrNoAccount) {
		return &web.Problem{Status: http.StatusNotFound, Parameter: "account", Detail: store.ErrNoAccount.Error()}
	}
	return err
}

// rootOf is the error without what was being done.
func rootOf(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err
}

func writeProblem(w http.ResponseWriter, p *web.Problem) {
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="countersign"`)
	}
	p.Write(w)
}
