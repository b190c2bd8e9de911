package media

// Early returns the number of packets stored before [Session.Start].
func (s *Session) Early() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.early)
}
