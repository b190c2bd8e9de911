// Package virtual is a carrier without a network: it takes every message at
// once and files it into the inbox of a virtual phone, where a person (on the
// /phone page) or a test (by its API) reads it.
//
// The phone is a witness. It shows what it was handed, copy by copy, so that a
// message sent twice is seen twice; it must not know what a verification is, nor
// how the inbox keeps its messages: it writes through [Inbox], which it declares.
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

// Message is what the phone shows: one copy of an event that reached it.
type Message struct {
	EventID   verify.ID
	RequestID verify.ID
	Number    string // that received it, E.164 digits without "+"
	Channel   verify.Channel
	From      string // sender of an SMS, caller of a call
	Text      string // for a call its words without markup
	Script    message.Script
	SentAt    time.Time
}

// Inbox keeps the messages of all numbers, in the order in which they were
// added. It never merges two copies of an event.
type Inbox interface {
	// AddMessage files m. When it returns without error, m is durable.
	AddMessage(ctx context.Context, m Message) error

	// Messages lists the newest messages of number, or of all numbers when it
	// is "": at most limit of them, oldest first.
	Messages(ctx context.Context, number string, limit int) ([]Message, error)

	// Message returns the newest copy of an event, and whether there is one.
	Message(ctx context.Context, event verify.ID) (Message, bool, error)
}

// Config describes a [Phone].
type Config struct {
	Name   string           // of the carrier, in the configuration and on events
	Inbox  Inbox            // required
	Refuse []verify.Channel // channels that this carrier turns down, to show a failover
	Now    func() time.Time // time.Now if nil
}

// Phone is the carrier. Its methods may be called from many goroutines.
type Phone struct {
	config   Config
	watchers watchers
}

var _ deliver.Carrier = (*Phone)(nil)

// Channels returns the channels of the messages that the carrier takes: those to phones.
func Channels() []verify.Channel {
	return verify.ChannelsWith(func(c verify.ChannelInfo) bool { return c.Address == verify.Phone })
}

// New makes a phone. It starts nothing and needs no closing.
func New(c Config) *Phone {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Phone{config: c}
}

// Send files m and accepts it, whatever the length of a call. On a channel that
// the phone refuses, the error wraps [deliver.ErrRefused]; when the inbox does not
// take the message, [deliver.ErrNotSent].
func (p *Phone) Send(ctx context.Context, m deliver.Message) (deliver.Submission, error) {
	if !slices.Contains(Channels(), m.Channel) || slices.Contains(p.config.Refuse, m.Channel) {
		return deliver.Submission{}, fmt.Errorf("%s takes no %s: %w", p.config.Name, m.Channel, deliver.ErrRefused)
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
		return deliver.Submission{}, fmt.Errorf("%s: %w: file message: %w", p.config.Name, deliver.ErrNotSent, err)
	}
	p.watchers.notify(m.To.Given)
	return deliver.Submission{Carrier: p.config.Name}, nil
}

// Watch tells the caller when this phone files a message for number, or for any
// number when it is "". The caller must call stop when it has seen enough.
//
// A signal says only that something came: signals that nobody has received yet
// melt into one, so a slow watcher holds up no sender and nothing piles up.
// Messages that another node filed give no signal, so a watcher reads the inbox
// from time to time as well.
func (p *Phone) Watch(number string) (changed <-chan struct{}, stop func()) {
	return p.watchers.add(number)
}
