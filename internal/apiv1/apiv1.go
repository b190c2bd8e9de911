// Package apiv1 serves the Verify API, version 1, as the official SDKs speak it:
// start, check, search, control and psd2, by GET and POST, with answers in JSON
// and (but for psd2) in XML; and templates.
//
// The package translates: it reads parameters in all their forms, has the engine
// carry out the call, and gives the answer in this API's words and numbers. Every
// call is answered with HTTP 200 and a status in the body; docs/divergences.md
// lists the exceptions. The order in which a call is examined is that of
// [API.serve] and is part of the documented behaviour (docs/reference/v1-api.md).
//
// It must not know SQL or carriers, and takes no decision about a verification.
// Facts cited as "spec" are those of the published documents.
package apiv1

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/engine"
	"countersign/internal/message"
	"countersign/internal/phone"
	"countersign/internal/refusal"
	"countersign/internal/template"
	"countersign/internal/velocity"
	"countersign/internal/verify"
	"countersign/internal/web"
)

// Config is what the API works with.
type Config struct {
	Engine   *engine.Engine
	Messages *message.Catalog
	Writer   *template.Writer
	// Templates takes those that accounts hand in.
	Templates *template.Desk
	Drain     *web.Drain
	// Report takes the outcome of a call by its name, such as "start": nil for a success
	// or a stored wrong code, else the error of a failure. Other refusals are not
	// reported, since they may not reach the database. Nil disables reports.
	Report   func(call string, err error)
	Log      *slog.Logger
	Metrics  prometheus.Registerer
	Velocity *velocity.Watch // velocity rules, for network-unblock
	Refusals *refusal.Log    // records refused starts; nil disables that
	// Refused is called with each refused start: the proven account, or "", the number as it
	// was sent, and status and text of the answer. Nil disables that.
	Refused func(account, number, status, reason string, e *verify.Error)

	// FailedLogins delays answers to failed logins; nil disables that.
	FailedLogins *web.FailedLogins
	// Clock tells when a request came.
	Clock clockwork.Clock
	// Denied are names that no brand and no payee may have.
	Denied message.Denied
	// Proxies tell where a call comes from.
	Proxies web.Proxies
	// BodyBytes bounds the body of a request.
	BodyBytes int64
	// PlatformName stands in the texts of status 6 and 29: "Nexmo" or "Vonage".
	PlatformName     string
	WrongCodeText    string // text of status 16, of which two are known
	TooManyCodesText string // text of status 17
	// Currency of all prices, such as "USD".
	Currency string
	// Speed divides the waits of new verifications; 0 and 1 mean real time.
	Speed int
}

// API serves the endpoints.
type API struct {
	cfg      Config
	answered *prometheus.CounterVec // by endpoint and status
	numbers  *phone.Reader
}

// endpoint is one call of the API.
type endpoint struct {
	name    string   // in metrics
	params  []string // known parameters; other members of a JSON body may have any type
	formats []format
	serve   func(context.Context, *exchange) (any, error)
	// refuse gives the status and text of a refusal where this endpoint has words
	// of its own; nil, or an empty status, for the common ones.
	refuse func(*exchange, *verify.Error) (status, text string)
	// starts marks an endpoint that starts verifications: its refusals are recorded.
	starts bool
	// errorRoot is the root of an XML refusal with status 5 or more.
	errorRoot string
	// statuses are those of its answers besides the ones that every endpoint has.
	statuses []string
}

// commonStatuses returns the statuses of answers that every endpoint has.
func commonStatuses() []string { return []string{"0", "1", "2", "3", "4", "5"} }

func startStatuses() []string { return []string{"6", "7", "8", "9", "10", "15", "20", "29"} }

// exchange is one request and its answer.
type exchange struct {
	came      time.Time
	endpoint  *endpoint
	format    format
	params    params
	account   verify.Account
	requestID string // as the client wrote it, once it was accepted
	source    string // address of who calls
}

