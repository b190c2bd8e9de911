package apiv1

import (
	"context"
	"errors"
	"strings"

	"countersign/internal/message"
	"countersign/internal/phone"
	"countersign/internal/template"
	"countersign/internal/verify"
)

// start serves /verify/{format}: it sends a PIN to a number.
func (a *API) start(ctx context.Context, c *call) (any, error) {
	if err := c.account.MaySend(); err != nil {
		return nil, err
	}
	if err := c.need("number", "brand"); err != nil {
		return nil, err
	}
	number, err := a.number(c)
	if err != nil {
		return nil, err
	}
	brand, err := a.shownText(c, "brand")
	if err != nil {
		return nil, err
	}
	sender, err := c.senderID()
	if err != nil {
		return nil, err
	}
	req, err := a.request(ctx, c, number, message.Verification)
	if err != nil {
		return nil, err
	}
	if req.ChosenPIN, err = c.pinCode(); err != nil {
		return nil, err
	}
	if !a.cfg.Writer.MayName(ctx, c.account.Key, req.Locale, brand, a.cfg.Denied.Has) {
		return nil, verify.Invalid("brand")
	}
	req.Brand, req.Sender = brand, sender
	return a.accept(ctx, c, req)
}

// request reads the parameters that start and psd2 have in common.
func (a *API) request(ctx context.Context, c *call, number phone.Number, kind message.Kind) (verify.Request, error) {
	may := c.account.Settings
	codeLength, err := c.integer("code_length", may.LeastCodeLength(), 4, 6)
	if err != nil || c.params.get("code_length") != "" && (codeLength == 5 || codeLength < may.LeastCodeLength()) {
		return verify.Request{}, verify.Invalid("code_length")
	}
	locale, err := a.locale(ctx, c, number, kind)
	if err != nil {
		return verify.Request{}, err
	}
	pinExpiry, err := c.integer("pin_expiry", 0, 60, 3600)
	if err != nil {
		return verify.Request{}, err
	}
	nextEventWait, err := c.integer("next_event_wait", 0, 60, 900)
	if err != nil {
		return verify.Request{}, err
	}
	workflowID, err := c.workflowID()
	if err != nil {
		return verify.Request{}, err
	}
	plan := workflow(workflowID, pinExpiry, nextEventWait, a.cfg.Speed)
	if !may.MayLive(plan.PINLife) {
		return verify.Request{}, verify.Invalid(longLifeParam(pinExpiry, plan))
	}
	if err := c.requireType(number); err != nil {
		return verify.Request{}, err
	}
	return verify.Request{
		Account: c.account.Key, Number: number.Digits, Country: number.Country, Source: c.source, Premium: number.Premium,
		Locale: locale, CodeLength: codeLength,
		Workflow: plan,
	}, nil
}

// locale chooses the language: one of ours, or one that the account has a template
// in.
func (a *API) locale(ctx context.Context, c *call, number phone.Number, kind message.Kind) (string, error) {
	lg := c.params.get("lg")
	locale, ok := a.cfg.Messages.Locale(kind, lg, number.Country)
	if ok {
		return locale, nil
	}
	// One of ours is written as we write it, whether the account has a template or not.
	own := template.Locale(lg)
	if _, ours := a.cfg.Messages.Locale(kind, own, ""); !ours && kind == message.Verification && a.cfg.Writer.Speaks(ctx, c.account.Key, own) {
		return own, nil
	}
	return "", verify.Invalid("lg")
}

func (a *API) accept(ctx context.Context, c *call, req verify.Request) (any, error) {
	v, err := a.cfg.Engine.Start(ctx, c.account, req)
	if err != nil {
		return nil, err
	}
	return startResponse{RequestID: v.ID.Hex(), Status: "0"}, nil
}

func (a *API) refuseStart(_ *call, e *verify.Error) (status, text string) {
	if e.Kind == verify.KindBadCredentials {
		return "4", "Invalid credentials were provided"
	}
	return "", ""
}

// number reads number and country.
func (a *API) number(c *call) (phone.Number, error) {
	number, err := a.numbers.Parse(c.params.get("number"), c.params.get("country"))
	switch {
	case errors.Is(err, phone.ErrCountry):
		return number, verify.Invalid("country")
	case err != nil:
		return number, verify.Invalid("number")
	}
	return number, nil
}

// senderID reads what an SMS shall name as its sender: at most 11 characters that
// carriers take in an alphanumeric sender.
func (c *call) senderID() (string, error) {
	sender := c.params.get("sender_id")
	if !verify.ValidSender(sender) || !c.account.Settings.AllowsSender(sender) {
		return "", verify.Invalid("sender_id")
	}
	return sender, nil
}

// pinCode reads the PIN that the application wants sent, which takes a permission.
func (c *call) pinCode() (verify.PIN, error) {
	text := c.params.get("pin_code")
	if text == "" {
		return verify.PIN{}, nil
	}
	if !c.account.CustomPIN {
		return verify.PIN{}, &verify.Error{Kind: verify.KindCustomPINNotAllowed}
	}
	pin, ok := verify.ParsePIN(text)
	if !ok || pin.Len() < c.account.Settings.LeastCodeLength() {
		return verify.PIN{}, verify.Invalid("pin_code")
	}
	return pin, nil
}

// requireType applies require_type (old, and documented no longer): a number that
// is for certain of another type is not in a supported network.
func (c *call) requireType(number phone.Number) error {
	want := c.params.get("require_type")
	var refused phone.Type
	switch {
	case want == "", strings.EqualFold(want, "All"):
		return nil
	case strings.EqualFold(want, "Mobile"):
		refused = phone.Landline
	case strings.EqualFold(want, "Landline"):
		refused = phone.Mobile
	default:
		return verify.Invalid("require_type")
	}
	if number.Type == refused {
		return &verify.Error{Kind: verify.KindUnsupportedNetwork}
	}
	return nil
}
