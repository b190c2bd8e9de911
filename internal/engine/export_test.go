package engine

// Occupy reserves every place for a message in flight, as 4096 slow messages would. release
// frees them.
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
