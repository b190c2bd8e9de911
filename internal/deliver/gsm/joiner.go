package gsm

import (
	"bytes"
	"container/list"
	"slices"
	"strings"
	"sync"
)

// Joiner assembles long messages from parts in any order. K distinguishes messages with
// the same reference, usually by sender and receiver. It is safe for concurrent use.
type Joiner[K comparable] struct {
	mu    sync.Mutex
	limit int
	size  int
	open  map[joinKey[K]]*list.Element
	order *list.List // elements are *joining[K], newest first
}

type joinKey[K comparable] struct {
	key   K
	ref   uint16
	wide  bool
	total int
}

// joining is an incomplete message.
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

// partOctets is the memory overhead of a part and its message, so that the limit also
// bounds many small parts.
const partOctets = 256

// NewJoiner returns a joiner that holds at most about octets octets. Above this it drops
// the oldest message.
func NewJoiner[K comparable](octets int) *Joiner[K] {
	return &Joiner[K]{limit: octets, open: map[joinKey[K]]*list.Element{}, order: list.New()}
}

// Add adds a part. If the part completes its message, Add returns the whole text and
// true. A part without a valid number is a complete message.
//
// A repeated part is ignored. If a part with the same number has other contents, the
// reference was reused: the earlier parts are dropped.
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

// message returns the incomplete message with key k, which it creates if needed.
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

// text decodes adjacent parts with the same coding together, since other senders split
// escape sequences and surrogate pairs.
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
