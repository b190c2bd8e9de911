package adminapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"countersign/internal/store"
	"countersign/internal/web"
)

// exchange is one request and its response. It implements [web.Exchange].
type exchange struct {
	*Handler
	endpoint endpoint
	query    url.Values // accepted query parameters
	who      identity
	w        http.ResponseWriter
	r        *http.Request
	// audit reports whether entry, the audit entry of a change, is written; nil before change.
	audit *store.Audit
	entry store.AuditEntry
}

type identityKey struct{}

// identity is the authenticated client of a request.
type identity struct {
	name     string
	source   string // address of the client, or the host of a command line
	readOnly bool
}

func (h *Handler) open(e endpoint, w http.ResponseWriter, r *http.Request) (*exchange, error) {
	c := &exchange{Handler: h, endpoint: e, w: w, r: r}
	var ok bool
	if c.who, ok = r.Context().Value(identityKey{}).(identity); !ok {
		return c, unauthorized()
	}
	return c, nil
}

// Admit checks the permission, the query and the absence of an unexpected body.
func (c *exchange) Admit(context.Context) (err error) {
	if c.endpoint.action != "" && c.who.readOnly {
		return &web.Problem{Status: http.StatusForbidden, Detail: c.who.name + " has read-only access"}
	}
	if c.query, err = readQuery(c.r, c.endpoint.query); err != nil || c.endpoint.takes {
		return err
	}
	return noBody(c.r)
}

// Handle runs the operation. If the change did not write its audit entry, Handle writes it.
func (c *exchange) Handle(ctx context.Context) (any, error) {
	c.r = c.r.WithContext(ctx)
	if c.endpoint.slow {
		_ = http.NewResponseController(c.w).SetWriteDeadline(time.Time{}) // unsupported in process, where no deadline is set
	}
	answer, err := c.endpoint.serve(c)
	if err == nil && c.audit != nil && !c.audit.Written() {
		err = c.cfg.Store.AddAudit(ctx, c.entry)
	}
	return answer, err
}

// content is a response that is not JSON. An operation that has written the body returns
// it empty.
type content struct {
	kind string
	body []byte
}

// Answer writes content, or another response as JSON; 204 for nil.
func (c *exchange) Answer(answer any) {
	out, ok := answer.(content)
	switch {
	case answer == nil:
		c.w.WriteHeader(http.StatusNoContent)
		return
	case !ok:
		text, err := json.Marshal(answer)
		if err != nil {
			c.Refuse(err)
			return
		}
		out = content{"application/json", append(text, '\n')}
	}
	c.w.Header().Set("Content-Type", out.kind)
	if c.endpoint.created {
		c.w.WriteHeader(http.StatusCreated)
	}
	if len(out.body) > 0 {
		_, _ = c.w.Write(out.body) // the client may have disconnected
	}
}

// Refuse writes the problem for an error.
func (c *exchange) Refuse(err error) { writeProblem(c.w, c.problem(err)) }

// change returns the context for a change of subject, in which the first write also writes the
// audit entry. detail is the request without secrets and complete numbers, or nil.
func (c *exchange) change(subject string, detail any) (ctx context.Context) {
	text := []byte("{}")
	if detail != nil {
		var err error
		if text, err = json.Marshal(detail); err != nil {
			panic(err) // impossible: details are decoded JSON, strings and numbers
		}
	}
	c.entry = store.AuditEntry{
		At: c.now(), Who: c.who.name, Source: c.who.source, Action: c.endpoint.action, Subject: subject, Detail: string(text),
	}
	ctx, c.audit = store.WithAudit(c.r.Context(), c.entry)
	return ctx
}

func (c *exchange) now() time.Time { return c.cfg.Clock.Now().UTC() }
