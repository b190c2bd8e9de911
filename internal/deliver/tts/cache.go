package tts

import (
	"container/list"
	"crypto/sha256"
	"sync"

	"countersign/internal/deliver/tts/audio"
	"countersign/internal/deliver/tts/internal/speech"
)

// key identifies an utterance without holding its text.
type key [sha256.Size]byte

func keyOf(voice speech.Voice, text string) key {
	return sha256.Sum256([]byte(voice.Name + "\x00" + voice.Locale + "\x00" + text))
}

// cache keeps the utterances that were asked for last, up to a number of bytes.
type cache struct {
	mu      sync.Mutex
	limit   int
	size    int
	entries map[key]*list.Element
	order   *list.List // of utterance, the one used last in front
}

type utterance struct {
	key   key
	sound audio.Samples
}

// bytes counts the bookkeeping too, so that many short utterances are bounded.
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
	if _, ok := c.entries[k]; ok { // two callers asked at the same time
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
