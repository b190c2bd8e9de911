package apiv1

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"countersign/internal/message"
	"countersign/internal/phone"
	"countersign/internal/verify"
)

// start serves /verify/{format}: it sends a PIN to a number.
func (a *API) start(ctx context.Context, c *exchange) (any, error) {
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
	mayLink := c.account.Settings.AllowsLinkBrand(brand)
	if err := a.cfg.Writer.CheckBrand(ctx, c.account.Key, req.Locale, brand, mayLink, a.cfg.Denied); err != nil {
		return nil, verify.Invalid("brand", err.Error())
	}
	req.Brand, req.Sender = brand, sender
	return a.accept(ctx, c, req)
}

// request reads the parameters that start and psd2 have in common.
func (a *API) request(ctx context.Context, c *exchange, number phone.Number, kind message.Kind) (verify.Request, error) {
	may := c.account.Settings
	codeLength, err := c.codeLength()
	if err != nil {
		return verify.Request{}, err
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
		return verify.Request{}, verify.Invalid(longLifeParam(pinExpiry, plan),
			fmt.Sprintf("a PIN of this account is valid for at most %d seconds", int(verify.StrictPINLife.Seconds())))
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
func (a *API) locale(ctx context.Context, c *exchange, number phone.Number, kind message.Kind) (string, error) {
	lg := message.LocaleName(c.params.get("lg"))
	locale, ok := a.cfg.Messages.Locale(kind, lg, message.Destination{Country: number.Country, Number: number.Digits})
	if ok {
		return locale, nil
	}
	if kind == message.Payment {
		return "", verify.Invalid("lg", "no such locale for payments: "+quoted(lg)+message.LocaleHint(lg, a.cfg.Messages.Locales(kind)))
	}
	if a.cfg.Writer.Speaks(ctx, c.account.Key, lg) {
		return lg, nil
	}
	return "", verify.Invalid("lg", "no such locale: "+quoted(lg)+message.LocaleHint(lg, a.cfg.Messages.Locales(kind)))
}

// codeLength reads code_length: 4 or 6, and at least the account's least length.
func (c *exchange) codeLength() (int, error) {
	const param, form = "code_length", "must be 4 or 6"
	least := c.account.Settings.LeastCodeLength()
	n, err := c.integer(param, least, 4, 6)
	switch given := c.params.get(param) != ""; {
	case err != nil, given && n == 5:
		return 0, verify.Invalid(param, form)
	case given && n < least:
		return 0, verify.Invalid(param, tooShort(least))
	}
	return n, nil
}

// notAllowed is the reason for a value that the account's settings exclude.
const notAllowed = "not allowed for this account"

// tooShort is the reason for a PIN below the account's least length.
func tooShort(least int) string {
	return fmt.Sprintf("a PIN of this account has at least %d characters", least)
}

func (a *API) accept(ctx context.Context, c *exchange, req verify.Request) (any, error) {
	v, err := a.cfg.Engine.Start(ctx, c.account, req)
	if err != nil {
		return nil, err
	}
	c.requestID = v.ID.Hex()
	return startResponse{RequestID: c.requestID, Status: "0"}, nil
}

func (a *API) refuseStart(_ *exchange, e *verify.Error) (status, text string) {
	if e.Kind == verify.KindBadCredentials {
		return "4", "Invalid credentials were provided"
	}
	return "", ""
}

// number reads number and country.
func (a *API) number(c *exchange) (phone.Number, error) {
	number, err := a.numbers.Parse(c.params.get("number"), c.params.get("country"))
	var refused *phone.Error
	switch {
	case errors.As(err, &refused) && errors.Is(err, phone.ErrCountry):
		return number, verify.Invalid("country", refused.Reason)
	case errors.As(err, &refused):
		return number, verify.Invalid("number", refused.Reason)
	}
	return number, err
}

// senderID reads what an SMS shall name as its sender: at most 11 characters that
// carriers take in an alphanumeric sender.
func (c *exchange) senderID() (string, error) {
	sender := c.params.get("sender_id")
	if defect := verify.SenderDefect(sender); defect != "" {
		return "", verify.Invalid("sender_id", defect)
	}
	if !c.account.Settings.AllowsSender(sender) {
		return "", verify.Invalid("sender_id", notAllowed)
	}
	return sender, nil
}

// pinCode reads pin_code, which takes a permission. It must be exact, unlike a code that
// a person types: a program writes it, and the message contains the same text.
func (c *exchange) pinCode() (verify.PIN, error) {
	text := c.params.get("pin_code")
	if text == "" {
		return verify.PIN{}, nil
	}
	if !c.account.CustomPIN {
		return verify.PIN{}, &verify.Error{Kind: verify.KindCustomPINNotAllowed}
	}
	pin, ok := verify.ParsePIN(text)
	if !ok {
		return verify.PIN{}, verify.Invalid("pin_code", codeForm)
	}
	if least := c.account.Settings.LeastCodeLength(); pin.Len() < least {
		return verify.PIN{}, verify.Invalid("pin_code", tooShort(least))
	}
	return pin, nil
}

// requireType applies require_type (old, and documented no longer): a number that
// is for certain of another type is not in a supported network.
func (c *exchange) requireType(number phone.Number) error {
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
		return verify.Invalid("require_type", "must be All, Mobile or Landline")
	}
	if number.Type == refused {
		return &verify.Error{Kind: verify.KindUnsupportedNetwork, By: verify.Cause{Rule: verify.RuleRequireType, Detail: want}}
	}
	return nil
}
