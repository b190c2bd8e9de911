// Package apiv1 serves the Verify API, version 1, as the official SDKs speak it:
// start, check, search, control and psd2, by GET and POST, with answers in JSON
// and (but for psd2) in XML; templates; and network-unblock.
//
// The package translates: it reads parameters in all their forms, calls the engine, and
// answers in this API's words and numbers. [API.endpoints] is the table of its endpoints,
// and package web carries each request through its [exchange]. Five endpoints answer with
// HTTP 200 and a status in the body, the others with HTTP codes; docs/divergences.md
// lists the exceptions. The order in which [exchange.Admit] examines a request is part of
// the documented behaviour (docs/reference/v1-api.md).
//
// It must not know SQL or carriers, and takes no decision about a verification.
// Facts cited as "spec" are those of the published documents.
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

// endpoint is a row in the table of the API.
type endpoint struct {
	name    string // in metrics and logs
	path    string
	methods []string
	formats []format // that {format} in the path selects; nil for JSON alone
	params  []string // known parameters; other members of a JSON body may have any type
	serve   func(context.Context, *exchange) (any, error)
	// refuse returns the status and text of a refusal that differ from those of other
	// endpoints; a nil func or "" selects the common ones.
	refuse func(*exchange, *verify.Error) (status, text string)
	// starts marks an endpoint that starts verifications: its refusals are recorded.
	starts bool
	// errorRoot is the root of an XML refusal with status 5 or more.
	errorRoot string
	// statuses are its statuses beyond commonStatuses.
	statuses []string

	// created is the HTTP code of a success of an endpoint that answers with HTTP codes.
	// It is 0 for endpoints that answer 200 with a status in the body.
	created int
	// refuseCoded returns the HTTP code and body of a refusal of such an endpoint.
	refuseCoded func(*exchange, error) (code int, body any)
}

// commonStatuses returns the statuses that every endpoint with a status in the body has.
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
		Name: "countersign_v1_answers_total", Help: "Answers of the v1 API, by endpoint and status; of network-unblock and templates the HTTP status.",
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

// formatOf guesses the format of the answer to a path that is not served.
func formatOf(path string) format {
	if strings.HasSuffix(strings.TrimSuffix(path, "/"), "/xml") {
		return formatXML
	}
	return formatJSON
}
