package virtual

import "sync"

// watchers are those who wait for messages, by nothing but a channel each: no
// goroutine runs for them. The zero value is ready for use.
type watchers struct {
	mu  sync.Mutex
	all map[chan struct{}]string // to the number it waits for; "" for any
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
		default: // a signal is waiting there already
		}
	}
}
