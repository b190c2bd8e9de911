package httpsms

import (
	"slices"
	"sync"

	"countersign/internal/deliver"
	"countersign/internal/verify"
)

// maxUnclear limits the messages with an unclear outcome that wait for a receipt.
const maxUnclear = 4096

// awaited holds the messages in flight and the messages with an unclear outcome, for a
// gateway with receipts by event id. A receipt proves that the gateway accepted its
// message. The zero value is ready to use.
type awaited struct {
	mu      sync.Mutex
	list    map[verify.ID]*awaitedMessage
	unclear []verify.ID // events with an unclear outcome, oldest first; includes removed ids
}

// awaitedMessage is a message with at least one attempt that is in flight or unclear.
type awaitedMessage struct {
	event    verify.EventKey
	inFlight []int // attempts
	unclear  []int // attempts, in the order of their ends
	reported bool  // a receipt arrived while an attempt was in flight
}

// begin adds an attempt of m. Earlier unclear attempts remain.
func (a *awaited) begin(m deliver.Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.list == nil {
		a.list = map[verify.ID]*awaitedMessage{}
	}
	one := a.list[m.EventID]
	if one == nil {
		one = &awaitedMessage{event: m.Event()}
		a.list[m.EventID] = one
	}
	one.inFlight = append(one.inFlight, m.Attempt)
}

// end records the outcome of an attempt of m; err is nil for an accepted message. It
// reports whether a receipt proves that the gateway accepted the message although err is
// not nil. An unclear attempt is kept for a later receipt.
func (a *awaited) end(m deliver.Message, err error) (proven bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	one := a.list[m.EventID]
	if one == nil {
		return false // another attempt was accepted
	}
	one.inFlight = slices.DeleteFunc(one.inFlight, func(n int) bool { return n == m.Attempt })
	isUnclear := err != nil && !isFinal(err)
	proven = err != nil && one.reported && (isUnclear || len(one.unclear) > 0)
	switch {
	case err == nil || proven:
		delete(a.list, m.EventID)
	case isUnclear:
		one.unclear = append(one.unclear, m.Attempt)
		a.bound(m.EventID)
	case len(one.inFlight)+len(one.unclear) == 0:
		delete(a.list, m.EventID)
	}
	return proven
}

// bound adds a message with an unclear outcome, and drops the oldest above maxUnclear.
func (a *awaited) bound(event verify.ID) {
	a.unclear = append(a.unclear, event)
	if len(a.unclear) <= maxUnclear {
		return
	}
	if oldest := a.list[a.unclear[0]]; oldest != nil {
		oldest.unclear = nil
		if len(oldest.inFlight) == 0 {
			delete(a.list, a.unclear[0])
		}
	}
	a.unclear = a.unclear[1:]
}

// receipt records a receipt for an event. ok reports whether all attempts have ended and
// at least one is unclear. The caller must then report the acceptance of attempt, the
// last unclear one.
func (a *awaited) receipt(id verify.ID) (event verify.EventKey, attempt int, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	found := a.list[id]
	if found == nil {
		return event, 0, false
	}
	if len(found.inFlight) > 0 {
		found.reported = true
		return event, 0, false
	}
	return found.event, found.unclear[len(found.unclear)-1], true
}

// forget removes an event after its acceptance was reported.
func (a *awaited) forget(event verify.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if one := a.list[event]; one != nil && len(one.inFlight) == 0 {
		delete(a.list, event)
	}
}
