package stores

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/nats-io/nats-streaming-server/spb"
	"github.com/nats-io/stan.go/pb"
)

// ImportVersion replaces ServerInfoVersion while another store is being imported.
const ImportVersion = -1

// MovedVersion replaces ServerInfoVersion once another database has taken the place of this one.
const MovedVersion = -2

// MarkMoved marks the database so that no server starts on it. It retries until ctx ends.
func (s *Store) MarkMoved(ctx context.Context, info *spb.ServerInfo) error {
	return s.putServerInfo(ctx, info, MovedVersion)
}

// BeginImport marks the database as an incomplete import of another store until SetServerInfo. Until then Recover
// returns info as State.Importing. BeginImport retries until ctx ends.
func (s *Store) BeginImport(ctx context.Context, info *spb.ServerInfo) error {
	return s.putServerInfo(ctx, info, ImportVersion)
}

// Restore stores messages of another store with their own sequences and timestamps. The messages are in ascending
// order, above Info().Last, and may leave holes. The channel continues after last: the sequence of the last message, or
// a higher one if later messages are gone. Restore uses one transaction and retries until ctx ends. Event columns stay
// empty; see Backfill.
//
// Only the goroutine that calls Append may call Restore.
func (s *Store) Restore(ctx context.Context, c *Channel, messages []*pb.MsgProto, last uint64) error {
	if !s.isKnown(c) {
		return ErrUnknownChannel
	}
	info := c.Info()
	adv := newAdvance(c)
	rows := make([]*row, len(messages))
	for i, m := range messages {
		if m.Sequence <= adv.last {
			return fmt.Errorf("restore channel %q: sequence %d is not above %d", c.name, m.Sequence, adv.last)
		}
		data, err := (&pb.MsgProto{
			Sequence: m.Sequence, Subject: c.name, Reply: m.Reply, Data: m.Data, Timestamp: m.Timestamp,
		}).Marshal()
		if err != nil {
			return fmt.Errorf("encode message %d of channel %q: %w", m.Sequence, c.name, err)
		}
		rows[i] = &row{channel: c, sequence: m.Sequence, timestamp: m.Timestamp, data: data}
		adv.add(rows[i])
	}
	adv.last = max(adv.last, last)
	if err := s.restoreRows(ctx, adv, rows); err != nil {
		return fmt.Errorf("restore channel %q from sequence %d: %w", c.name, info.Last+1, err)
	}
	return nil
}

// restoreRows stores rows with their tags in one transaction, and advances their channel.
func (s *Store) restoreRows(ctx context.Context, adv *advance, rows []*row) error {
	if len(rows) == 0 && adv.last == adv.before {
		return nil
	}
	tags := tagsOf(rows)
	err := s.write(ctx, func(t *transaction) error {
		// An attempt with an unknown outcome may have stored them.
		stored := false
		err := t.query(ctx, s.text.channel, func(found *sql.Rows) error {
			var id int64
			var now channelState
			err := scanChannel(found, &id, nil, &now)
			stored = now.maxseq == adv.last && now.maxseq > adv.before
			return err
		}, adv.channel.id)
		if err != nil || stored {
			return err
		}
		whole, tombstones := splitErased(rows)
		if len(whole) > 0 {
			if err := s.dialect.insertMessages(ctx, t, whole); err != nil {
				return err
			}
		}
		if err := s.restoreErased(ctx, t, tombstones); err != nil {
			return err
		}
		if len(tags) > 0 {
			if err := s.dialect.insertTags(ctx, t, tags); err != nil {
				return err
			}
		}
		return s.advanceChannels(ctx, t, []*advance{adv})
	})
	if err == nil {
		adv.committed()
	}
	return err
}

// DeleteSubscriptions removes all subscriptions of a channel and their progress. It retries until ctx ends.
func (s *Store) DeleteSubscriptions(ctx context.Context, c *Channel) error {
	if !s.isKnown(c) {
		return ErrUnknownChannel
	}
	err := s.write(ctx, func(t *transaction) error {
		for _, text := range []string{s.text.deleteConsumersPendingOf, s.text.deleteConsumersRedeliveredOf, s.text.deleteConsumersOf, s.text.deletePendingsOf, s.text.deleteSubsOf} {
			if _, err := t.exec(ctx, text, c.id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete subscriptions of channel %q: %w", c.name, err)
	}
	return nil
}
