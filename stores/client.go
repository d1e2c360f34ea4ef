package stores

import (
	"context"
	"fmt"

	"github.com/nats-io/nats-streaming-server/spb"
)

// PutClient adds a client, or replaces the one of the same ID. It tries until ctx ends.
func (s *Store) PutClient(ctx context.Context, info *spb.ClientInfo) error {
	data, err := info.Marshal()
	if err != nil {
		return fmt.Errorf("encode client %q: %w", info.ID, err)
	}
	err = s.write(ctx, func(t *transaction) error {
		_, err := t.exec(ctx, s.text.putClient, info.ID, info.HbInbox, data)
		return err
	})
	if err != nil {
		return fmt.Errorf("save client %q: %w", info.ID, err)
	}
	return nil
}

// DeleteClient removes a client. It is no error if there is none. It tries until ctx ends.
func (s *Store) DeleteClient(ctx context.Context, id string) error {
	err := s.write(ctx, func(t *transaction) error {
		_, err := t.exec(ctx, s.text.deleteClient, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("delete client %q: %w", id, err)
	}
	return nil
}
