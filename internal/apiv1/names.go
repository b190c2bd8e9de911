package apiv1

import (
	"errors"
	"time"

	"countersign/internal/template"
	"countersign/internal/verify"
)

// named returns err with the name of the parameter of the refused field.
func (c *exchange) named(req verify.Request, err error) error {
	e, ok := errors.AsType[*verify.Error](err)
	if !ok || e.Field == "" || e.Param != "" {
		return err
	}
	named := *e
	named.Param = c.param(e.Field, req)
	return &named
}

func (c *exchange) param(field verify.Field, req verify.Request) string {
	switch field {
	case verify.FieldBrand:
		if req.Payment != nil {
			return "payee"
		}
	case verify.FieldSender:
		return "sender_id"
	case verify.FieldPINLength:
		return "code_length"
	case verify.FieldWorkflow:
		return "workflow_id"
	case verify.FieldPINLife:
		// next_event_wait replaces a pin_expiry that it does not divide (see workflow).
		if expiry, _ := c.pinExpiry(); time.Duration(expiry)*time.Second != req.Workflow.PINLife {
			return "next_event_wait"
		}
		return "pin_expiry"
	case verify.FieldPIN:
		return "pin_code"
	case verify.FieldTemplate:
	}
	return string(field) // field name and parameter name are equal
}

// Parameters of each endpoint. Other members of a JSON body may have any type.

func startParams() []string {
	return append(sendParams(), "brand", "sender_id", "pin_code")
}

func psd2Params() []string { return append(sendParams(), "payee", "amount") }

// sendParams returns the common parameters of start and psd2.
func sendParams() []string {
	return append(commonParams(), "number", "country", "code_length", "lg", "pin_expiry", "next_event_wait", "workflow_id", "require_type")
}

func checkParams() []string {
	return append(commonParams(), "request_id", "code", "ip_address", "ip")
}

func searchParams() []string { return append(commonParams(), "request_id", listParam) }

func controlParams() []string { return append(commonParams(), "request_id", "cmd") }

// templateParams returns the parameters of templates.
func templateParams() []string {
	return append(append(commonParams(), "action_type", "lg", "template", "type", "contact_email"), template.SoundNames()...)
}

// unblockParams returns the parameters of network-unblock.
func unblockParams() []string {
	return append(commonParams(), "network", "unblock_duration", "duration")
}

// commonParams returns the parameters of every endpoint.
func commonParams() []string { return []string{"api_key", "api_secret", "timestamp", "sig"} }
