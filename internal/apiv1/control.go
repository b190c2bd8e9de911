package apiv1

import (
	"context"

	"countersign/internal/account"
	"countersign/internal/verify"
)

// Commands of control.
const (
	cmdCancel  = "cancel"
	cmdTrigger = "trigger_next_event"
)

// control serves /verify/control/{format}: it cancels a verification or sends its next
// message immediately.
func (a *API) control(ctx context.Context, c *exchange) (any, error) {
	cmd := c.params.get("cmd")
	if cmd == cmdTrigger { // the only command that sends a message
		if err := account.MaySend(c.account); err != nil {
			return nil, err
		}
	}
	if err := c.need("request_id", "cmd"); err != nil {
		return nil, err
	}
	id, err := c.request()
	if err != nil {
		return nil, err
	}
	switch cmd {
	case cmdCancel:
		err = a.cfg.Engine.Cancel(ctx, c.account, id)
	case cmdTrigger:
		err = a.cfg.Engine.Trigger(ctx, c.account, id)
	default:
		err = verify.Invalid("cmd", "must be "+cmdCancel+" or "+cmdTrigger)
	}
	if err != nil {
		return nil, err
	}
	return controlResponse{Status: "0", Command: cmd}, nil
}

func (a *API) refuseControl(c *exchange, e *verify.Error) (status, text string) {
	if e.Kind == verify.KindNotFound {
		// The grammatical error is in the original text.
		return "6", "The requestId '" + c.requestID + "' does not exist or its no longer active."
	}
	return "", ""
}
