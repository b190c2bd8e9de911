package account

import (
	"slices"
	"time"

	"countersign/internal/verify"
)

// WorkflowIDs is the number of published workflows: the ids are 1 to WorkflowIDs.
const WorkflowIDs = 7

// Steps returns the steps of a published workflow (spec §5), or nil for an unknown id. The
// wait of the last step ends with the verification; in workflows 6 and 7 it is the life of
// the PIN.
func Steps(id int) []verify.Step {
	if id < 1 || id > WorkflowIDs {
		return nil
	}
	const sms, tts, s = verify.SMS, verify.TTS, time.Second
	published := [WorkflowIDs][3]verify.Step{
		{{Channel: sms, Wait: 125 * s}, {Channel: tts, Wait: 180 * s}, {Channel: tts, Wait: 300 * s}},
		{{Channel: sms, Wait: 125 * s}, {Channel: sms, Wait: 180 * s}, {Channel: tts, Wait: 300 * s}},
		{{Channel: tts, Wait: 150 * s}, {Channel: tts, Wait: 150 * s}},
		{{Channel: sms, Wait: 120 * s}, {Channel: sms, Wait: 180 * s}},
		{{Channel: sms, Wait: 120 * s}, {Channel: tts, Wait: 180 * s}},
		{{Channel: sms}},
		{{Channel: tts}},
	}
	steps := published[id-1]
	return slices.DeleteFunc(steps[:], func(s verify.Step) bool { return s.Channel == "" })
}

// DefaultWorkflow returns the id of the workflow for a request without one: the lowest id
// that the account may use.
func DefaultWorkflow(s verify.Settings) int {
	if len(s.Workflows) == 0 {
		return 1
	}
	return slices.Min(s.Workflows)
}

// AllowsWorkflow reports whether the account may use a published workflow.
func AllowsWorkflow(s verify.Settings, id int) bool { return allowsSteps(s, Steps(id)) }

// allowsSteps reports whether the account may use a plan. An account limited to some
// workflows may use plans with the channels of one of them, in the same order and with any
// waits, so that the limit also applies to an API without workflow ids.
func allowsSteps(s verify.Settings, steps []verify.Step) bool {
	return len(s.Workflows) == 0 || slices.ContainsFunc(s.Workflows, func(id int) bool {
		return slices.EqualFunc(Steps(id), steps, func(a, b verify.Step) bool { return a.Channel == b.Channel })
	})
}
