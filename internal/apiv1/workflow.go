package apiv1

import (
	"time"

	"countersign/internal/account"
	"countersign/internal/verify"
)

const (
	defaultPINExpiry = 300 // seconds
	cancelAfter      = 30 * time.Second
)

// DefaultWorkflow returns the workflow of a start without workflow_id.
func DefaultWorkflow(may verify.Settings, speed int) verify.Workflow {
	return workflow(account.DefaultWorkflow(may), 0, 0, speed)
}

// workflow returns the workflow of the parameters. pinExpiry and nextEventWait are in
// seconds, 0 if absent. next_event_wait replaces every wait. A pin_expiry that is not a
// multiple of next_event_wait is replaced with it, without an error (spec §2).
func workflow(id, pinExpiry, nextEventWait, speed int) verify.Workflow {
	if pinExpiry != 0 && nextEventWait != 0 && pinExpiry%nextEventWait != 0 {
		pinExpiry = nextEventWait
	}
	if pinExpiry == 0 {
		pinExpiry = defaultPINExpiry
	}
	steps := account.Steps(id)
	if nextEventWait != 0 && len(steps) > 1 {
		for i := range steps {
			steps[i].Wait = time.Duration(nextEventWait) * time.Second
		}
	}
	return verify.Workflow{
		Steps:       steps,
		PINLife:     time.Duration(pinExpiry) * time.Second,
		PINPolicy:   verify.ReusePIN,
		CancelAfter: cancelAfter,
		Speed:       speed,
	}
}
