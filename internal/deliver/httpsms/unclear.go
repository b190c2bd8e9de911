package httpsms

import (
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

type awaitedMessage struct {
	event    verify.EventKey
	attempt  int
	inFlight bool
	reported bool // a receipt came while it was in flight
}

// begin notes a request for m.
func (a *awaited) begin(m deliver.Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.list == nil {
		a.list = map[verify.ID]*awaitedMessage{}
	}
	a.list[m.EventID] = &awaitedMessage{event: m.Event(), attempt: m.Attempt, inFlight: true}
}

// end notes the end of the request for m. It reports whether a receipt has arrived. With
// keep, a message without a receipt is kept for a later one.
func (a *awaited) end(m deliver.Message, keep bool) (reported bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	one := a.list[m.EventID]
	if one == nil || one.attempt != m.Attempt {
		return false
	}
	if one.reported || !keep {
		delete(a.list, m.EventID)
		return one.reported
	}
	one.inFlight = false
	a.unclear = append(a.unclear, m.EventID)
	if len(a.unclear) > maxUnclear {
		if oldest := a.list[a.unclear[0]]; oldest != nil && !oldest.inFlight {
			delete(a.list, a.unclear[0])
		}
		a.unclear = a.unclear[1:]
	}
	return false
}

// receipt notes a receipt for an event. ok reports whether the message ended without
// a clear answer: then its acceptance is to be reported.
func (a *awaited) receipt(event verify.ID) (one awaitedMessage, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	found := a.list[event]
	if found == nil {
		return one, false
	}
	if found.inFlight {
		found.reported = true
		return one, false
	}
	return *found, true
}

// forget drops an event after its acceptance was reported.
func (a *awaited) forget(event verify.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if one := a.list[event]; one != nil && !one.inFlight {
		delete(a.list, event)
	}
}
