package verify

import "time"

// Step is one stage of a workflow: deliver on Channel, then wait before the next step. The
// wait of the last step is the remaining time for an answer; it may be 0, and then the life
// of the PIN alone decides. The last three fields default to those of the request, see
// [Request.StepAt].
type Step struct {
	Channel   Channel
	Wait      time.Duration
	To        Address
	From      string // sender of a message, caller of a call
	PINPolicy PINPolicy
}

// PINPolicy says when an event gets a new PIN.
type PINPolicy string

const (
	// ReusePIN sends the same PIN while it has a minute to live, and a new one when
	// it has less by the time an event is due. The rule of the v1 API.
	ReusePIN PINPolicy = "reuse"
	// RenewPIN draws a new PIN for every event. The default of the v2 API.
	RenewPIN PINPolicy = "renew"
)

// Workflow is the plan of a verification. It is data: the seven workflows of
// the v1 API are seven values, and any other order and timing works as well.
type Workflow struct {
	Steps       []Step        // at least one
	PINLife     time.Duration // how long a PIN is accepted after it was made
	PINPolicy   PINPolicy     // of the steps without one
	CancelAfter time.Duration // a cancel is refused before this age

	// Test is a plan of which nothing is ever sent: a verification of a test number.
	// It costs nothing, and no guard counts it.
	Test bool

	// Speed divides every duration above, to let a demonstration run through
	// hours in seconds. It is part of the plan, not of the process, so that a
	// verification keeps its pace across a restart. 0 and 1 mean real time.
	Speed int
}

// scale keeps to whole milliseconds, which is what a store keeps.
func (w Workflow) scale(d time.Duration) time.Duration {
	if w.Speed > 1 {
		return (d / time.Duration(w.Speed)).Truncate(time.Millisecond)
	}
	return d
}

// unscale converts a scaled duration to the time of the plan. It adds the
// millisecond that scale may have cut off, so that unscale(scale(d)) is at least d.
func (w Workflow) unscale(d time.Duration) time.Duration {
	if w.Speed > 1 {
		return (d + time.Millisecond) * time.Duration(w.Speed)
	}
	return d
}

// wait is how long after event seq (0 is the first) the next step is due.
func (w Workflow) wait(seq int) time.Duration { return w.scale(w.Steps[seq].Wait) }

func (w Workflow) pinLife() time.Duration { return w.scale(w.PINLife) }
