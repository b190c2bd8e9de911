package web

// Entries returns the number of sources with failures that count, and of those with
// answers that wait.
func (s *FailedLogins) Entries() (failed, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.now) + len(s.before), len(s.waiting)
}
