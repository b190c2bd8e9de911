package virtual

import "sync"

// watchers holds one channel per watcher, and needs no goroutines. The zero value is ready
// to use.
type watchers struct {
	mu  sync.Mutex
	all map[chan struct{}]string // number of each watcher; "" for all numbers
}

func (w *watchers) add(number string) (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = make(map[chan struct{}]string)
	}
	w.all[c] = number
	return c, func() { w.remove(c) }
}

func (w *watchers) remove(c chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.all, c)
}

func (w *watchers) notify(number string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c, wanted := range w.all {
		if wanted != "" && wanted != number {
			continue
		}
		select {
		case c <- struct{}{}:
		default: // a signal is pending
		}
	}
}
