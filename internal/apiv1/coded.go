package apiv1

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"countersign/internal/verify"
)

// coded is a call that answers with HTTP codes of its own, by POST and in JSON.
type coded struct {
	name    string // in metrics
	params  []string
	success int
	serve   func(context.Context, *exchange) (any, error)
	// refuse gives the code and the body of a refusal.
	refuse func(*exchange, error) (code int, body any)
}

// serveCoded answers one request of such a call.
func (a *API) serveCoded(w http.ResponseWriter, r *http.Request, e coded) {
	if a.cfg.Drain.Draining() {
		writeUnavailable(w, formatJSON)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, a.cfg.BodyBytes)
	c := &exchange{
		came: a.cfg.Clock.Now(), endpoint: &endpoint{name: e.name, params: e.params, serve: e.serve}, format: formatJSON, source: a.cfg.Proxies.Client(r),
	}
	answer, err := a.carryOut(context.WithoutCancel(r.Context()), c, r)
	if errors.Is(err, errReset) {
		return // there is no stream to answer on
	}
	code := e.success
	if err != nil {
		if isTooLarge(err) {
			writeProblem(w, formatJSON, http.StatusRequestEntityTooLarge, "Request body too large")
			return
		}
		refusal, _ := errors.AsType[*verify.Error](err)
		if refusal != nil && refusal.Kind == verify.KindUnavailable {
			writeUnavailable(w, formatJSON)
			return
		}
		if refusal != nil && refusal.Kind == verify.KindBadCredentials && a.cfg.FailedLogins != nil {
			a.cfg.FailedLogins.Delay(w, r, c.came)
		}
		code, answer = e.refuse(c, err)
	}
	c.note(w, "")
	a.answered.WithLabelValues(e.name, strconv.Itoa(code)).Inc()
	writeAnswer(w, formatJSON, code, answer)
}
