package stores

import (
	"context"
	"fmt"

	"github.com/nats-io/nats-streaming-server/spb"
)

// PutClient adds a client, or replaces the one with the same ID. It retries until ctx ends.
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

// DeleteClient removes a client, if it exists. It retries until ctx ends.
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

// SaveClients adds or replaces clients, and removes others by ID, in one transaction. It retries until ctx ends.
func (s *Store) SaveClients(ctx context.Context, put []*spb.ClientInfo, deleted []string) error {
	rows := make([][]byte, len(put))
	for i, info := range put {
		var err error
		if rows[i], err = info.Marshal(); err != nil {
			return fmt.Errorf("encode client %q: %w", info.ID, err)
		}
	}
	err := s.write(ctx, func(t *transaction) error {
		for _, id := range deleted {
			if _, err := t.exec(ctx, s.text.deleteClient, id); err != nil {
				return err
			}
		}
		for i, info := range put {
			if _, err := t.exec(ctx, s.text.putClient, info.ID, info.HbInbox, rows[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("save %d clients and delete %d: %w", len(put), len(deleted), err)
	}
	return nil
}
