package verify

import "time"

// Step is one stage of a workflow: deliver on Channel, then wait before the next step. The
// wait of the last step is the remaining time for an answer; if it is 0, the life of the
// PIN decides. The last three fields default to the fields of the request, see
// [Request.StepAt].
type Step struct {
	Channel   Channel
	Wait      time.Duration
	To        Address
	From      string // sender of a message, or caller id of a call
	PINPolicy PINPolicy
}

// PINPolicy configures when an event gets a new PIN.
type PINPolicy string

const (
	// ReusePIN sends the same PIN if it is valid for at least another minute when an event
	// is due, otherwise a new one. The rule of the v1 API.
	ReusePIN PINPolicy = "reuse"
	// RenewPIN generates a new PIN for every event. The default of the v2 API.
	RenewPIN PINPolicy = "renew"
)

// Workflow is the plan of a verification. It is data: the seven workflows of the v1 API are
// seven values, and any other order and timing is possible.
type Workflow struct {
	Steps       []Step        // at least one
	PINLife     time.Duration // validity of a PIN after its generation
	PINPolicy   PINPolicy     // default policy of steps
	CancelAfter time.Duration // minimum age for a cancel

	// Test marks a verification of a test number. No message is sent, it is free, and no
	// cap counts it.
	Test bool

	// Speed divides every duration above, so that a demonstration takes seconds instead of
	// hours. It is part of the plan, so that a verification keeps its pace across a
	// restart. 0 and 1 mean real time.
	Speed int
}

// scale divides d by Speed, in whole milliseconds: the resolution of a store.
func (w Workflow) scale(d time.Duration) time.Duration {
	if w.Speed > 1 {
		return (d / time.Duration(w.Speed)).Truncate(time.Millisecond)
	}
	return d
}

// unscale converts a scaled duration to a duration of the plan. It adds the millisecond
// that scale may have truncated, so that unscale(scale(d)) is at least d.
func (w Workflow) unscale(d time.Duration) time.Duration {
	if w.Speed > 1 {
		return (d + time.Millisecond) * time.Duration(w.Speed)
	}
	return d
}

// wait returns the time from event seq (0 is the first) to the next step.
func (w Workflow) wait(seq int) time.Duration { return w.scale(w.Steps[seq].Wait) }

func (w Workflow) pinLife() time.Duration { return w.scale(w.PINLife) }
