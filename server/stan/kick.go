package stan

import (
	"context"
	"errors"
)

// Kick closes a client as if it had failed its heartbeats, once what it sent before was processed: its durables keep their positions,
// and it learns of it at its next ping. record is called first; if it fails, nothing happens. Kick returns when the end of the client
// is stored, or with ErrUnknownClient or ErrStopped.
func (s *Server) Kick(ctx context.Context, id string, record func() error) error {
	c := s.clients.get(id)
	if c == nil {
		return ErrUnknownClient
	}
	if err := record(); err != nil {
		return err
	}
	closed, serving := make(chan error, 1), false
	s.handle(func() {
		serving = true
		s.afterReceived(id, unchecked, func(error) { closed <- s.closeClient(context.WithoutCancel(ctx), c) })
	})
	if !serving {
		return ErrStopped
	}
	select {
	case err := <-closed:
		if errors.Is(err, ErrUnknownClient) { // it left meanwhile
			return nil
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
