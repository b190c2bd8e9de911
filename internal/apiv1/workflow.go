package apiv1

import (
	"slices"
	"time"

	"countersign/internal/verify"
)

const (
	defaultWorkflow  = 1
	defaultPINExpiry = 300 // seconds
	cancelAfter      = 30 * time.Second
)

// WorkflowChannels returns the channels that each workflow_id uses, with the first step
// first.
func WorkflowChannels() map[int][]verify.Channel {
	channels := make(map[int][]verify.Channel)
	for id := 1; publishedSteps(id) != nil; id++ {
		for _, step := range publishedSteps(id) {
			if !slices.Contains(channels[id], step.Channel) {
				channels[id] = append(channels[id], step.Channel)
			}
		}
	}
	return channels
}

// publishedSteps are the seven workflows (spec §5). The wait of the last step is
// until the verification ends; workflows 6 and 7 wait for their PIN alone.
func publishedSteps(id int) []verify.Step {
	const (
		s        = time.Second
		sms, tts = verify.SMS, verify.TTS
	)
	switch id {
	case 1:
		return []verify.Step{{Channel: sms, Wait: 125 * s}, {Channel: tts, Wait: 180 * s}, {Channel: tts, Wait: 300 * s}}
	case 2:
		return []verify.Step{{Channel: sms, Wait: 125 * s}, {Channel: sms, Wait: 180 * s}, {Channel: tts, Wait: 300 * s}}
	case 3:
		return []verify.Step{{Channel: tts, Wait: 150 * s}, {Channel: tts, Wait: 150 * s}}
	case 4:
		return []verify.Step{{Channel: sms, Wait: 120 * s}, {Channel: sms, Wait: 180 * s}}
	case 5:
		return []verify.Step{{Channel: sms, Wait: 120 * s}, {Channel: tts, Wait: 180 * s}}
	case 6:
		return []verify.Step{{Channel: sms}}
	case 7:
		return []verify.Step{{Channel: tts}}
	}
	return nil
}

// workflowID reads which workflow is asked for. When none is, it is the default, or
// where the account may not have that, the first that it may.
func (c *exchange) workflowID() (int, error) {
	may := c.account.Settings
	id, err := c.integer("workflow_id", defaultWorkflowID(may), 1, 7)
	if err == nil && !may.AllowsWorkflow(id) {
		err = verify.Invalid("workflow_id", notAllowed)
	}
	return id, err
}

// DefaultWorkflow returns the workflow of a start without workflow_id.
func DefaultWorkflow(may verify.Settings, speed int) verify.Workflow {
	return workflow(defaultWorkflowID(may), 0, 0, speed)
}

func defaultWorkflowID(may verify.Settings) int {
	if !may.AllowsWorkflow(defaultWorkflow) {
		return slices.Min(may.Workflows)
	}
	return defaultWorkflow
}

// longLifeParam names the parameter that lets a PIN live too long: pin_expiry, unless
// next_event_wait took its place.
func longLifeParam(pinExpiry int, plan verify.Workflow) string {
	if plan.PINLife == time.Duration(pinExpiry)*time.Second {
		return "pin_expiry"
	}
	return "next_event_wait"
}

// workflow builds a plan from the parameters; pinExpiry and nextEventWait are in
// seconds and 0 when they were not given. next_event_wait replaces every wait.
// When both are given and pin_expiry is not a multiple of it, pin_expiry becomes
// equal to it, silently (spec §2).
func workflow(id, pinExpiry, nextEventWait, speed int) verify.Workflow {
	if pinExpiry != 0 && nextEventWait != 0 && pinExpiry%nextEventWait != 0 {
		pinExpiry = nextEventWait
	}
	if pinExpiry == 0 {
		pinExpiry = defaultPINExpiry
	}
	steps := publishedSteps(id)
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
