// Package adminapi serves the API for operators under /admin/v1: accounts, numbers,
// prices, carriers, verifications, and the audit log. The command line uses it as well:
// through a [Client] of a running server, otherwise through the same handlers in process,
// on the database ([Handler.InProcess]).
//
// The package translates between JSON and the operations of the store, checks
// permissions, and records every change in the audit log. It uses no SQL and no other
// API. openapi.yaml describes it.
package adminapi

import (
	"cmp"
	"context"
	_ "embed" // for the document
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/jonboulle/clockwork"

	"countersign/internal/deliver"
	"countersign/internal/fraud"
	"countersign/internal/message"
	"countersign/internal/store"
	"countersign/internal/web"
)

// Base is the path prefix of the API.
const Base = "/admin/v1"

const (
	maxBody = 1 << 20 // bytes of a request body
	timeout = 30 * time.Second
)

// Config configures the API.
type Config struct {
	Store *store.DB
	Clock clockwork.Clock
	Log   *slog.Logger
	// Carriers returns the carrier status; nil without a running server.
	Carriers func() []deliver.CarrierStatus
	// Forget erases a number and counts the cancelled verifications.
	Forget func(context.Context, store.Forget) (store.Forgotten, error)
	// Caps are the per-number limits.
	Caps fraud.Caps
	// WAV writes a script as audio.
	WAV func(context.Context, io.Writer, message.Script) error
	// CarrierNames are the carriers of the configuration, which can have price lists.
	CarrierNames []string
	// Explain includes internal errors in responses, for users with direct access to the
	// database.
	Explain bool
	// Explaining evaluates starts for the explanations.
	Explaining
	// Schema returns the schema migrations.
	Schema func(context.Context) ([]store.Migration, error)
}

// Handler serves the API to requests with an identity, which an [Authenticator] or
// [Handler.InProcess] adds. Create it with New.
type Handler struct {
	cfg Config
	mux *http.ServeMux
}

// New returns the API.
func New(cfg Config) *Handler {
	h := &Handler{cfg: cfg, mux: http.NewServeMux()}
	var rows []web.Endpoint
	for _, e := range h.endpoints() {
		row := web.Endpoint{
			Methods: []string{e.method}, Path: Base + e.path, BodyBytes: cmp.Or(e.body, maxBody), Detached: e.action != "",
			Open: func(w http.ResponseWriter, r *http.Request) (web.Exchange, error) { return h.open(e, w, r) },
		}
		if !e.slow {
			row.Timeout = timeout
		}
		rows = append(rows, row)
	}
	web.Mount(h.mux, nil, rows)
	h.mux.HandleFunc("/", NotFound)
	return h
}

// Route is the method and path of an operation.
type Route struct{ Method, Path string }

// Routes returns all operations.
func (h *Handler) Routes() []Route {
	var list []Route
	for _, r := range h.endpoints() {
		list = append(list, Route{r.method, Base + r.path})
	}
	return list
}

// endpoint is a row in the table of endpoints.
type endpoint struct {
	method, path string
	serve        func(*exchange) (any, error)
	action       string   // action in the audit log; "" for an operation without a change
	query        []string // accepted query parameters
	takes        bool     // accepts a body; otherwise a body is refused
	body         int64    // maximum size of the body, in bytes; 0 for maxBody
	created      bool     // responds to a success with 201
	slow         bool     // has no time limit
}

func (h *Handler) endpoints() []endpoint {
	all := []endpoint{
		{method: http.MethodGet, path: "/openapi.yaml", serve: (*exchange).document},
		{method: http.MethodGet, path: "/carriers", serve: (*exchange).carriers},
		{method: http.MethodGet, path: "/schema", serve: (*exchange).schema},
		{method: http.MethodGet, path: "/audit", serve: (*exchange).auditLog, query: []string{"since", "until", "who", "action", "subject", "before", "limit"}},
		{method: http.MethodGet, path: "/verifications", serve: (*exchange).findVerifications, query: []string{"number", "account", "since", "until", "limit"}},
		{method: http.MethodGet, path: "/verifications/{id}", serve: (*exchange).showVerification},
	}
	all = append(all, accountEndpoints()...)
	all = append(all, numberEndpoints()...)
	all = append(all, keyEndpoints()...)
	all = append(all, retentionEndpoints()...)
	all = append(all, ledgerEndpoints()...)
	all = append(all, explainEndpoints()...)
	all = append(all, templateEndpoints()...)
	all = append(all, fraudEndpoints()...)
	return append(all, priceEndpoints()...)
}

// ServeHTTP serves a request from an [Authenticator] or [Handler.InProcess].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	header.Set("Referrer-Policy", "no-referrer")
	h.mux.ServeHTTP(w, r)
}

//go:embed openapi.yaml
var document []byte

// document returns the description of the API.
func (c *exchange) document() (any, error) { return content{"application/yaml", document}, nil }

// NotFound responds to a path that is not served.
func NotFound(w http.ResponseWriter, _ *http.Request) {
	writeProblem(w, &web.Problem{Status: http.StatusNotFound, Detail: "no operation has this path; see " + Base + "/openapi.yaml"})
}

// Refuse responds to a request without an operation.
func Refuse(w http.ResponseWriter, _ *http.Request, code int, text string) {
	writeProblem(w, &web.Problem{Status: code, Detail: text})
}
