package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
)

// pruneRows is how many sequences one transaction removes at most, so that none holds the lease row for long.
const pruneRows = 10_000

// Prune removes the messages of a channel up to and including a sequence. It leaves Info().Last as it is. The database
// refuses to remove events. Prune retries until ctx ends; what it has removed stays removed.
//
// Only the goroutine that calls Append may call Prune.
func (s *Store) Prune(ctx context.Context, c *Channel, upTo uint64) error {
	if !s.isKnown(c) {
		return ErrUnknownChannel
	}
	upTo = min(upTo, c.Info().Last)
	if err := s.removeRange(ctx, c.id, c.Info().First, upTo); err != nil {
		return fmt.Errorf("prune channel %q: %w", c.name, err)
	}
	return s.retryRead(ctx, func() error { return s.reloadAfter(ctx, s.own, c, upTo) })
}

// removeRange removes message rows and subtracts them from the channel's counters.
func (s *Store) removeRange(ctx context.Context, id int64, first, last uint64) error {
	for to := first + pruneRows - 1; first <= last; first, to = to+1, to+pruneRows {
		to = min(to, last)
		err := s.write(ctx, func(t *transaction) error {
			var msgs, bytes int64
			err := t.query(ctx, s.text.countRange, func(rows *sql.Rows) error { return rows.Scan(&msgs, &bytes) }, id, first, to)
			if err != nil || msgs == 0 {
				return err
			}
			if _, err := t.exec(ctx, s.text.deleteRange, id, first, to); err != nil {
				return err
			}
			_, err = t.exec(ctx, s.text.reduceChannel, msgs, bytes, id)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// DeleteChannel removes a channel: a later channel of the same name starts at sequence 1. Its messages and
// subscriptions stay in the database until PurgeDeleted. A channel that holds events is not deleted; the error is
// ErrRefused. DeleteChannel retries until ctx ends.
//
// Only the goroutine that calls Append may call DeleteChannel.
func (s *Store) DeleteChannel(ctx context.Context, c *Channel) error {
	if !s.isKnown(c) {
		return ErrUnknownChannel
	}
	s.creating.Lock()
	defer s.creating.Unlock()
	// A batch that is still on its way to the channel must not arrive later.
	if err := s.resolveUnknown(ctx); err != nil {
		return fmt.Errorf("delete channel %q: %w", c.name, err)
	}
	if !s.isKnown(c) {
		return nil // an earlier call deleted it
	}
	err := s.write(ctx, func(t *transaction) error {
		holds := false
		err := t.query(ctx, s.text.hasEvents, func(*sql.Rows) error {
			holds = true
			return nil
		}, c.id)
		if err != nil {
			return err
		}
		if holds {
			return fmt.Errorf("%w: the channel holds events, which are immutable", ErrRefused)
		}
		// A later channel of the same name has consumers of its own.
		for _, text := range []string{s.text.deleteParkedOf, s.text.deleteNamedOf} {
			if _, err := t.exec(ctx, text, c.name); err != nil {
				return err
			}
		}
		_, err = t.exec(ctx, s.text.markDeleted, c.id)
		return err
	})
	if errors.Is(err, ErrUnavailable) {
		s.maybeDeleted = append(s.maybeDeleted, c)
	}
	if err != nil {
		return fmt.Errorf("delete channel %q: %w", c.name, err)
	}
	s.forget([]*Channel{c})
	return nil
}

// forget removes deleted channels from memory.
func (s *Store) forget(channels []*Channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range channels {
		delete(s.byName, c.name)
	}
}

// deleted returns the channels whose row is gone or marked as deleted.
func (s *Store) deleted(ctx context.Context, q querier, channels []*Channel) ([]*Channel, error) {
	live := map[int64]bool{}
	names := make([]string, len(channels))
	for i, c := range channels {
		names[i] = c.name
	}
	err := s.dialect.channelIDs(ctx, q, names, func(id int64, _ string) { live[id] = true })
	return slices.DeleteFunc(slices.Clone(channels), func(c *Channel) bool { return live[c.id] }), err
}

// PurgeDeleted removes what is left of deleted channels. It retries until ctx ends, and can be called again.
func (s *Store) PurgeDeleted(ctx context.Context) error {
	var ids []int64
	err := s.own.query(ctx, s.text.deletedChannels, func(rows *sql.Rows) error {
		var id int64
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("find deleted channels: %w", s.readError(ctx, err))
	}
	for _, id := range ids {
		var info channelState
		err := s.own.query(ctx, s.text.channel, func(rows *sql.Rows) error {
			return scanChannel(rows, &id, nil, &info)
		}, id)
		if err != nil {
			return fmt.Errorf("purge deleted channel %d: %w", id, s.readError(ctx, err))
		}
		if err := s.purge(ctx, id, info.ChannelInfo); err != nil {
			return fmt.Errorf("purge deleted channel %d: %w", id, err)
		}
	}
	return nil
}

// purge removes a channel's rows, its own last.
func (s *Store) purge(ctx context.Context, id int64, info ChannelInfo) error {
	if info.First > 0 {
		if err := s.removeRange(ctx, id, info.First, info.Last); err != nil {
			return err
		}
	}
	return s.write(ctx, func(t *transaction) error {
		for _, text := range []string{s.text.deleteCancelledOf, s.text.deleteConsumersPendingOf, s.text.deleteConsumersRedeliveredOf, s.text.deleteConsumersOf, s.text.deletePendingsOf, s.text.deleteSubsOf, s.text.deleteChannel} {
			if _, err := t.exec(ctx, text, id); err != nil {
				return err
			}
		}
		return nil
	})
}
