package gsm

import (
	"bytes"
	"container/list"
	"slices"
	"strings"
	"sync"
)

// Joiner puts the parts of long messages together, in whatever order they come.
// K tells messages with the same reference apart: sender and receiver, as a rule.
// Its methods may be called from many goroutines.
type Joiner[K comparable] struct {
	mu    sync.Mutex
	limit int
	size  int
	open  map[joinKey[K]]*list.Element
	order *list.List // of *joining[K], the one that was begun last in front
}

type joinKey[K comparable] struct {
	key   K
	ref   uint16
	wide  bool
	total int
}

// joining is a message of which parts are missing.
type joining[K comparable] struct {
	key   joinKey[K]
	size  int
	parts []joinedPart
}

type joinedPart struct {
	seq     int
	coding  Coding
	payload []byte
}

// partOctets is the bookkeeping of a part and its message, so that many small ones
// are bounded too.
const partOctets = 256

// NewJoiner makes a joiner that holds about that many octets. Beyond it drops the
// message that was begun first.
func NewJoiner[K comparable](octets int) *Joiner[K] {
	return &Joiner[K]{limit: octets, open: map[joinKey[K]]*list.Element{}, order: list.New()}
}

// Add takes a part, and returns the text when it is the last one that was missing.
// A part without a place, or with an impossible one, is a message by itself.
//
// A part that is there already is dropped. If it says something else than it did,
// the reference has come round: the parts so far are dropped in its place.
func (j *Joiner[K]) Add(key K, a Alphabet, h Header, payload []byte) (text string, whole bool) {
	coding := h.Coding(a)
	if h.Total <= 1 || h.Seq < 1 || h.Seq > h.Total {
		return Decode(coding, payload), true
	}
	j.mu.Lock()
	defer j.mu.Unlock()

	k := joinKey[K]{key, h.Ref, h.Wide, h.Total}
	m := j.message(k)
	if i := slices.IndexFunc(m.parts, func(p joinedPart) bool { return p.seq == h.Seq }); i >= 0 {
		if p := m.parts[i]; p.coding == coding && bytes.Equal(p.payload, payload) {
			return "", false
		}
		j.remove(k)
		m = j.message(k)
	}
	m.parts = append(m.parts, joinedPart{h.Seq, coding, bytes.Clone(payload)})
	grown := partOctets + len(payload)
	m.size += grown
	j.size += grown
	if len(m.parts) == h.Total {
		j.remove(k)
		return m.text(), true
	}
	for j.size > j.limit {
		j.remove(j.order.Back().Value.(*joining[K]).key)
	}
	return "", false
}

// message returns the open message of k, begun if need be.
func (j *Joiner[K]) message(k joinKey[K]) *joining[K] {
	if e, ok := j.open[k]; ok {
		return e.Value.(*joining[K])
	}
	m := &joining[K]{key: k}
	j.open[k] = j.order.PushFront(m)
	return m
}

func (j *Joiner[K]) remove(k joinKey[K]) {
	e := j.open[k]
	j.size -= e.Value.(*joining[K]).size
	j.order.Remove(e)
	delete(j.open, k)
}

// text decodes neighbours of one coding together: other senders do split escape
// sequences and surrogate pairs.
func (m *joining[K]) text() string {
	slices.SortFunc(m.parts, func(a, b joinedPart) int { return a.seq - b.seq })
	var text strings.Builder
	var run []byte
	for i, p := range m.parts {
		run = append(run, p.payload...)
		if i+1 == len(m.parts) || m.parts[i+1].coding != p.coding {
			text.WriteString(Decode(p.coding, run))
			run = run[:0]
		}
	}
	return text.String()
}