// Register adds the routes of the API to mux.
func Register(mux *http.ServeMux, cfg Config) {
	if cfg.Report == nil {
		cfg.Report = func(string, error) {}
	}
	a := &API{cfg: cfg, numbers: &phone.Reader{}, answered: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "countersign_v1_answers_total", Help: "Answers of the v1 API, by endpoint and status; of network-unblock and templates the HTTP status.",
	}, []string{"endpoint", "status"})}
	cfg.Metrics.MustRegister(a.answered)

	both := []format{formatJSON, formatXML}
	mux.HandleFunc("/verify/templates", a.templates)
	a.handle(mux, "/verify/{format}", endpoint{
		name: "start", params: startParams(), formats: both, serve: a.start, refuse: a.refuseStart, starts: true, errorRoot: rootVerifyResponse,
		statuses: startStatuses(),
	})
	a.handle(mux, "/verify/psd2/{format}", endpoint{
		name: "psd2", params: psd2Params(), formats: []format{formatJSON}, serve: a.psd2, refuse: a.refuseStart, starts: true, errorRoot: rootVerifyResponse,
		statuses: startStatuses(),
	})
	a.handle(mux, "/verify/check/{format}", endpoint{
		name: "check", params: checkParams(), formats: both, serve: a.check, refuse: a.refuseCheck, errorRoot: rootVerifyResponse,
		statuses: []string{"6", "16", "17"},
	})
	a.handle(mux, "/verify/search/{format}", endpoint{
		name: "search", params: searchParams(), formats: both, serve: a.search, errorRoot: rootVerifyResponse,
		statuses: []string{"18", "101"},
	})
	a.handle(mux, "/verify/control/{format}", endpoint{
		name: "control", params: controlParams(), formats: both, serve: a.control, refuse: a.refuseControl, errorRoot: rootResponse,
		statuses: []string{"6", "19"},
	})
	mux.HandleFunc("/verify/network-unblock", a.unblock)
}

// NotFound answers every path that is not served.
func NotFound(w http.ResponseWriter, r *http.Request) {
	Refuse(w, r, http.StatusNotFound, textNotFound)
}

// Refuse answers a request that no endpoint gets, in the format that its path ends
// with.
func Refuse(w http.ResponseWriter, r *http.Request, code int, text string) {
	writeProblem(w, formatOf(r.URL.Path), code, text)
}

// ChangesState reports whether a request may change state. A GET does, too, on every
// path of the API but search.
func ChangesState(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/verify/") && !strings.HasPrefix(r.URL.Path, "/verify/search/")
}

func (a *API) handle(mux *http.ServeMux, pattern string, e endpoint) {
	for _, status := range append(commonStatuses(), e.statuses...) {
		a.answered.WithLabelValues(e.name, status)
	}
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, &e) })
}

// serve answers one request. It is the one place where an answer is written.
func (a *API) serve(w http.ResponseWriter, r *http.Request, e *endpoint) {
	came := a.cfg.Clock.Now()
	f, ok := parseFormat(r.PathValue("format"), e.formats)
	if !ok {
		NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, POST")
		writeProblem(w, f, http.StatusMethodNotAllowed, "Method not allowed: "+r.Method)
		return
	}
	if a.cfg.Drain.Draining() {
		writeUnavailable(w, f)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, a.cfg.BodyBytes)
	c := &exchange{came: came, endpoint: e, format: f, source: a.cfg.Proxies.Client(r)}
	// A call takes moments, so it is finished even for a client that has gone:
	// what it changed is then as if the answer had been lost on the way.
	answer, err := a.carryOut(context.WithoutCancel(r.Context()), c, r)
	switch {
	case errors.Is(err, errReset): // there is no stream to answer on
	case err == nil:
		a.cfg.Report(e.name, nil)
		a.answered.WithLabelValues(e.name, "0").Inc()
		c.note(w, "0")
		writeAnswer(w, f, http.StatusOK, answer)
	case isTooLarge(err):
		writeProblem(w, f, http.StatusRequestEntityTooLarge, "Request body too large")
	default:
		a.refuse(w, r, c, err)
	}
}

// admit finds the account of a call. A reset HTTP/2 stream ends it.
func (a *API) admit(ctx context.Context, r *http.Request, proof engine.Proof) (verify.Account, error) {
	done, ok := web.Turn(r)
	defer done()
	if !ok {
		return verify.Account{}, errReset
	}
	if r.ProtoAtLeast(2, 0) {
		ctx = r.Context() // a lookup for a reset stream would keep others from the database
	}
	account, err := a.cfg.Engine.Admit(ctx, proof)
	switch {
	case err == nil:
		web.Authenticated(r.Context())
	case web.Reset(r):
		err = errReset
	}
	return account, err
}

