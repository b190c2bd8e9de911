package fraud

import "container/list"

// bounded is a map of limited size that evicts the least recently used entry. An
// attack keeps its own entries in use, so it can only evict idle ones.
type bounded[K comparable, V any] struct {
	most    int
	size    func(V) int // size of one value; most bounds the sum
	used    int
	entries map[K]*list.Element
	order   *list.List // boundedEntry values, most recently used first
	evicted int
}

type boundedEntry[K comparable, V any] struct {
	key   K
	value V
	size  int
}

func newBounded[K comparable, V any](most int, size func(V) int) *bounded[K, V] {
	return &bounded[K, V]{most: most, size: size, entries: map[K]*list.Element{}, order: list.New()}
}

// get returns a value without marking it as used.
func (b *bounded[K, V]) get(key K) (v V, ok bool) {
	e, ok := b.entries[key]
	if !ok {
		return v, false
	}
	return e.Value.(*boundedEntry[K, V]).value, true
}

// put sets a value, marks it as used, and evicts others until the sum is within the bound.
func (b *bounded[K, V]) put(key K, v V) {
	n := b.size(v)
	if e, ok := b.entries[key]; ok {
		entry := e.Value.(*boundedEntry[K, V])
		b.used += n - entry.size
		entry.value, entry.size = v, n
		b.order.MoveToFront(e)
	} else {
		b.used += n
		b.entries[key] = b.order.PushFront(&boundedEntry[K, V]{key, v, n})
	}
	for b.used > b.most && b.order.Len() > 1 {
		b.remove(b.order.Back())
		b.evicted++
	}
}

// expire removes the least recently used values while old returns true.
func (b *bounded[K, V]) expire(old func(V) bool) {
	for e := b.order.Back(); e != nil && old(e.Value.(*boundedEntry[K, V]).value); e = b.order.Back() {
		b.remove(e)
	}
}

func (b *bounded[K, V]) remove(e *list.Element) {
	entry := e.Value.(*boundedEntry[K, V])
	b.used -= entry.size
	delete(b.entries, entry.key)
	b.order.Remove(e)
}

func (b *bounded[K, V]) len() int { return b.order.Len() }
