package apiv1

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"countersign/internal/account"
	"countersign/internal/store"
	"countersign/internal/template"
	"countersign/internal/verify"
	"countersign/internal/web"
)

// templateResponse is the response to an accepted template. Apart from search's lists it
// is the only response with a scalar that is not text: the version.
type templateResponse map[string]any

// refuseTemplate returns the HTTP code, and a body with the status and text of the other
// endpoints.
func (a *API) refuseTemplate(c *exchange, err error) (code int, body any) {
	code, status, text := a.templateRefusal(c, err)
	return code, errorResponse{Status: status, ErrorText: text}
}

func (a *API) templateRefusal(c *exchange, err error) (code int, status, text string) {
	if errors.Is(err, web.ErrMethod) {
		return http.StatusMethodNotAllowed, "3", methodText(c.r)
	}
	if e, ok := errors.AsType[*template.Error](err); ok {
		return http.StatusBadRequest, "3", invalidText(e.Param, e.Reason)
	}
	if errors.Is(err, store.ErrTooManyTemplates) {
		return http.StatusBadRequest, "3", store.ErrTooManyTemplates.Error()
	}
	if errors.Is(err, template.ErrBusy) {
		return http.StatusTooManyRequests, "1", "Throttled"
	}
	e, ok := errors.AsType[*verify.Error](err)
	if !ok {
		e = c.failed(err)
	}
	status, text = a.refuseStart(c, e)
	if status == "" {
		status, text = a.refusal(e)
	}
	switch {
	case e.Kind == verify.KindThrottled:
		return http.StatusTooManyRequests, status, text
	case e.Kind == verify.KindBadCredentials, e.Kind == verify.KindBarred,
		e.Kind == verify.KindMissingParameter && (e.Param == "api_key" || e.Param == "api_secret"):
		return http.StatusUnauthorized, status, text
	case e.Kind == verify.KindMissingParameter, e.Kind == verify.KindInvalidParameter:
		return http.StatusBadRequest, status, text
	}
	return http.StatusInternalServerError, status, text
}

// createTemplate serves POST /verify/templates: an account submits its own text or
// recordings. The endpoint responds with HTTP codes (spec §2): 201, 400, 401 and 500.
func (a *API) createTemplate(ctx context.Context, c *exchange) (any, error) {
	if err := account.MaySend(c.account); err != nil { // precedes the parameters
		return nil, err
	}
	if err := c.need("action_type", "lg"); err != nil {
		return nil, err
	}
	draft := template.Draft{
		Account: c.account, Locale: c.params.get("lg"), Text: c.params.get("template"),
		Encoding: c.params.get("type"), Contact: c.params.get("contact_email"), Sounds: map[string]string{},
	}
	action := c.params.get("action_type")
	channel, ok := verify.FindChannel(func(info verify.ChannelInfo) bool { return info.V1Action == action })
	if !ok {
		return nil, verify.Invalid("action_type", "must be "+strings.Join(templateActions(), " or "))
	}
	draft.Channel = channel.Channel
	for _, name := range template.SoundNames() {
		if url := c.params.get(name); url != "" {
			draft.Sounds[name] = url
		}
	}
	t, err := a.cfg.Templates.Create(ctx, draft, a.cfg.Clock.Now().UTC())
	if err != nil {
		return nil, c.named(verify.Request{}, err)
	}
	return templateAnswer(t), nil
}

// templateActions returns the values of action_type.
func templateActions() []string {
	var list []string
	for _, channel := range verify.Channels() {
		if channel.V1Action != "" {
			list = append(list, channel.V1Action)
		}
	}
	return list
}

func templateAnswer(t store.Template) templateResponse {
	answer := templateResponse{
		"account_id": t.Account, "action_type": t.Channel.Info().V1Action, "lg": t.Locale, "version": t.Version, "status": string(t.Status),
	}
	if t.Encoding != "" { // an SMS
		answer["type"] = t.Encoding
	}
	if t.Text != "" {
		answer["template"] = t.Text
	}
	for name, id := range t.Recordings {
		answer[name] = id.String()
	}
	return answer
}
