package apiv1

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"countersign/internal/verify"
	"countersign/internal/web"
)

// exchange is one request and its response. It implements [web.Exchange].
type exchange struct {
	api       *API
	endpoint  *endpoint
	w         http.ResponseWriter
	r         *http.Request
	came      time.Time
	format    format
	params    params
	account   verify.Account
	requestID string // as the client wrote it, once accepted
	source    string // IP address of the client
}

// errFormat indicates a path with a format that its endpoint does not serve.
var errFormat = errors.New("format not served")

func (a *API) open(e *endpoint, w http.ResponseWriter, r *http.Request) (*exchange, error) {
	c := &exchange{api: a, endpoint: e, w: w, r: r, came: a.cfg.Clock.Now(), format: formatJSON, source: a.cfg.Proxies.Client(r)}
	if e.formats != nil {
		var ok bool
		if c.format, ok = parseFormat(r.PathValue("format"), e.formats); !ok {
			return c, errFormat
		}
	}
	return c, nil
}

// Admit reads the parameters, including the credentials, and authenticates the account.
// The engine applies the account's rate limit.
func (c *exchange) Admit(ctx context.Context) error {
	params, numbers, err := readParams(c.r, c.endpoint.params)
	if err != nil {
		return err
	}
	c.params = params
	proof, err := c.readProof(c.r)
	if err != nil {
		return err
	}
	err = web.Authenticate(ctx, c.r, func(ctx context.Context) error {
		c.account, err = c.api.cfg.Engine.Admit(ctx, proof)
		return err
	})
	if err != nil {
		return err
	}
	c.params.normalizeNumbers(numbers)
	return nil
}

// Handle runs the operation of the endpoint.
func (c *exchange) Handle(ctx context.Context) (any, error) { return c.endpoint.serve(ctx, c) }

// Answer writes the response to a successful request.
func (c *exchange) Answer(answer any) {
	if code := c.endpoint.created; code != 0 {
		c.write(code, answer)
		return
	}
	c.api.cfg.Report(c.endpoint.name, nil)
	c.writeStatus("0", answer)
}

// Refuse writes the response to a failed request.
func (c *exchange) Refuse(err error) {
	refusal, ok := errors.AsType[*verify.Error](err)
	switch coded := c.endpoint.refuseCoded; {
	case errors.Is(err, errFormat):
		NotFound(c.w, c.r)
	case errors.Is(err, web.ErrMethod) && coded != nil:
		code, body := coded(c, err)
		writeAnswer(c.w, c.format, code, body)
	case errors.Is(err, web.ErrMethod):
		writeProblem(c.w, c.format, http.StatusMethodNotAllowed, methodText(c.r))
	case errors.Is(err, web.ErrDraining), coded != nil && ok && refusal.Kind == verify.KindUnavailable:
		writeUnavailable(c.w, c.format)
	case isTooLarge(err):
		writeProblem(c.w, c.format, http.StatusRequestEntityTooLarge, "Request body too large")
	case coded != nil:
		c.delayFailedLogin(refusal)
		c.write(coded(c, err))
	default:
		c.refuseStatus(err)
	}
}

// refuseStatus writes a refusal with HTTP 200 and a status in the body.
func (c *exchange) refuseStatus(err error) {
	refusal, ok := errors.AsType[*verify.Error](err)
	if !ok {
		c.api.cfg.Report(c.endpoint.name, err)
		refusal = &verify.Error{Kind: verify.KindInternal}
	}
	if refusal.Kind == verify.KindWrongCode || refusal.Kind == verify.KindTooManyCodes { // the check was stored
		c.api.cfg.Report(c.endpoint.name, nil)
	}
	if refusal.Kind == verify.KindInternal {
		refusal = c.failed(err)
	}
	if c.endpoint.starts {
		c.record(refusal)
	}
	if refusal.Kind == verify.KindUnavailable {
		c.note("")
		writeUnavailable(c.w, c.format)
		return
	}
	c.delayFailedLogin(refusal)
	status, text := "", ""
	if c.endpoint.refuse != nil {
		status, text = c.endpoint.refuse(c, refusal)
	}
	if status == "" {
		status, text = c.api.refusal(refusal)
	}
	if refusal.Kind == verify.KindConcurrent {
		c.requestID = refusal.Request.Hex()
	}
	if refusal.Kind == verify.KindBadCredentials {
		c.account.Key = refusal.Cause().Detail // "" for an unknown key
	}
	if c.endpoint.starts && c.api.cfg.Refused != nil {
		c.api.cfg.Refused(c.account.Key, c.params.get("number"), status, text, refusal)
	}
	c.writeStatus(status, errorAnswer(c, refusal, status, text))
}

// delayFailedLogin delays the response to bad credentials. A nil refusal has no effect.
func (c *exchange) delayFailedLogin(refusal *verify.Error) {
	if failed := c.api.cfg.FailedLogins; failed != nil && refusal != nil && refusal.Kind == verify.KindBadCredentials {
		failed.Delay(c.w, c.r, c.came)
	}
}

// writeStatus writes a response with HTTP 200; status is the status in its body.
func (c *exchange) writeStatus(status string, answer any) {
	c.api.answered.WithLabelValues(c.endpoint.name, status).Inc()
	c.note(status)
	writeAnswer(c.w, c.format, http.StatusOK, answer)
}

// write writes a response with an HTTP code.
func (c *exchange) write(code int, answer any) {
	c.api.answered.WithLabelValues(c.endpoint.name, strconv.Itoa(code)).Inc()
	c.note("")
	writeAnswer(c.w, c.format, code, answer)
}

// failed logs a failure not caused by the client, and returns its refusal.
func (c *exchange) failed(err error) *verify.Error {
	refusal, ok := errors.AsType[*verify.Error](err)
	if !ok {
		refusal = &verify.Error{Kind: verify.KindInternal}
	}
	c.api.cfg.Log.Error("call failed", "endpoint", c.endpoint.name, "account", c.account.Key, "cause", refusal.Cause().String(), "error", err)
	return refusal
}

// record adds a refused start to the log of refusals. Without an authenticated account
// the client chooses any number, so the record omits it.
func (c *exchange) record(e *verify.Error) {
	r := verify.Refusal{Account: c.account.Key, Cause: e.Cause(), Source: c.source}
	if e.Kind == verify.KindBadCredentials {
		r.Account, r.Detail = r.Detail, ""
	} else if r.Account != "" {
		number, err := c.api.numbers.Parse(c.params.get("number"), c.params.get("country"))
		if err == nil {
			r.Number = number.Digits
		}
	}
	c.api.cfg.Refusals.Add(r)
}

// note adds status, account and request id to the request's line in the access log. It
// omits an invalid request_id, which may be a phone number or a code.
func (c *exchange) note(status string) {
	web.Note(c.w, "status", status)
	web.Note(c.w, "account", c.account.Key)
	if id, ok := verify.ParseID(c.requestID); ok {
		web.Note(c.w, "request_id", id.Hex())
	}
}

func isTooLarge(err error) bool {
	_, ok := errors.AsType[*http.MaxBytesError](err)
	return ok
}

func methodText(r *http.Request) string { return "Method not allowed: " + r.Method }
