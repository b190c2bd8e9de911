package deliver

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A carrier is marked down if it accepted less than messageSuccess of its last
// messages, or delivered less than receiptSuccess by its last receipts. It is then
// tried after all other carriers. After downFor, or healthAge for receipts, one probe
// message is routed normally.
const (
	healthWindow   = 50 // latest messages or receipts that count
	healthAge      = 5 * time.Minute
	leastMessages  = 10 // minimum for a decision
	leastReceipts  = 30
	messageSuccess = 1.0 / 2
	receiptSuccess = 1.0 / 3
	downFor        = 30 * time.Second
)

// health tracks the success of a carrier.
type health struct {
	mu       sync.Mutex
	messages outcomes
	receipts outcomes
	until    time.Time // time of the next probe if marked down, otherwise zero
	proving  bool      // a probe is in progress
	useless  bool      // marked down because of receipts
	silent   bool      // the last message got no answer
}

// outcomes are the last results, oldest first.
type outcomes []outcome

type outcome struct {
	at time.Time
	ok bool
}

// add records a result. It reports whether at least least results are within
// healthAge and less than share of them are successful.
func (o *outcomes) add(now time.Time, ok bool, least int, share float64) (bad bool) {
	if len(*o) == healthWindow {
		*o = append((*o)[:0], (*o)[1:]...)
	}
	*o = append(*o, outcome{now, ok})
	n, good := 0, 0
	for _, r := range *o {
		if now.Sub(r.at).Abs() > healthAge { // Abs, since the clock may have been set back
			continue
		}
		n++
		if r.ok {
			good++
		}
	}
	return n >= least && float64(good) < share*float64(n)
}

// down reports whether the carrier is tried after the others. Once until has passed it
// returns false for one message, the probe, and sets until to the next probe.
func (h *health) down(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.until.IsZero() {
		return false
	}
	if left := h.until.Sub(now); left > 0 && left <= healthAge { // longer only if the clock was set back
		return true
	}
	h.until, h.proving = now.Add(downFor), true
	return false
}

// marked reports whether the carrier is marked down, without starting a probe.
func (h *health) marked() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.until.IsZero()
}

// answered records whether a message got an answer, by the error of [Carrier.Send].
func (h *health) answered(err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, ErrTooManyThere) { // not caused by the carrier
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.silent = err != nil && !errors.Is(err, ErrRefused)
}

// answers reports whether the last message got an answer; true before the first one.
func (h *health) answers() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.silent
}

// sent records whether the carrier accepted a message.
func (h *health) sent(now time.Time, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	bad := h.messages.add(now, ok, leastMessages, messageSuccess)
	switch {
	case ok && h.proving:
		h.until, h.useless, h.messages = time.Time{}, false, nil
	case ok && !bad && !h.useless: // enough successes while tried last
		h.until = time.Time{}
	case bad && h.until.IsZero():
		h.until = now.Add(downFor)
	}
	h.proving = false
}

// reported records whether a message accepted by the carrier was delivered.
func (h *health) reported(now time.Time, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.receipts.add(now, ok, leastReceipts, receiptSuccess) {
		h.until, h.receipts, h.proving, h.useless = now.Add(healthAge), nil, false, true
	}
}
