package smsc

import (
	"container/heap"
	"sync"
	"time"
)

// timers is the queue of delayed functions of an SMSC, which one goroutine runs. The
// callers of add bound its length (see Server.reserve).
type timers struct {
	mu    sync.Mutex
	queue timerQueue
	n     uint64
	wake  chan struct{} // capacity 1
}

type timer struct {
	at time.Time
	n  uint64 // keeps the order of timers with equal times
	do func()
}

// add schedules do to run in the goroutine of run, no earlier than at. do must not
// block.
func (t *timers) add(at time.Time, do func()) {
	t.mu.Lock()
	t.n++
	mine := t.n
	heap.Push(&t.queue, timer{at, mine, do})
	first := t.queue[0].n == mine
	t.mu.Unlock()
	if first {
		select {
		case t.wake <- struct{}{}:
		default: // a wake-up is pending
		}
	}
}

// run runs due functions until stop is closed.
func (t *timers) run(stop <-chan struct{}) {
	clock := time.NewTimer(0)
	defer clock.Stop()
	for {
		select {
		case <-stop:
			return
		case <-clock.C:
		case <-t.wake:
		}
		for {
			do, next := t.pop(time.Now())
			if do == nil {
				clock.Reset(next)
				break
			}
			do()
		}
	}
}

// pop removes and returns the first due function, or nil and the time to wait.
func (t *timers) pop(now time.Time) (do func(), next time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 {
		return nil, time.Hour
	}
	if wait := t.queue[0].at.Sub(now); wait > 0 {
		return nil, wait
	}
	first, _ := heap.Pop(&t.queue).(timer)
	return first.do, 0
}

// timerQueue implements [heap.Interface].
type timerQueue []timer

func (q timerQueue) Len() int { return len(q) }

func (q timerQueue) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].n < q[j].n
}

func (q timerQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements [heap.Interface].
func (q *timerQueue) Push(x any) {
	t, _ := x.(timer)
	*q = append(*q, t)
}

// Pop implements [heap.Interface].
func (q *timerQueue) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	(*q)[last] = timer{}
	*q = (*q)[:last]
	return t
}
