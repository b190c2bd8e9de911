package deliver

import (
	"context"
	"errors"
	"sync"
	"time"
)

// When a carrier is marked down: when less than half of its last messages were
// taken, or less than a third of those it reported on were delivered. It is then
// asked after all others for a while, and proves itself with one message at a
// time.
const (
	healthWindow   = 50 // messages or receipts looked back at
	healthAge      = 5 * time.Minute
	leastMessages  = 10 // fewer say nothing
	leastReceipts  = 30
	messageSuccess = 1.0 / 2
	receiptSuccess = 1.0 / 3
	downFor        = 30 * time.Second
)

// health is how a carrier fares.
type health struct {
	mu       sync.Mutex
	messages outcomes
	receipts outcomes
	until    time.Time // when a carrier that is down may prove itself; zero if it is not down
	proving  bool      // its chance was given, and is not over
	useless  bool      // it is down since it delivers too little of what it takes
	silent   bool      // the last message got no answer
}

// outcomes are the last results, oldest first.
type outcomes []outcome

type outcome struct {
	at time.Time
	ok bool
}

// add notes a result, and reports whether there are at least so many that count,
// of which less than the share went well.
func (o *outcomes) add(now time.Time, ok bool, least int, share float64) (bad bool) {
	if len(*o) == healthWindow {
		*o = append((*o)[:0], (*o)[1:]...)
	}
	*o = append(*o, outcome{now, ok})
	n, good := 0, 0
	for _, r := range *o {
		if now.Sub(r.at).Abs() > healthAge { // or ahead: the clock was set back
			continue
		}
		n++
		if r.ok {
			good++
		}
	}
	return n >= least && float64(good) < share*float64(n)
}

// down reports whether the carrier is to be asked after the others. One whose
// time is over is let to prove itself: this message may go there, the next ones
// only when it went well.
func (h *health) down(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.until.IsZero() {
		return false
	}
	if left := h.until.Sub(now); left > 0 && left <= healthAge { // more, if the clock was set back
		return true
	}
	h.until, h.proving = now.Add(downFor), true
	return false
}

// marked is down without the chance.
func (h *health) marked() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.until.IsZero()
}

// answered notes whether a message got an answer: err is that of [Carrier.Send].
func (h *health) answered(err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, ErrTooManyThere) { // not the carrier's doing
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.silent = err != nil && !errors.Is(err, ErrRefused)
}

// answers reports whether the last message got an answer. True before the first one.
func (h *health) answers() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.silent
}

// sent notes whether the carrier took a message.
func (h *health) sent(now time.Time, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	bad := h.messages.add(now, ok, leastMessages, messageSuccess)
	switch {
	case ok && h.proving:
		h.until, h.useless, h.messages = time.Time{}, false, nil
	case ok && !bad && !h.useless: // asked last, it did well often enough
		h.until = time.Time{}
	case bad && h.until.IsZero():
		h.until = now.Add(downFor)
	}
	h.proving = false
}

// reported notes whether a message that the carrier took was delivered.
func (h *health) reported(now time.Time, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.receipts.add(now, ok, leastReceipts, receiptSuccess) {
		h.until, h.receipts, h.proving, h.useless = now.Add(healthAge), nil, false, true
	}
}
