// Package apiv1 serves version 1 of the Verify API as the official SDKs use it. The
// endpoints start, check, search, control and psd2 accept GET and POST, and respond in
// JSON and (except psd2) XML. The others are templates and network-unblock.
//
// The package translates: it parses parameters in all their forms, calls the engine, and
// writes the results in the texts and status codes of this API. [API.endpoints] is the
// table of its endpoints, and package web passes each request through its [exchange].
// Five endpoints respond with HTTP 200 and a status in the body, the others with HTTP
// codes; docs/divergences.md lists the exceptions. The order in which [exchange.Admit]
// validates a request is documented behaviour (docs/reference/v1-api.md).
//
// The package uses neither SQL nor carriers, and makes no decision about a verification.
// "spec" in comments refers to the published documents.
package apiv1

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

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

// Config configures the API.
type Config struct {
	Engine   *engine.Engine
	Messages *message.Catalog
	Writer   *template.Writer
	// Templates receives the templates that accounts submit.
	Templates *template.Desk
	Drain     *web.Drain
	// Report receives the outcome of a request to the named endpoint, such as "start": nil for a
	// success or a stored wrong code, otherwise the error of a failure. Other refusals are not
	// reported, since they may not reach the database. Nil disables reports.
	Report   func(call string, err error)
	Log      *slog.Logger
	Metrics  prometheus.Registerer
	Velocity *velocity.Watch // velocity rules, for network-unblock
	Refusals *refusal.Log    // records refused starts; nil disables recording
	// Refused is called with each refused start: the authenticated account or "", the
	// number as sent, and status and text of the response. Nil disables the calls.
	Refused func(account, number, status, reason string, e *verify.Error)

	// FailedLogins delays responses to failed logins; nil disables the delay.
	FailedLogins *web.FailedLogins
	// Clock provides the arrival time of requests.
	Clock clockwork.Clock
	// Proxies determine the source address of requests.
	Proxies web.Proxies
	// BodyBytes limits the body of a request, in bytes.
	BodyBytes int64
	// PlatformName is the platform in the texts of status 6 and 29: "Nexmo" or "Vonage".
	PlatformName     string
	WrongCodeText    string // text of status 16; two published texts exist
	TooManyCodesText string // text of status 17
	// Currency is the currency of all prices, such as "USD".
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

// endpoint is a row in the table of endpoints.
type endpoint struct {
	name    string // name in metrics and logs
	path    string
	methods []string
	formats []format // allowed values of {format} in the path; nil for JSON only
	params  []string // known parameters; other members of a JSON body may have any type
	serve   func(context.Context, *exchange) (any, error)
	// refuse returns the status and text of refusals that differ from other endpoints; a
	// nil func or "" selects the common ones.
	refuse func(*exchange, *verify.Error) (status, text string)
	// starts marks an endpoint that starts verifications; its refusals are recorded.
	starts bool
	// errorRoot is the root of an XML refusal with status 5 or more.
	errorRoot string
	// statuses are the statuses of the endpoint besides commonStatuses.
	statuses []string

	// created is the HTTP code of a success, for endpoints that respond with HTTP codes;
	// 0 for endpoints that respond with 200 and a status in the body.
	created int
	// refuseCoded returns the HTTP code and body of a refusal of such an endpoint.
	refuseCoded func(*exchange, error) (code int, body any)
}

// commonStatuses returns the statuses of every endpoint with a status in the body.
func commonStatuses() []string { return []string{"0", "1", "2", "3", "4", "5"} }

func startStatuses() []string { return []string{"6", "7", "8", "9", "10", "15", "20", "29"} }

// endpoints returns the table of the API.
func (a *API) endpoints() []endpoint {
	both := []format{formatJSON, formatXML}
	either, post := []string{http.MethodGet, http.MethodPost}, []string{http.MethodPost}
	return []endpoint{
		{
			name: "start", path: "/verify/{format}", methods: either, formats: both, params: startParams(), serve: a.start, refuse: a.refuseStart,
			starts: true, errorRoot: rootVerifyResponse, statuses: startStatuses(),
		},
		{
			name: "psd2", path: "/verify/psd2/{format}", methods: either, formats: []format{formatJSON}, params: psd2Params(), serve: a.psd2,
			refuse: a.refuseStart, starts: true, errorRoot: rootVerifyResponse, statuses: startStatuses(),
		},
		{
			name: "check", path: "/verify/check/{format}", methods: either, formats: both, params: checkParams(), serve: a.check,
			refuse: a.refuseCheck, errorRoot: rootVerifyResponse, statuses: []string{"6", "16", "17"},
		},
		{
			name: "search", path: "/verify/search/{format}", methods: either, formats: both, params: searchParams(), serve: a.search,
			errorRoot: rootVerifyResponse, statuses: []string{"18", "101"},
		},
		{
			name: "control", path: "/verify/control/{format}", methods: either, formats: both, params: controlParams(), serve: a.control,
			refuse: a.refuseControl, errorRoot: rootResponse, statuses: []string{"6", "19"},
		},
		{
			name: "templates", path: "/verify/templates", methods: post, params: templateParams(), serve: a.createTemplate,
			created: http.StatusCreated, refuseCoded: a.refuseTemplate,
		},
		{
			name: "network-unblock", path: "/verify/network-unblock", methods: post, params: unblockParams(), serve: a.unblockNetwork,
			created: http.StatusAccepted, refuseCoded: a.refuseUnblock,
		},
	}
}

// Register adds the endpoints of the API to mux.
func Register(mux *http.ServeMux, cfg Config) {
	if cfg.Report == nil {
		cfg.Report = func(string, error) {}
	}
	a := &API{cfg: cfg, numbers: &phone.Reader{}, answered: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "countersign_v1_answers_total", Help: "Responses of the v1 API by endpoint and status; the HTTP status for network-unblock and templates.",
	}, []string{"endpoint", "status"})}
	cfg.Metrics.MustRegister(a.answered)
	var rows []web.Endpoint
	for _, e := range a.endpoints() {
		if e.created == 0 {
			for _, status := range append(commonStatuses(), e.statuses...) {
				a.answered.WithLabelValues(e.name, status)
			}
		}
		rows = append(rows, web.Endpoint{
			Methods: e.methods, Path: e.path, BodyBytes: cfg.BodyBytes, Detached: true,
			Open: func(w http.ResponseWriter, r *http.Request) (web.Exchange, error) { return a.open(&e, w, r) },
		})
	}
	web.Mount(mux, cfg.Drain, rows)
}

// NotFound responds to every path that is not served.
func NotFound(w http.ResponseWriter, r *http.Request) {
	Refuse(w, r, http.StatusNotFound, textNotFound)
}

// Refuse responds to a request without an endpoint, in the format at the end of its path.
func Refuse(w http.ResponseWriter, r *http.Request, code int, text string) {
	writeProblem(w, formatOf(r.URL.Path), code, text)
}

// ChangesState reports whether a request may change state, which includes GET requests to
// every path of the API except search.
func ChangesState(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/verify/") && !strings.HasPrefix(r.URL.Path, "/verify/search/")
}

// formatOf returns the response format for a path that is not served.
func formatOf(path string) format {
	if strings.HasSuffix(strings.TrimSuffix(path, "/"), "/xml") {
		return formatXML
	}
	return formatJSON
}
