package databases

// Restarted restarts the server with further arguments.
func (s *Server) Restarted(arguments ...string) error {
	if err := s.Shutdown(); err != nil {
		return err
	}
	s.more = append(s.more, arguments...)
	return s.Restart()
}
