package web

// Entries returns the number of sources with counted failures, and of sources with
// delayed responses.
func (s *FailedLogins) Entries() (failed, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.now) + len(s.before), len(s.waiting)
}
