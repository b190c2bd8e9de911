// Package adminapi serves the API for whoever runs an installation, under /admin/v1:
// accounts, numbers, prices, carriers, verifications, and the log of what was changed.
// It is what the command line speaks, too: with a server that runs through a [Client],
// and otherwise with the database, through the same handlers in its own process
// ([Handler.InProcess]).
//
// The package translates between JSON and the operations of the store, says who may
// do what, and sees that every change is in the audit log. It must not know SQL, nor
// any other API. openapi.yaml describes it.
package adminapi

import (
	"cmp"
	"context"
	_ "embed" // of the document
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

// Base is the path under which the API lies.
const Base = "/admin/v1"

const (
	maxBody = 1 << 20 // of a request
	timeout = 30 * time.Second
)

// Config is what the API works with.
type Config struct {
	Store *store.DB
	Clock clockwork.Clock
	Log   *slog.Logger
	// Carriers tells how the carriers are; nil where no server runs.
	Carriers func() []deliver.CarrierStatus
	// Forget forgets a number, and counts the verifications that it ends.
	Forget func(context.Context, store.Forget) (store.Forgotten, error)
	// Caps are the limits on one number.
	Caps fraud.Caps
	// WAV writes a script, spoken.
	WAV func(context.Context, io.Writer, message.Script) error
	// CarrierNames are the carriers that may have a price list.
	CarrierNames []string
	// Explain tells clients what went wrong inside: who works on the database with its
	// own hands may know.
	Explain bool
	// Explaining evaluates starts for the explanations.
	Explaining
	// Schema lists the steps of the schema.
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

// Route is one operation, as the document names it.
type Route struct{ Method, Path string }

// Routes lists all operations.
func (h *Handler) Routes() []Route {
	var list []Route
	for _, r := range h.endpoints() {
		list = append(list, Route{r.method, Base + r.path})
	}
	return list
}

// endpoint is a row in the table of the API.
type endpoint struct {
	method, path string
	serve        func(*exchange) (any, error)
	action       string   // in the audit log; "" for an operation without a change
	query        []string // accepted parameters of the query
	takes        bool     // accepts a body; otherwise a body is refused
	body         int64    // maximum size of the body, in bytes; 0 for maxBody
	created      bool     // answers a success with 201
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

// ServeHTTP serves a request that an [Authenticator] or [Handler.InProcess] passes on.
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

// NotFound answers a path that is never served.
func NotFound(w http.ResponseWriter, _ *http.Request) {
	writeProblem(w, &web.Problem{Status: http.StatusNotFound, Detail: "there is nothing at this path; see " + Base + "/openapi.yaml"})
}

// Refuse answers a request that no operation gets.
func Refuse(w http.ResponseWriter, _ *http.Request, code int, text string) {
	writeProblem(w, &web.Problem{Status: code, Detail: text})
}
