// Package deliver hands messages to the operator's carriers: it holds what all
// carriers have in common, and chooses the carrier for a destination.
//
// Each kind of carrier is a package below this one. Carriers must not know the
// store, the engine or the API: they take a [Message] and say whether they
// accepted it.
package deliver

import (
	"context"
	"errors"
	"time"

	"countersign/internal/message"
	"countersign/internal/verify"
)

// Message is one event on its way to a carrier.
type Message struct {
	EventID   verify.ID
	RequestID verify.ID
	Channel   verify.Channel
	Country   string         // ISO 3166-1 alpha-2 of the destination; "" where it has none
	To        string         // E.164 digits without "+"
	From      string         // sender of an SMS, caller of a call
	Text      string         // of an SMS; for a call its words without markup
	Script    message.Script // of a call
	ValidFor  time.Duration  // life left of the PIN; a carrier drops the message after it
}

// Submission is a carrier's acceptance.
type Submission struct {
	Carrier string // name of the carrier that took the message
	Ref     string // the carrier's own id of the message; "" if it gives none
}

// ErrRefused is wrapped by a carrier's definite "no": the message did not go out
// and will not. Any error but this and ErrNotSent leaves that open.
var ErrRefused = errors.New("refused by carrier")

// ErrNotSent is wrapped by a carrier when the message did not go out for a reason
// of its own that may pass: no connection, no disk. It may be handed over again.
var ErrNotSent = errors.New("not sent")

// ErrNoRoute means that no carrier is configured for a destination.
var ErrNoRoute = errors.New("no route")

// Carrier delivers messages. Send returns when the message was accepted or
// refused; it must honour ctx.
type Carrier interface {
	Send(ctx context.Context, m Message) (Submission, error)
}
