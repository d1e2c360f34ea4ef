package stores

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
)

// Message is a stored message.
type Message struct {
	Sequence  uint64
	Timestamp int64  // ns since 1970
	Data      []byte // encoded pb.MsgProto, exactly what a subscriber gets on first delivery; read-only
	Version   uint64 // the column event_version, which Data may lack; 0 if the message is not an event
	Position  uint64 // of the event among all events, from 1; 0 if the message is not an event
	Erased    uint64 // the erasure that replaced the message; 0 if it is as it was published
}

// eventNumber scans event_version, position or erased. NULL and what another program may have written become 0.
type eventNumber uint64

// Scan implements sql.Scanner.
func (v *eventNumber) Scan(value any) error {
	n, _ := value.(int64)
	*v = eventNumber(max(n, 0))
	return nil
}

// Read returns committed messages of a channel with sequences from "from" to "to", both included, ascending. It returns
// at most maxMsgs messages and maxBytes bytes, but at least one message if there is one; it may return fewer than would
// fit. Sequences in a hole of the channel have no message.
//
// The error is ErrUnavailable, or a *DamagedError if the first of these rows is not a valid message. Read does not
// retry.
func (s *Store) Read(ctx context.Context, c *Channel, from, to uint64, maxMsgs, maxBytes int) ([]Message, error) {
	if !s.isKnown(c) {
		return nil, ErrUnknownChannel
	}
	if from > to || from > maxSequence {
		return nil, nil
	}
	limit := c.rowLimit(maxMsgs, maxBytes)
	messages := make([]Message, 0, min(uint64(limit), to-from+1))
	size := 0
	var block blocks
	var sequence, timestamp int64 // the types that drivers return; others are converted through text
	var data sql.RawBytes
	var version, position, erased eventNumber
	err := s.reader.query(ctx, s.text.read, func(rows *sql.Rows) error {
		sequence = 0
		err := rows.Scan(&sequence, &timestamp, &data, &version, &position, &erased)
		if err != nil && !isWrongType(rows, err) {
			return err
		}
		size += len(data)
		if len(messages) > 0 && size > maxBytes {
			return errStop
		}
		if err != nil {
			err = damagedMessage(c, uint64(sequence), err.Error())
		} else {
			err = checkData(c, uint64(sequence), data)
		}
		if err != nil {
			if len(messages) > 0 {
				return errStop // the next call begins with it
			}
			return err
		}
		messages = append(messages, Message{Sequence: uint64(sequence), Timestamp: timestamp, Data: block.clone(data), Version: uint64(version), Position: uint64(position), Erased: uint64(erased)})
		return nil
	}, c.id, from, min(to, maxSequence), limit)
	if err != nil {
		return nil, fmt.Errorf("read channel %q from sequence %d: %w", c.name, from, s.readError(ctx, err))
	}
	return messages, nil
}

// blocks allocates the copies of many small values together. Keeping one of them keeps its whole block.
type blocks struct{ free []byte }

const blockBytes = 32 << 10

func (b *blocks) clone(value []byte) []byte {
	if len(value) > blockBytes/4 {
		return bytes.Clone(value)
	}
	if len(value) > cap(b.free)-len(b.free) {
		b.free = make([]byte, 0, blockBytes)
	}
	start := len(b.free)
	b.free = append(b.free, value...)
	return b.free[start:len(b.free):len(b.free)]
}

// rowLimit returns how many messages to ask for, at most maxMsgs. A database sends all requested rows, whether or not
// they are read, so ask only for those that fit in maxBytes.
func (c *Channel) rowLimit(maxMsgs, maxBytes int) int {
	limit := max(1, maxMsgs)
	if info := c.Info(); info.Msgs > 0 && info.Bytes > 0 {
		limit = max(1, min(limit, maxBytes/int(info.Bytes/info.Msgs+1)+1))
	}
	return limit
}

// maxSequence is the highest sequence that all databases can compare.
const maxSequence = 1<<63 - 1

// SequenceAt returns the sequence of the first message with a timestamp of ns (since 1970) or later, or 0. Timestamps
// never decrease along a channel, so it uses binary search: about 25 look-ups by key in a hundred million messages. An
// index on timestamps would walk through the messages of all channels.
//
// The error is ErrUnavailable. SequenceAt does not retry.
func (s *Store) SequenceAt(ctx context.Context, c *Channel, ns int64) (uint64, error) {
	if !s.isKnown(c) {
		return 0, ErrUnknownChannel
	}
	info := c.Info()
	if info.First == 0 || ns > info.LastTime {
		return 0, nil
	}
	// Invariant: messages before low are too early; found, if not 0, is late enough.
	low, high, found := info.First, info.Last+1, uint64(0)
	for low < high {
		middle := low + (high-low)/2
		var seq uint64
		var timestamp int64
		err := s.reader.query(ctx, s.text.timeFrom, func(rows *sql.Rows) error {
			return rows.Scan(&seq, &timestamp)
		}, c.id, middle)
		if err != nil {
			return 0, fmt.Errorf("find time in channel %q: %w", c.name, s.readError(ctx, err))
		}
		switch {
		case seq == 0: // nothing from the middle on: a hole at the end
			high = middle
		case timestamp >= ns:
			found, high = seq, middle // the row may lie after the middle; go on with what lies before
		default:
			low = seq + 1
		}
	}
	return found, nil
}
