package smsc

import (
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"countersign/internal/deliver/smpp/pdu"
)

// chance decides which faults apply. For one session its decisions are a function of
// the seed and the messages.
type chance struct {
	mu     sync.Mutex
	random *rand.Rand
	faults Faults
	used   [kinds][]int // number of uses of each rule with a count or list
}

func (c *chance) set(f Faults) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = f
	for k := range c.used {
		c.used[k] = make([]int, len(f.rules[k]))
	}
}

// happens reports whether a fault applies to a message for a destination, and the rule.
func (c *chance) happens(k kind, to string) (rule, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, r := range c.faults.rules[k] {
		if !strings.HasPrefix(strings.TrimPrefix(to, "+"), r.prefix) {
			continue
		}
		if r.often.times > 0 {
			if c.used[k][i] < r.often.times {
				c.used[k][i]++
				return r, true
			}
			continue
		}
		if r.often.percent >= 100 || c.random.Float64()*100 < r.often.percent {
			return r, true
		}
	}
	return rule{}, false
}

// scheduled returns the next status of the lists of k. ok is false after the last.
func (c *chance) scheduled(k kind) (_ pdu.Status, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, r := range c.faults.rules[k] {
		if n := c.used[k][i]; n < len(r.list) {
			c.used[k][i]++
			return r.list[n], true
		}
	}
	return 0, false
}

// wait returns the random delay by a fault: the sum over its rules.
func (c *chance) wait(k kind) (d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.faults.rules[k] {
		d += r.span.draw(c.random)
	}
	return d
}

func (c *chance) draw(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.random.IntN(n)
}

// limiter limits the messages within any second.
type limiter struct {
	taken []time.Time // ring of the times of the last messages
	next  int
}

func (l *limiter) allow(now time.Time, limit int) bool {
	if len(l.taken) != limit {
		l.taken, l.next = make([]time.Time, limit), 0
	}
	oldest := l.taken[l.next]
	if !oldest.IsZero() && now.Sub(oldest) < time.Second {
		return false
	}
	l.taken[l.next] = now
	l.next = (l.next + 1) % limit
	return true
}
