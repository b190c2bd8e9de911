// Package deliver hands messages to the operator's carriers: it holds what all
// carriers have in common, and chooses the carrier for a destination.
//
// Each kind of carrier is a package below this one. Carriers must not know the
// store, the engine or the API: they take a [Message], say whether they accepted
// it, and later report a [Receipt].
package deliver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"countersign/internal/message"
	"countersign/internal/verify"
)

// Message is one event on its way to a carrier.
type Message struct {
	EventID   verify.ID
	RequestID verify.ID
	Account   string // its API key
	Seq       int    // of the event within its verification, from 0
	Attempt   int    // 1, or 2 when the outcome of the first is not known
	Channel   verify.Channel
	To        verify.Address // carriers send to the given form
	From      string         // sender of an SMS, caller of a call
	Text      string         // on a spoken channel the words without markup
	Script    message.Script // on a spoken channel
	ValidFor  time.Duration  // life left of the PIN; a carrier drops the message after it

	// Values are what carriers may put into the message beside the above: those of the
	// account, such as an entity_id.
	Values map[string]string

	// Tried names the carriers that may have taken the message already. They are
	// asked again only when there is no other.
	Tried []string

	// Refused names the carriers that have refused it. They are not asked again.
	Refused []string
}

// Event names the event that the message is of.
func (m Message) Event() verify.EventKey {
	return verify.EventKey{Verification: m.RequestID, Seq: m.Seq}
}

// Destination is what a route is chosen by.
type Destination struct {
	Channel verify.Channel
	To      verify.Address
	Account string // API key
	Sender  string // that the application asked for, or the default
}

// Destination tells where m goes.
func (m Message) Destination() Destination {
	return Destination{Channel: m.Channel, To: m.To, Account: m.Account, Sender: m.From}
}

// Submission is a carrier's acceptance.
type Submission struct {
	Carrier string // name of the carrier that took the message

	// Refs are the carrier's own ids of what it took: one for each part of a long
	// SMS, in order. A carrier that gives none reports no receipts.
	Refs []string

	// Failed are the errors of failed attempts inside the carrier, such as over another
	// bind. The [Router] adds them to Failures.
	Failed []error

	// Failures are the carriers that were asked before, as the [Router] notes.
	Failures []verify.Failure

	// Segments is how many messages the carrier bills; 0 is one.
	Segments int
}

// Receipt is what a carrier reports later about a message that it accepted.
type Receipt struct {
	Carrier string
	Ref     string            // as in [Submission.Refs]
	State   verify.EventState // accepted, delivered, answered, held, undeliverable, expired or rejected
	Error   string            // the carrier's own code for what went wrong, or a note of what it noticed; "" for none

	// FormerRefs are the references that earlier settings of the carrier may have given
	// to the message. They are looked for in order if Ref is unknown.
	FormerRefs []string
}

// Answer is a carrier's answer to a submission that came after Send had given up
// waiting for it. Part says to which one, and what the carrier said.
type Answer struct {
	Event verify.EventKey
	Part  verify.Part
}

// Reports takes what carriers report after Send has returned. Both functions
// return once the report is durable; after an error the carrier asks its peer to
// report again, if it can. They may be called from many goroutines, and before the
// Send that they are about has returned.
type Reports struct {
	Receipt func(context.Context, Receipt) error
	Answer  func(context.Context, Answer) error
}

// NoReports returns reports that have no effect.
func NoReports() Reports {
	return Reports{
		Receipt: func(context.Context, Receipt) error { return nil },
		Answer:  func(context.Context, Answer) error { return nil },
	}
}

// ErrRefused is wrapped by a carrier's definite "no": the message did not go out
// and will not. Any error but this and ErrNotSent leaves that open.
var ErrRefused = errors.New("refused by carrier")

// ErrNumber is a refusal that is about the number, and not about the carrier.
var ErrNumber = fmt.Errorf("%w: bad number", ErrRefused)

// ErrNotSent is wrapped by a carrier when the message did not go out for a reason
// of its own that may pass: no connection, no disk. It may be submitted again.
var ErrNotSent = errors.New("not sent")

// ErrTooManyThere is a reason of that sort that is about where the message goes, and
// not about the carrier: enough are on their way there.
var ErrTooManyThere = fmt.Errorf("%w: enough are on their way there", ErrNotSent)

// ErrNoRoute means that no carrier is configured for a destination.
var ErrNoRoute = errors.New("no route")

// Carrier delivers messages. Send returns when the message was accepted or
// refused; it must honour ctx.
type Carrier interface {
	Send(ctx context.Context, m Message) (Submission, error)
}
