package virtual_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/deliver/virtual"
	"countersign/internal/message"
	"countersign/internal/verify"
)

const number = "447700900001"

// inbox stores messages in memory, or fails with err.
type inbox struct {
	virtual.Inbox // the phone only writes

	err error

	mu       sync.Mutex
	messages []virtual.Message
}

func (b *inbox) AddMessage(ctx context.Context, m virtual.Message) error {
	if err := errors.Join(ctx.Err(), b.err); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages = append(b.messages, m)
	return nil
}

func (b *inbox) all() []virtual.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.messages)
}

func clock() time.Time {
	return time.Date(2026, 11, 22, 21, 30, 0, 123_456_789, time.FixedZone("", 3600))
}

func call() deliver.Message {
	script := message.Script{Locale: "en-gb", Parts: []message.Part{{Text: "Your code is"}, {Spell: "4821"}}}
	return deliver.Message{
		EventID:   verify.ID{1},
		RequestID: verify.ID{2},
		Channel:   verify.TTS,
		To:        verify.PhoneAddress(number, ""),
		From:      "Acme",
		Text:      script.Words(),
		Script:    script,
		ValidFor:  5 * time.Minute,
	}
}

func TestSendFilesTheMessage(t *testing.T) {
	t.Parallel()
	box := &inbox{}
	phone := virtual.New(virtual.Config{Name: "virtual", Inbox: box, Now: clock})

	got, err := phone.Send(t.Context(), call())
	if err != nil {
		t.Fatal(err)
	}
	if text, want := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", deliver.Submission{Carrier: "virtual"}); text != want {
		t.Errorf("submission %s, want %s", text, want)
	}
	sent := call()
	want := []virtual.Message{{
		EventID:   sent.EventID,
		RequestID: sent.RequestID,
		Number:    number,
		Channel:   verify.TTS,
		From:      "Acme",
		Text:      "Your code is 4, 8, 2, 1",
		Script:    sent.Script,
		SentAt:    time.Date(2026, 11, 22, 20, 30, 0, 123_000_000, time.UTC),
	}}
	if got := box.all(); !reflect.DeepEqual(got, want) {
		t.Errorf("inbox\n got %+v\nwant %+v", got, want)
	}
}

func TestSendShowsEveryCopy(t *testing.T) {
	t.Parallel()
	box := &inbox{}
	phone := virtual.New(virtual.Config{Inbox: box})
	for range 2 {
		if _, err := phone.Send(t.Context(), call()); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(box.all()); got != 2 {
		t.Errorf("an event that was sent twice has %d messages", got)
	}
}

func TestSendErrors(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()

	tests := []struct {
		name    string
		ctx     context.Context
		refuse  []verify.Channel
		inbox   error
		want    error
		refused bool // a refusal, so that the engine can fail over
	}{
		{name: "RefusedChannel", ctx: t.Context(), refuse: []verify.Channel{verify.TTS}, want: deliver.ErrRefused, refused: true},
		{name: "OtherChannelRefused", ctx: t.Context(), refuse: []verify.Channel{verify.SMS}},
		{name: "InboxFails", ctx: t.Context(), inbox: full, want: full},
		{name: "Cancelled", ctx: cancelled, want: context.Canceled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			box := &inbox{err: tt.inbox}
			phone := virtual.New(virtual.Config{Name: "virtual", Inbox: box, Refuse: tt.refuse})
			changed, stop := phone.Watch("")
			defer stop()

			got, err := phone.Send(tt.ctx, call())
			if !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if refused := errors.Is(err, deliver.ErrRefused); refused != tt.refused {
				t.Errorf("refused: %t, want %t (%v)", refused, tt.refused, err)
			}
			if tt.want == nil {
				return
			}
			if text := fmt.Sprintf("%+v", got); text != fmt.Sprintf("%+v", deliver.Submission{}) {
				t.Errorf("submission %s with an error", text)
			}
			if n := len(box.all()); n != 0 {
				t.Errorf("%d messages stored", n)
			}
			if signalled(changed) {
				t.Error("signal without a message")
			}
		})
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	phone := virtual.New(virtual.Config{Inbox: &inbox{}})
	every, stopEvery := phone.Watch("")
	defer stopEvery()
	same, stopSame := phone.Watch(number)
	defer stopSame()
	other, stopOther := phone.Watch("15550100")
	defer stopOther()
	gone, stopGone := phone.Watch(number)
	stopGone()
	stopGone() // idempotent

	// Without a receiver the sender must not block, and three signals are merged.
	for range 3 {
		if _, err := phone.Send(t.Context(), call()); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name    string
		changed <-chan struct{}
		want    bool
	}{
		{"AnyNumber", every, true},
		{"SameNumber", same, true},
		{"OtherNumber", other, false},
		{"Stopped", gone, false},
	}
	for _, tt := range tests {
		if got := signalled(tt.changed); got != tt.want {
			t.Errorf("%s: signalled %t, want %t", tt.name, got, tt.want)
		}
		if signalled(tt.changed) {
			t.Errorf("%s: signalled more than once", tt.name)
		}
	}
}

func TestWatchWhileSending(t *testing.T) {
	t.Parallel()
	phone := virtual.New(virtual.Config{Inbox: &inbox{}})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				_, stop := phone.Watch(number)
				if _, err := phone.Send(t.Context(), call()); err != nil {
					t.Error(err)
				}
				stop()
			}
		})
	}
	wg.Wait()
}

func signalled(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
