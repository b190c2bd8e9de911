package engine

// Occupy reserves all slots, as 4096 slow messages in flight would. release frees them.
func (e *Engine) Occupy() (release func()) {
	n := 0
	for e.reserve() {
		n++
	}
	return func() {
		for range n {
			e.unreserve()
		}
	}
}
