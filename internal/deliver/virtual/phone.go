// Package virtual is a carrier without a network. It accepts every message immediately
// and stores it in the inbox of a virtual phone, for display on the /phone page and for
// tests by its API.
//
// The phone stores every submission separately, so that duplicates are visible. The
// package does not depend on verifications or on the storage behind [Inbox].
package virtual

import (
	"context"
	"fmt"
	"slices"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/message"
	"countersign/internal/verify"
)

// Message is one received message. A resent event has several.
type Message struct {
	EventID   verify.ID
	RequestID verify.ID
	Number    string // recipient, E.164 digits without "+"
	Channel   verify.Channel
	From      string // sender of an SMS, caller of a call
	Text      string // of a call the words without markup
	Script    message.Script
	SentAt    time.Time
}

// Inbox stores the messages of all numbers in the order of arrival. It must not merge
// messages of the same event.
type Inbox interface {
	// AddMessage stores m. After it returns nil, m is durable.
	AddMessage(ctx context.Context, m Message) error

	// Messages returns the newest messages of number ("" for all numbers), at most
	// limit, oldest first.
	Messages(ctx context.Context, number string, limit int) ([]Message, error)

	// Message returns the newest message of an event, and whether it exists.
	Message(ctx context.Context, event verify.ID) (Message, bool, error)
}

// Config is the configuration of a [Phone].
type Config struct {
	Name   string           // carrier name
	Inbox  Inbox            // required
	Refuse []verify.Channel // refused channels, to demonstrate failover
	Now    func() time.Time // time.Now if nil
}

// Phone is a virtual phone. It is safe for concurrent use.
type Phone struct {
	config   Config
	watchers watchers
}

var _ deliver.Carrier = (*Phone)(nil)

// Channels returns the channels that the carrier supports: all channels to phones.
func Channels() []verify.Channel {
	return verify.ChannelsWith(func(c verify.ChannelInfo) bool { return c.Address == verify.Phone })
}

// New returns a phone. It starts no goroutine and need not be closed.
func New(c Config) *Phone {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Phone{config: c}
}

// Send stores m and accepts it immediately, even a call. The error wraps
// [deliver.ErrRefused] on a refused channel, and [deliver.ErrNotSent] if the inbox fails.
func (p *Phone) Send(ctx context.Context, m deliver.Message) (deliver.Submission, error) {
	if !slices.Contains(Channels(), m.Channel) || slices.Contains(p.config.Refuse, m.Channel) {
		return deliver.Submission{}, fmt.Errorf("%s does not accept %s: %w", p.config.Name, m.Channel, deliver.ErrRefused)
	}
	err := p.config.Inbox.AddMessage(ctx, Message{
		EventID:   m.EventID,
		RequestID: m.RequestID,
		Number:    m.To.Given,
		Channel:   m.Channel,
		From:      m.From,
		Text:      m.Text,
		Script:    m.Script,
		SentAt:    p.config.Now().UTC().Truncate(time.Millisecond),
	})
	if err != nil {
		return deliver.Submission{}, fmt.Errorf("%s: %w: storing message: %w", p.config.Name, deliver.ErrNotSent, err)
	}
	p.watchers.notify(m.To.Given)
	return deliver.Submission{Carrier: p.config.Name}, nil
}

// Watch returns a channel that signals when this phone stores a message for number ("" for
// all numbers). The caller must call stop at the end. stop is idempotent.
//
// Pending signals are merged, so a slow watcher delays no sender and memory is bounded.
// Messages stored by other nodes cause no signal, so a watcher should also poll the inbox.
func (p *Phone) Watch(number string) (changed <-chan struct{}, stop func()) {
	return p.watchers.add(number)
}
