package engine

// Occupy takes every place for a message on its way, as 4096 slow messages would, until
// release.
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
