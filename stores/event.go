package stores

import (
	"context"
	"database/sql"
	"fmt"
)

// Aggregate names an aggregate of a channel.
type Aggregate struct {
	Channel  *Channel
	Type, ID string
}

// ReadAggregate returns events of an aggregate in the order of their versions: upwards from version "from", or
// downwards if backward is set. It stops as Read does; more is false if these are the last ones. It reads through the
// index of aggregates, whatever the size of the channel.
//
// The error is ErrUnavailable. ReadAggregate does not retry.
func (s *Store) ReadAggregate(ctx context.Context, a Aggregate, from uint64, backward bool, maxMsgs, maxBytes int) (messages []Message, more bool, err error) {
	if !s.isKnown(a.Channel) {
		return nil, false, ErrUnknownChannel
	}
	text := s.text.aggregateForward
	if backward {
		text = s.text.aggregateBackward
		from = min(from, maxVersion)
	}
	if from > maxVersion {
		return nil, false, nil
	}
	limit := a.Channel.rowLimit(maxMsgs, maxBytes)
	bytes := 0
	err = s.reader.query(ctx, text, func(rows *sql.Rows) error {
		var m Message
		if err := rows.Scan(&m.Sequence, &m.Timestamp, &m.Data, &m.Version, (*eventNumber)(&m.Position), (*eventNumber)(&m.Erased)); err != nil {
			return err
		}
		bytes += len(m.Data)
		if len(messages) > 0 && bytes > maxBytes {
			more = true
			return errStop
		}
		messages = append(messages, m)
		return nil
	}, a.ID, a.Type, a.Channel.id, from, limit)
	if err != nil {
		return nil, false, fmt.Errorf("read aggregate %q of channel %q: %w", a.ID, a.Channel.name, s.readError(ctx, err))
	}
	return messages, more || len(messages) == limit, nil
}

// AggregatesWithID returns the aggregates that have an ID, on all channels and of all types, by channel and type.
//
// The error is ErrUnavailable. AggregatesWithID does not retry.
func (s *Store) AggregatesWithID(ctx context.Context, id string) ([]Aggregate, error) {
	byID := s.channelsByID()
	var all []Aggregate
	err := s.reader.query(ctx, s.text.aggregatesWithID, func(rows *sql.Rows) error {
		var channel int64
		a := Aggregate{ID: id}
		if err := rows.Scan(&channel, &a.Type); err != nil {
			return err
		}
		if a.Channel = byID[channel]; a.Channel != nil {
			all = append(all, a)
		}
		return nil
	}, id)
	if err != nil {
		return nil, fmt.Errorf("find aggregates %q: %w", id, s.readError(ctx, err))
	}
	return all, nil
}

// FoundEvent is an event with its channel.
type FoundEvent struct {
	Channel *Channel
	Message
}

// EventsWithID returns the events that have an event_id, at most one per channel, by channel.
//
// The error is ErrUnavailable. EventsWithID does not retry.
func (s *Store) EventsWithID(ctx context.Context, id string) ([]FoundEvent, error) {
	byID := s.channelsByID()
	var all []FoundEvent
	err := s.reader.query(ctx, s.text.eventsWithID, func(rows *sql.Rows) error {
		var channel int64
		var e FoundEvent
		if err := rows.Scan(&channel, &e.Sequence, &e.Timestamp, &e.Data, (*eventNumber)(&e.Version), (*eventNumber)(&e.Position), (*eventNumber)(&e.Erased)); err != nil {
			return err
		}
		if e.Channel = byID[channel]; e.Channel != nil {
			all = append(all, e)
		}
		return nil
	}, id)
	if err != nil {
		return nil, fmt.Errorf("find event %q: %w", id, s.readError(ctx, err))
	}
	return all, nil
}

func (s *Store) channelsByID() map[int64]*Channel {
	s.mu.RLock()
	defer s.mu.RUnlock()
	byID := make(map[int64]*Channel, len(s.byName))
	for _, c := range s.byName {
		byID[c.id] = c
	}
	return byID
}
