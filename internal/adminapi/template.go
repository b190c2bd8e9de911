package adminapi

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"countersign/internal/store"
	"countersign/internal/template"
	"countersign/internal/verify"
	"countersign/internal/web"
)

func templateEndpoints() []endpoint {
	return []endpoint{
		{method: http.MethodGet, path: "/templates", serve: (*exchange).listTemplates, query: []string{"account", "status"}},
		{method: http.MethodGet, path: "/templates/{id}/preview", serve: (*exchange).previewTemplate, query: []string{"brand", "pin"}},
		{method: http.MethodGet, path: "/templates/{id}/sound", serve: (*exchange).soundTemplate, query: []string{"brand", "pin"}},
		{method: http.MethodPost, path: "/templates/{id}/approve", serve: (*exchange).approveTemplate, action: "template.approve"},
		{method: http.MethodPost, path: "/templates/{id}/retire", serve: (*exchange).retireTemplate, action: "template.retire"},
		{method: http.MethodPost, path: "/templates/{id}/rollback", serve: (*exchange).rollBackTemplate, action: "template.rollback"},
	}
}

// Template is a template of an account.
type Template struct {
	ID         string               `json:"id"`
	Account    string               `json:"account"`
	Channel    verify.Channel       `json:"channel"`
	Locale     string               `json:"locale"`
	Version    int                  `json:"version"`
	Status     store.TemplateStatus `json:"status"`
	Text       string               `json:"text"` // "" for a template of recordings
	Contact    string               `json:"contact"`
	CreatedAt  string               `json:"created_at"`
	ApprovedAt string               `json:"approved_at"` // last activation; "" if never activated or rolled back
}

func toTemplate(t store.Template) Template {
	return Template{
		t.ID.String(), t.Account, t.Channel, t.Locale, t.Version, t.Status, t.Text, t.Contact, stamp(t.CreatedAt), stamp(t.ApprovedAt),
	}
}

// Templates is the response with templates.
type Templates struct {
	Templates []Template `json:"templates"`
}

func (c *exchange) listTemplates() (any, error) {
	query := c.query
	status := store.TemplateStatus(query.Get("status"))
	if !slices.Contains([]store.TemplateStatus{"", store.TemplatePending, store.TemplateActive, store.TemplateRetired}, status) {
		return nil, invalid("status", "must be %s, %s or %s", store.TemplatePending, store.TemplateActive, store.TemplateRetired)
	}
	found, err := c.cfg.Store.Templates(c.r.Context(), query.Get("account"), status)
	if err != nil {
		return nil, err
	}
	return Templates{each(found, toTemplate)}, nil
}

func (c *exchange) templateID() (verify.ID, error) {
	text := c.r.PathValue("id")
	id, ok := verify.ParseID(text)
	if !ok {
		return id, invalid("id", "%q is not the id of a template", printable(text))
	}
	return id, nil
}

// templateProblem adds the HTTP status to a refusal of a template.
func templateProblem(err error) error {
	switch {
	case errors.Is(err, store.ErrNoTemplate):
		return &web.Problem{Status: http.StatusNotFound, Parameter: "id", Detail: store.ErrNoTemplate.Error()}
	case errors.Is(err, store.ErrNoEarlier), errors.Is(err, store.ErrTemplateStatus):
		return &web.Problem{Status: http.StatusConflict, Detail: err.Error()}
	}
	return err
}

// TemplatePreview is the message of a template.
type TemplatePreview struct {
	Channel  verify.Channel `json:"channel"`
	Text     string         `json:"text"`     // text of the SMS, or words of the call
	Encoding string         `json:"encoding"` // for SMS only
	Segments int            `json:"segments"` // for SMS only
}

// shown returns the template and its message for the brand and PIN of the query.
func (c *exchange) shown() (store.Template, template.Preview, error) {
	var p template.Preview
	query := c.query
	pin := cmp.Or(query.Get("pin"), "123456")
	if _, ok := verify.ParsePIN(pin); !ok {
		return store.Template{}, p, invalid("pin", "must have 4 to 10 letters or digits")
	}
	brand := query.Get("brand")
	if err := line("brand", brand, 100); err != nil {
		return store.Template{}, p, err
	}
	id, err := c.templateID()
	if err != nil {
		return store.Template{}, p, err
	}
	t, err := c.cfg.Store.Template(c.r.Context(), id)
	if err != nil {
		return t, p, templateProblem(err)
	}
	owner, err := c.cfg.Store.Credentials(c.r.Context(), t.Account)
	if err != nil {
		return t, p, err
	}
	p, err = template.Show(t, owner.Settings.Autofill, brand, pin)
	return t, p, err
}

func (c *exchange) previewTemplate() (any, error) {
	t, p, err := c.shown()
	if err != nil {
		return nil, err
	}
	return TemplatePreview{t.Channel, p.Text, p.Encoding, p.Segments}, nil
}

func (c *exchange) soundTemplate() (any, error) {
	t, p, err := c.shown()
	if err != nil {
		return nil, err
	}
	if !t.Channel.Spoken() {
		return nil, &web.Problem{Status: http.StatusConflict, Parameter: "id", Detail: "the template is not for calls"}
	}
	var wav bytes.Buffer
	if err := c.cfg.WAV(c.r.Context(), &wav, p.Script); err != nil {
		return nil, err
	}
	return content{"audio/wav", wav.Bytes()}, nil
}

func (c *exchange) approveTemplate() (any, error) { return c.decide(c.cfg.Store.ApproveTemplate) }

func (c *exchange) retireTemplate() (any, error) {
	return c.decide(func(ctx context.Context, id verify.ID, _ time.Time) (store.Template, error) {
		return c.cfg.Store.RetireTemplate(ctx, id)
	})
}

func (c *exchange) rollBackTemplate() (any, error) { return c.decide(c.cfg.Store.RollBackTemplate) }

// decide applies an operator's decision on a template and returns the resulting template.
func (c *exchange) decide(do func(context.Context, verify.ID, time.Time) (store.Template, error)) (any, error) {
	id, err := c.templateID()
	if err != nil {
		return nil, err
	}
	ctx := c.change(id.String(), nil)
	t, err := do(ctx, id, c.now())
	if err != nil {
		return nil, templateProblem(err)
	}
	return toTemplate(t), nil
}
