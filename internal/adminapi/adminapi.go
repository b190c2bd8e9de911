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
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
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
	for _, r := range h.routes() {
		h.mux.Handle(r.method+" "+Base+r.path, h.endpoint(r))
	}
	h.mux.HandleFunc("/", h.notFound)
	return h
}

// Route is one operation, as the document names it.
type Route struct{ Method, Path string }

// Routes lists all operations.
func (h *Handler) Routes() []Route {
	var list []Route
	for _, r := range h.routes() {
		list = append(list, Route{r.method, Base + r.path})
	}
	return list
}

// route is one operation.
type route struct {
	method, path string
	serve        func(*exchange) error
	action       string   // in the audit log; "" for what changes nothing
	query        []string // its parameters; any other is refused
	takes        bool     // a body; without, one is refused
	body         int64    // most bytes of the body; 0 for maxBody
	slow         bool     // may take as long as there is something to do
}

func (h *Handler) routes() []route {
	all := []route{
		{method: http.MethodGet, path: "/openapi.yaml", serve: (*exchange).document},
		{method: http.MethodGet, path: "/carriers", serve: (*exchange).carriers},
		{method: http.MethodGet, path: "/schema", serve: (*exchange).schema},
		{method: http.MethodGet, path: "/audit", serve: (*exchange).auditLog, query: []string{"since", "until", "who", "action", "subject", "before", "limit"}},
		{method: http.MethodGet, path: "/verifications", serve: (*exchange).findVerifications, query: []string{"number", "account", "since", "until", "limit"}},
		{method: http.MethodGet, path: "/verifications/{id}", serve: (*exchange).showVerification},
	}
	all = append(all, accountRoutes()...)
	all = append(all, numberRoutes()...)
	all = append(all, keyRoutes()...)
	all = append(all, retentionRoutes()...)
	all = append(all, ledgerRoutes()...)
	all = append(all, explainRoutes()...)
	all = append(all, templateRoutes()...)
	all = append(all, fraudRoutes()...)
	return append(all, priceRoutes()...)
}

// exchange is one request and its answer.
type exchange struct {
	*Handler
	route route
	query url.Values // as the route has them
	who   identity
	w     http.ResponseWriter
	r     *http.Request
	// audit is the entry for the change that the call makes, once it is known.
	audit *store.Audit
	entry store.AuditEntry
}

type identityKey struct{}

// identity is who makes a call.
type identity struct {
	name     string
	source   string // an address, or the machine of a command line
	readOnly bool
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

// endpoint answers one operation. It is the one place where an error is written.
func (h *Handler) endpoint(route route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, ok := r.Context().Value(identityKey{}).(identity)
		if !ok {
			writeProblem(w, unauthorized())
			return
		}
		ctx := r.Context()
		if route.action != "" { // a change is finished even for a client that has gone
			ctx = context.WithoutCancel(ctx)
		}
		if route.slow {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // not supported in one's own process, which sets none
		} else {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		r.Body = http.MaxBytesReader(w, r.Body, cmp.Or(route.body, maxBody))
		c := &exchange{Handler: h, route: route, who: who, w: w, r: r.WithContext(ctx)}
		if err := c.carryOut(); err != nil {
			writeProblem(w, h.problem(route, err))
		}
	})
}

func (c *exchange) carryOut() error {
	if c.route.action != "" && c.who.readOnly {
		return &web.Problem{Status: http.StatusForbidden, Detail: c.who.name + " may only read"}
	}
	var err error
	if c.query, err = readQuery(c.r, c.route.query); err != nil {
		return err
	}
	if !c.route.takes {
		if err := noBody(c.r); err != nil {
			return err
		}
	}
	return c.route.serve(c)
}

// change gives the context for a change of subject, which writes it to the audit log
// too. detail is what was asked for, without secrets and numbers in full.
func (c *exchange) change(subject string, detail any) (context.Context, error) {
	text := []byte("{}")
	if detail != nil {
		var err error
		if text, err = json.Marshal(detail); err != nil {
			return nil, err
		}
	}
	c.entry = store.AuditEntry{
		At: c.now(), Who: c.who.name, Source: c.who.source, Action: c.route.action, Subject: subject, Detail: string(text),
	}
	var ctx context.Context
	ctx, c.audit = store.WithAudit(c.r.Context(), c.entry)
	return ctx, nil
}

// changed writes the entry for a change that was not one of the database, and answers.
func (c *exchange) changed(code int, v any) error {
	if c.audit != nil && !c.audit.Written() {
		if err := c.cfg.Store.AddAudit(c.r.Context(), c.entry); err != nil {
			return err
		}
	}
	return c.answer(code, v)
}

func (c *exchange) now() time.Time { return c.cfg.Clock.Now().UTC() }

// answer writes v as JSON; nothing if it is nil.
func (c *exchange) answer(code int, v any) error {
	if v == nil {
		c.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(code)
	_, _ = c.w.Write(append(body, '\n')) // the client is gone, or has its answer
	return nil
}

//go:embed openapi.yaml
var document []byte

// document answers with the description of the API.
func (c *exchange) document() error {
	c.w.Header().Set("Content-Type", "application/yaml")
	_, _ = c.w.Write(document) // the client is gone, or has its answer
	return nil
}

// NotFound answers a path that is never served.
func NotFound(w http.ResponseWriter, _ *http.Request) {
	writeProblem(w, &web.Problem{Status: http.StatusNotFound, Detail: "there is nothing at this path; see " + Base + "/openapi.yaml"})
}

// Refuse answers a request that no operation gets.
func Refuse(w http.ResponseWriter, _ *http.Request, code int, text string) {
	writeProblem(w, &web.Problem{Status: code, Detail: text})
}

// notFound answers what is not served: a path, or a method of one that is.
func (h *Handler) notFound(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := h.mux.Handler(other); pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		NotFound(w, r)
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	writeProblem(w, &web.Problem{Status: http.StatusMethodNotAllowed, Detail: "the path does not take " + r.Method})
}
