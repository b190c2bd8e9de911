// Package deliver submits messages to the operator's carriers. It defines the types
// common to all carriers, and routes each message to a carrier.
//
// Each kind of carrier is a subpackage. Carriers do not depend on the store, the
// engine or the API: they accept or refuse a [Message] and later report a [Receipt].
package deliver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"countersign/internal/message"
	"countersign/internal/verify"
)

// Message is the message of one event, to be submitted to a carrier.
type Message struct {
	EventID   verify.ID
	RequestID verify.ID
	Account   string // API key
	Seq       int    // number of the event within its verification, from 0
	Attempt   int    // 1, or 2 if the outcome of the first is unknown
	Channel   verify.Channel
	To        verify.Address // carriers use its Given form
	From      string         // sender of an SMS, caller of a call
	Text      string         // on spoken channels the words without markup
	Script    message.Script // set on spoken channels
	ValidFor  time.Duration  // remaining lifetime of the PIN; a carrier drops the message after it

	// Values are the account's values for placeholders of carriers, such as entity_id.
	Values map[string]string

	// Tried contains the carriers that may have accepted the message. They are used
	// again only if no other carrier accepts it.
	Tried []string

	// Refused contains the carriers that refused the message. They are not used again.
	Refused []string
}

// Event returns the key of the event of the message.
func (m Message) Event() verify.EventKey {
	return verify.EventKey{Verification: m.RequestID, Seq: m.Seq}
}

// Destination contains the properties of a message that select its route.
type Destination struct {
	Channel verify.Channel
	To      verify.Address
	Account string // API key
	Sender  string // requested by the application, or the default
}

// Destination returns the properties of m that select its route.
func (m Message) Destination() Destination {
	return Destination{Channel: m.Channel, To: m.To, Account: m.Account, Sender: m.From}
}

// Submission is the acceptance of a message by a carrier.
type Submission struct {
	Carrier string // name of the accepting carrier

	// Refs are the carrier's message ids, one per part of a long SMS, in order. Without
	// them no receipts are reported.
	Refs []string

	// Failed contains the errors of failed attempts within the carrier, such as over
	// another bind. The [Router] adds them to Failures.
	Failed []error

	// Failures contains the failures of carriers tried earlier. The [Router] sets it.
	Failures []verify.Failure

	// Segments is the number of messages that the carrier bills; 0 means one.
	Segments int
}

// Receipt is a carrier's later report about a message that it accepted.
type Receipt struct {
	Carrier string
	Ref     string            // as in [Submission.Refs]
	State   verify.EventState // accepted, delivered, answered, held, undeliverable, expired or rejected
	Error   string            // the carrier's error code, or a remark; may be ""

	// FormerRefs are the references of the message under earlier settings of the
	// carrier. They are looked up in order if Ref is unknown.
	FormerRefs []string
}

// Answer is a late response: it arrived after Send had stopped waiting. Part
// identifies the submission and has its outcome.
type Answer struct {
	Event verify.EventKey
	Part  verify.Part
}

// Reports receives reports of carriers. Both functions return once the report is
// durable. After an error the carrier requests the report again if its protocol
// permits. The functions must be safe for concurrent use, also before the Send of
// the message has returned.
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

// ErrRefused indicates a definite refusal: the message was not and will not be sent.
// After any error other than this and ErrNotSent the outcome is unknown.
var ErrRefused = errors.New("refused by carrier")

// ErrNumber indicates a refusal because of the number. It does not count against the
// carrier.
var ErrNumber = fmt.Errorf("%w: bad number", ErrRefused)

// ErrNotSent indicates that the message was not sent because of a temporary failure of
// the carrier, such as a lost connection or a full disk. It may be submitted again.
var ErrNotSent = errors.New("not sent")

// ErrTooManyThere means that the limit on concurrent messages to this destination is
// reached. It wraps ErrNotSent and does not count against the carrier.
var ErrTooManyThere = fmt.Errorf("%w: limit of concurrent messages to the destination reached", ErrNotSent)

// ErrNoRoute indicates that no carrier is configured for a destination.
var ErrNoRoute = errors.New("no route")

// Carrier delivers messages. Send returns once the message is accepted or refused,
// or ctx is done.
type Carrier interface {
	Send(ctx context.Context, m Message) (Submission, error)
}
