package adminapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"countersign/internal/account"
	"countersign/internal/store"
)

// Problem is the answer to a call that failed (application/problem+json, RFC 9457).
type Problem struct {
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Parameter string `json:"parameter,omitempty"` // that was wrong: a field of the body, or a part of the URL
}

// Error tells what is wrong, after the parameter.
func (p *Problem) Error() string {
	if p.Parameter == "" {
		return p.Detail
	}
	return p.Parameter + ": " + p.Detail
}

// invalid is the refusal of a parameter.
func invalid(parameter, format string, args ...any) *Problem {
	return &Problem{Status: http.StatusBadRequest, Parameter: parameter, Detail: fmt.Sprintf(format, args...)}
}

func unauthorized() *Problem {
	return &Problem{Status: http.StatusUnauthorized, Detail: "give a token that is known here: Authorization: Bearer TOKEN"}
}

// problem is the one table from errors to answers.
func (h *Handler) problem(route route, err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if setting, ok := errors.AsType[*account.Error](err); ok {
		return invalid(setting.Setting, "%s", setting.Reason)
	}
	large, tooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case tooLarge:
		return &Problem{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("the body is larger than %d bytes", large.Limit)}
	case errors.Is(err, store.ErrNoAccount):
		return &Problem{Status: http.StatusNotFound, Parameter: "key", Detail: store.ErrNoAccount.Error()}
	case errors.Is(err, store.ErrAccountExists):
		return &Problem{Status: http.StatusConflict, Parameter: "key", Detail: store.ErrAccountExists.Error()}
	case errors.Is(err, store.ErrNoSecret):
		return &Problem{Status: http.StatusNotFound, Parameter: "id", Detail: store.ErrNoSecret.Error()}
	case errors.Is(err, store.ErrNotApproved):
		return &Problem{Status: http.StatusNotFound, Parameter: "number", Detail: store.ErrNotApproved.Error()}
	case errors.Is(err, store.ErrSecrets), errors.Is(err, store.ErrSecretExists):
		return &Problem{Status: http.StatusConflict, Parameter: "secret", Detail: rootOf(err).Error()}
	case errors.Is(err, store.ErrNoParent), errors.Is(err, store.ErrParent), errors.Is(err, store.ErrOwnBalance):
		return &Problem{Status: http.StatusConflict, Parameter: "parent", Detail: rootOf(err).Error()}
	case errors.Is(err, store.ErrBalanceRange):
		return &Problem{Status: http.StatusBadRequest, Parameter: "amount", Detail: store.ErrBalanceRange.Error()}
	case errors.Is(err, store.ErrOverloaded), errors.Is(err, context.DeadlineExceeded) && !h.cfg.Explain:
		return &Problem{Status: http.StatusServiceUnavailable, Detail: "the server has too much to do; try again"}
	}
	if h.cfg.Explain {
		return &Problem{Status: http.StatusInternalServerError, Detail: err.Error()}
	}
	h.cfg.Log.Error("admin call failed", "method", route.method, "route", Base+route.path, "error", err)
	return &Problem{Status: http.StatusInternalServerError, Detail: "internal error; the server's log tells more"}
}

// ofAccount is for calls whose parameter "account" names the account.
func ofAccount(err error) error {
	if errors.Is(err, store.ErrNoAccount) {
		return &Problem{Status: http.StatusNotFound, Parameter: "account", Detail: store.ErrNoAccount.Error()}
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

func writeProblem(w http.ResponseWriter, p *Problem) {
	p.Title = http.StatusText(p.Status)
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // texts and a number
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="countersign"`)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // the client is gone, or has its answer
}
