package tts

import (
	"container/list"
	"crypto/sha256"
	"sync"

	"countersign/internal/deliver/tts/audio"
	"countersign/internal/deliver/tts/internal/speech"
)

// key identifies an utterance without storing its text.
type key [sha256.Size]byte

func keyOf(voice speech.Voice, text string) key {
	return sha256.Sum256([]byte(voice.Name + "\x00" + voice.Locale + "\x00" + text))
}

// cache is an LRU cache of utterances, bounded in bytes.
type cache struct {
	mu      sync.Mutex
	limit   int
	size    int
	entries map[key]*list.Element
	order   *list.List // utterances, most recently used first
}

type utterance struct {
	key   key
	sound audio.Samples
}

// bytes returns the size including overhead, so that many short utterances are bounded.
func (u utterance) bytes() int { return 2*len(u.sound) + 256 }

func newCache(limit int) *cache {
	return &cache{limit: limit, entries: map[key]*list.Element{}, order: list.New()}
}

func (c *cache) get(k key) (audio.Samples, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[k]
	if !ok {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(utterance).sound, true
}

func (c *cache) put(k key, sound audio.Samples) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.entries[k]; ok { // stored by a concurrent caller
		return
	}
	u := utterance{k, sound}
	c.entries[k] = c.order.PushFront(u)
	c.size += u.bytes()
	for c.size > c.limit {
		oldest := c.order.Back()
		u := c.order.Remove(oldest).(utterance)
		delete(c.entries, u.key)
		c.size -= u.bytes()
	}
}