// errReset ends a request that its client has given up before it was authenticated.
var errReset = errors.New("stream was reset")

// carryOut examines the call step by step: its form, where it comes from, how
// often, and then what it asks for.
func (a *API) carryOut(ctx context.Context, c *exchange, r *http.Request) (any, error) {
	params, numbers, err := readParams(r, c.endpoint.params)
	if err != nil {
		return nil, err
	}
	c.params = params
	proof, err := c.readProof(r)
	if err != nil {
		return nil, err
	}
	if c.account, err = a.admit(ctx, r, proof); err != nil {
		return nil, err
	}
	c.params.normalizeNumbers(numbers)
	return c.endpoint.serve(ctx, c)
}

// refuse writes the answer to a call that failed.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, c *exchange, err error) {
	refusal, ok := errors.AsType[*verify.Error](err)
	if !ok {
		a.cfg.Report(c.endpoint.name, err)
		refusal = &verify.Error{Kind: verify.KindInternal}
	}
	if refusal.Kind == verify.KindWrongCode || refusal.Kind == verify.KindTooManyCodes { // the check was stored
		a.cfg.Report(c.endpoint.name, nil)
	}
	if refusal.Kind == verify.KindInternal {
		refusal = a.failed(c, err)
	}
	if c.endpoint.starts {
		a.record(c, refusal)
	}
	if refusal.Kind == verify.KindUnavailable {
		c.note(w, "")
		writeUnavailable(w, c.format)
		return
	}
	if refusal.Kind == verify.KindBadCredentials && a.cfg.FailedLogins != nil {
		a.cfg.FailedLogins.Delay(w, r, c.came)
	}
	status, text := "", ""
	if c.endpoint.refuse != nil {
		status, text = c.endpoint.refuse(c, refusal)
	}
	if status == "" {
		status, text = a.refusal(refusal)
	}
	a.answered.WithLabelValues(c.endpoint.name, status).Inc()
	if refusal.Kind == verify.KindConcurrent {
		c.requestID = refusal.Request.Hex()
	}
	if refusal.Kind == verify.KindBadCredentials {
		c.account.Key = refusal.Cause().Detail // "" for an unknown one
	}
	c.note(w, status)
	if c.endpoint.starts && a.cfg.Refused != nil {
		a.cfg.Refused(c.account.Key, c.params.get("number"), status, text, refusal)
	}
	writeAnswer(w, c.format, http.StatusOK, errorAnswer(c, refusal, status, text))
}

// failed logs a call that failed through no fault of its client, and returns its refusal.
func (a *API) failed(c *exchange, err error) *verify.Error {
	refusal, ok := errors.AsType[*verify.Error](err)
	if !ok {
		refusal = &verify.Error{Kind: verify.KindInternal}
	}
	a.cfg.Log.Error("call failed", "endpoint", c.endpoint.name, "account", c.account.Key, "cause", refusal.Cause().String(), "error", err)
	return refusal
}

// record hands a refused start to the log of refusals. A request without a proven account
// leaves no number, since its sender chooses both.
func (a *API) record(c *exchange, e *verify.Error) {
	r := verify.Refusal{Account: c.account.Key, Cause: e.Cause(), Source: c.source}
	if e.Kind == verify.KindBadCredentials {
		r.Account, r.Detail = r.Detail, ""
	} else if r.Account != "" {
		number, err := a.numbers.Parse(c.params.get("number"), c.params.get("country"))
		if err == nil {
			r.Number = number.Digits
		}
	}
	a.cfg.Refusals.Add(r)
}

// note adds status, account and request id to the request's line in the access log. It
// omits an invalid request_id, which may be a number or a code.
func (c *exchange) note(w http.ResponseWriter, status string) {
	web.Note(w, "status", status)
	web.Note(w, "account", c.account.Key)
	if id, ok := verify.ParseID(c.requestID); ok {
		web.Note(w, "request_id", id.Hex())
	}
}

func isTooLarge(err error) bool {
	_, ok := errors.AsType[*http.MaxBytesError](err)
	return ok
}

// formatOf guesses the format of the answer to a path that is not served.
func formatOf(path string) format {
	if strings.HasSuffix(strings.TrimSuffix(path, "/"), "/xml") {
		return formatXML
	}
	return formatJSON
}
