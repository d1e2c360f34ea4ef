package stores

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/stores/chain"
)

// CopiedRow is a row of Messages of another database, with the columns that it gets in this one.
type CopiedRow struct {
	Sequence          uint64
	Timestamp         int64
	Data              []byte       // encoded pb.MsgProto
	Event             *proto.Event // nil if the message is not an event
	Version, Position uint64       // of the event
	Erased            uint64       // the erasure that replaced the message; 0 without one
	Document          []byte       // event_data as JSON, which nests no deeper than JSONDepth; nil for NULL
	Appender          uint64       // ID of who appended it; 0 for NULL
	Link              chain.Link   // in the chain; nil for NULL
}

// JSONDepth returns the deepest nesting of a JSON document that the database accepts.
func (s *Store) JSONDepth() int { return s.dialect.jsonDepth() }

// CopyChannel creates a channel of another database, with the same ID. It retries until ctx ends.
func (s *Store) CopyChannel(ctx context.Context, id int64, name string) (*Channel, error) {
	s.creating.Lock()
	defer s.creating.Unlock()
	if c := s.Channel(name); c != nil {
		if c.id != id {
			return nil, fmt.Errorf("copy channel %q: it has id %d here and %d there", name, c.id, id)
		}
		return c, nil
	}
	var made []*Channel
	err := s.write(ctx, func(t *transaction) (err error) {
		made, err = s.findOrInsert(ctx, t, []string{name}, id)
		return err
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("copy channel %q: %w", name, err)
	case made[0].id != id:
		return nil, fmt.Errorf("copy channel %q: it has id %d here and %d there", name, made[0].id, id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.channelID = max(s.channelID, id)
	s.byName[name] = made[0]
	return made[0], nil
}

// Copied returns the highest sequence of a channel that is copied: that of its row.
func (s *Store) Copied(c *Channel) uint64 { return c.state().maxseq }

// CopyRows stores messages of another database as they are there. They are in ascending order, above Copied, and may leave holes. The
// channel continues after last, as with Restore. CopyRows uses one transaction and retries until ctx ends.
//
// Only the goroutine that calls Append may call CopyRows.
func (s *Store) CopyRows(ctx context.Context, c *Channel, copied []CopiedRow, last uint64) error {
	if !s.isKnown(c) {
		return ErrUnknownChannel
	}
	state := c.state()
	adv := &advance{channel: c, before: state.maxseq, last: state.maxseq, time: state.LastTime}
	rows := make([]*row, len(copied))
	for i := range copied {
		m := &copied[i]
		if m.Sequence <= adv.last {
			return fmt.Errorf("copy channel %q: sequence %d is not above %d", c.name, m.Sequence, adv.last)
		}
		rows[i] = &row{
			channel: c, sequence: m.Sequence, timestamp: m.Timestamp, data: m.Data,
			event: m.Event, version: m.Version, position: m.Position, document: m.Document, erased: m.Erased, appender: m.Appender, link: m.Link,
		}
		adv.add(rows[i])
	}
	adv.last = max(adv.last, last)
	if err := s.restoreRows(ctx, adv, rows); err != nil {
		return fmt.Errorf("copy channel %q from sequence %d: %w", c.name, state.maxseq+1, err)
	}
	return nil
}

// FinishCopy records the last position that the other database has given, and makes the copy a store that a server may use. It retries
// until ctx ends.
func (s *Store) FinishCopy(ctx context.Context, info *spb.ServerInfo, position uint64) error {
	data, err := info.Marshal()
	if err != nil {
		return fmt.Errorf("encode server info: %w", err)
	}
	before := s.order()
	err = s.write(ctx, func(t *transaction) error {
		if position != before.given {
			done, err := s.advanceOrder(ctx, t, before, order{position: position})
			if err != nil || done {
				return err
			}
		}
		_, err := t.exec(ctx, s.text.putServerInfo, info.ClusterID, data, ServerInfoVersion)
		return err
	})
	if err != nil {
		return fmt.Errorf("complete the copy: %w", err)
	}
	return nil
}

// IsRefused reports whether the database did not accept data, no matter who sends it.
func IsRefused(err error) bool {
	var failed *txError
	return errors.Is(err, ErrRefused) || errors.As(err, &failed) && (failed.kind == failedRefused || failed.kind == failedUnique)
}
