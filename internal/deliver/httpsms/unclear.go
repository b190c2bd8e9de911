package httpsms

import (
	"slices"
	"sync"

	"countersign/internal/deliver"
	"countersign/internal/verify"
)

// maxUnclear bounds the messages without a clear answer that wait for a receipt.
const maxUnclear = 4096

// awaited holds the messages in flight and the messages without a clear answer, for a
// gateway with receipts by event id. A receipt proves that the gateway accepted its
// message. The zero value is ready to use.
type awaited struct {
	mu      sync.Mutex
	list    map[verify.ID]*awaitedMessage
	unclear []verify.ID // without a clear answer, the oldest first; includes forgotten ids
}

// awaitedMessage is a message with at least one attempt that is in flight or unclear.
type awaitedMessage struct {
	event    verify.EventKey
	inFlight []int // attempts
	unclear  []int // attempts, in the order of their ends
	reported bool  // a receipt came while an attempt was in flight
}

// begin notes a request for m. Earlier attempts without a clear answer stay.
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

// end notes the end of the request for m with err, nil for an accepted message. It
// reports whether a receipt has shown that the gateway accepted the message, though err
// is not nil. An attempt without a clear answer is kept for a later receipt.
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

// bound adds a message without a clear answer, and drops the oldest of too many.
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

// receipt notes a receipt for an event. ok reports whether all attempts have ended and
// at least one is without a clear answer: then the acceptance of attempt, the last of
// these, is to be reported.
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

// forget drops an event after its acceptance was reported.
func (a *awaited) forget(event verify.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if one := a.list[event]; one != nil && len(one.inFlight) == 0 {
		delete(a.list, event)
	}
}
