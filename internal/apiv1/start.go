package apiv1

import (
	"context"
	"errors"
	"strings"

	"countersign/internal/account"
	"countersign/internal/message"
	"countersign/internal/phone"
	"countersign/internal/verify"
)

// start serves /verify/{format}: it sends a PIN to a number.
func (a *API) start(ctx context.Context, c *exchange) (any, error) {
	req, err := a.readStart(ctx, c)
	return a.accept(ctx, c, req, err)
}

// readStart reads the parameters of start in the documented order. With an error it also
// returns the fields before the defect, for [engine.Engine.Refusal].
func (a *API) readStart(ctx context.Context, c *exchange) (req verify.Request, err error) {
	if err := c.need("number", "brand"); err != nil {
		return req, err
	}
	number, err := a.number(c)
	if err != nil {
		return req, err
	}
	req.Brand, req.Sender = c.params.get("brand"), c.params.get("sender_id")
	if err := a.readPlan(ctx, c, number, message.Verification, &req); err != nil {
		return req, err
	}
	if req.ChosenPIN, err = c.pinCode(); err != nil {
		return req, err
	}
	return c.to(number, req), nil
}

// readPlan reads the common parameters of start and psd2 into req.
func (a *API) readPlan(ctx context.Context, c *exchange, number phone.Number, kind message.Kind, req *verify.Request) (err error) {
	if req.CodeLength, err = c.codeLength(); err != nil {
		return err
	}
	if req.Locale, err = a.locale(ctx, c, number, kind); err != nil {
		return err
	}
	pinExpiry, err := c.pinExpiry()
	if err != nil {
		return err
	}
	nextEventWait, err := c.integer("next_event_wait", 0, 60, 900)
	if err != nil {
		return err
	}
	id, err := c.integer("workflow_id", account.DefaultWorkflow(c.account.Settings), 1, account.WorkflowIDs)
	if err != nil {
		return err
	}
	req.Workflow = workflow(id, pinExpiry, nextEventWait, a.cfg.Speed)
	return c.requireType(number)
}

// to adds account, number and source to a request.
func (c *exchange) to(number phone.Number, req verify.Request) verify.Request {
	req.Account, req.Source = c.account.Key, c.source
	req.To, req.Premium = verify.PhoneAddress(number.Digits, number.Country), number.Premium
	return req
}

// accept starts a verification. A non-nil defect is the error of reading req.
func (a *API) accept(ctx context.Context, c *exchange, req verify.Request, defect error) (any, error) {
	if defect != nil {
		return nil, c.named(req, a.cfg.Engine.Refusal(c.account, req, defect))
	}
	v, err := a.cfg.Engine.Start(ctx, c.account, req)
	if err != nil {
		return nil, c.named(req, err)
	}
	c.requestID = v.ID.Hex()
	return startResponse{RequestID: c.requestID, Status: "0"}, nil
}

// locale returns the language: one of the catalog, or one of the account's templates.
func (a *API) locale(ctx context.Context, c *exchange, number phone.Number, kind message.Kind) (string, error) {
	lg := message.LocaleName(c.params.get("lg"))
	locale, ok := a.cfg.Messages.Locale(kind, lg, message.Destination{Country: number.Country, Number: number.Digits})
	if ok {
		return locale, nil
	}
	if kind == message.Payment {
		return "", verify.Invalid("lg", "no such locale for payments: "+quoted(lg)+message.LocaleHint(lg, a.cfg.Messages.Locales(kind)))
	}
	if len(a.cfg.Writer.Templates(ctx, c.account.Key, lg)) > 0 {
		return lg, nil
	}
	return "", verify.Invalid("lg", "no such locale: "+quoted(lg)+message.LocaleHint(lg, a.cfg.Messages.Locales(kind)))
}

// codeLength returns code_length, 4 or 6; 0 for the account's minimum.
func (c *exchange) codeLength() (int, error) {
	n, err := c.integer("code_length", 0, 4, 6)
	if err != nil || n == 5 {
		return 0, verify.Invalid("code_length", "must be 4 or 6")
	}
	return n, nil
}

// pinExpiry returns pin_expiry in seconds; 0 if it is absent.
func (c *exchange) pinExpiry() (int, error) { return c.integer("pin_expiry", 0, 60, 3600) }

func (a *API) refuseStart(_ *exchange, e *verify.Error) (status, text string) {
	if e.Kind == verify.KindBadCredentials {
		return "4", "Invalid credentials were provided"
	}
	return "", ""
}

// number parses number and country.
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

// pinCode returns pin_code. Unlike a code that a user enters, it must be exact: a program
// sends it, and the message contains the same text.
func (c *exchange) pinCode() (verify.PIN, error) {
	text := c.params.get("pin_code")
	if text == "" {
		return verify.PIN{}, nil
	}
	pin, ok := verify.ParsePIN(text)
	if !ok {
		return pin, &verify.Error{Kind: verify.KindInvalidParameter, Param: "pin_code", Field: verify.FieldPIN, Reason: codeForm}
	}
	return pin, nil
}

// requireType applies require_type, an old parameter that is no longer documented: a
// number that is certainly of another type is in an unsupported network.
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
