package offline

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"time"

	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// round copies and compares what a snapshot of the source has, for some seconds. It reports whether little is left.
func (c *copying) round(ctx context.Context) (level bool, err error) {
	err = c.read(ctx, c.source, func(ctx context.Context, s *stores.Snapshot) error {
		channels, err := s.Channels(ctx)
		if err != nil {
			return err
		}
		if err := c.copyAll(ctx, s, channels, time.Now().Add(copySnapshot)); err != nil {
			return err
		}
		level = c.left(channels) <= copyLevel && c.uncompared(channels) <= copyLevel
		return nil
	})
	return level, err
}

// left returns how many sequences are not copied yet.
func (c *copying) left(channels []stores.SourceChannel) (left uint64) {
	for _, from := range channels {
		copied := uint64(0)
		if ch := c.channels[from.ID]; ch != nil {
			copied = c.target.store.Copied(ch.Channel)
		}
		left += from.Last - min(copied, from.Last)
	}
	return left
}

// uncompared returns how many sequences are not compared yet.
func (c *copying) uncompared(channels []stores.SourceChannel) (left uint64) {
	for _, from := range channels {
		compared := uint64(0)
		if ch := c.channels[from.ID]; ch != nil {
			compared = ch.compared
		}
		left += from.Last - min(compared, from.Last)
	}
	return left
}

// copyAll copies and compares all channels of a snapshot, until a time if that is not zero.
func (c *copying) copyAll(ctx context.Context, s *stores.Snapshot, channels []stores.SourceChannel, until time.Time) error {
	over := func() bool { return !until.IsZero() && time.Now().After(until) }
	if err := c.dropGone(ctx, channels); err != nil {
		return own(err)
	}
	total := uint64(0)
	for _, from := range channels {
		total += from.Last
	}
	for _, from := range channels {
		ch := c.channels[from.ID]
		if ch == nil {
			made, err := c.target.store.CopyChannel(ctx, from.ID, from.Name)
			if err != nil {
				return own(fmt.Errorf("target: %w", err))
			}
			ch = &copiedChannel{Channel: made}
			c.channels[from.ID] = ch
		}
		if err := c.copyChannel(ctx, s, ch, from, over, func() { c.Progress("copied", total-c.left(channels), total) }); err != nil {
			return err
		}
	}
	if c.left(channels) > 0 {
		return nil
	}
	for _, from := range channels {
		if err := c.compare(ctx, s, from, over, func() { c.Progress("compared", total-c.uncompared(channels), total) }); err != nil {
			return err
		}
	}
	return nil
}

// dropGone removes channels that the source's server has removed since they were copied.
func (c *copying) dropGone(ctx context.Context, channels []stores.SourceChannel) error {
	there := map[int64]string{}
	for _, from := range channels {
		there[from.ID] = from.Name
	}
	for id, ch := range c.channels {
		switch name, ok := there[id]; {
		case ok && name != ch.Name():
			return fmt.Errorf("target: channel %d is %q there and %q in the source: it holds part of a copy of another store: name an empty database", id, ch.Name(), name)
		case ok:
			continue
		}
		if err := c.target.store.DeleteChannel(ctx, ch.Channel); err != nil {
			return fmt.Errorf("target: it has channel %q, which the source does not have: name an empty database: %w", ch.Name(), err)
		}
		delete(c.channels, id)
	}
	return nil
}

// part is what one read of a channel returned, ready to be stored.
type part struct {
	rows []stores.CopiedRow
	last uint64 // the channel is copied up to here
	err  error
}

// copyChannel copies the messages of a channel from where the target ends. One goroutine reads while this one writes.
func (c *copying) copyChannel(ctx context.Context, s *stores.Snapshot, ch *copiedChannel, from stores.SourceChannel, over func() bool, progress func()) error {
	copied := c.target.store.Copied(ch.Channel)
	if copied > from.Last {
		return own(fmt.Errorf("target: channel %q is at sequence %d, the source at %d: was a backup of the source restored? Copy into an empty database", from.Name, copied, from.Last))
	}
	if copied == from.Last || over() {
		return nil
	}
	reading, cancel := context.WithCancel(ctx)
	parts := make(chan part, 2)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(parts)
		for next := copied + 1; next <= from.Last && !over(); {
			p := c.readPart(reading, s, from, next)
			next = p.last + 1
			select {
			case parts <- p:
			case <-reading.Done():
				return
			}
			if p.err != nil {
				return
			}
		}
	}()
	defer func() { // the snapshot is not used by two goroutines
		cancel()
		<-done
	}()
	for p := range parts {
		if p.err != nil {
			return p.err
		}
		if err := c.target.store.CopyRows(ctx, ch.Channel, p.rows, p.last); err != nil {
			if stores.IsRefused(err) {
				err = fmt.Errorf("%w: if the channel has a mapping, name the configuration of the server with --to-config", err)
			}
			return own(fmt.Errorf("target: %w", err))
		}
		progress()
	}
	return ctx.Err()
}

// readPart reads and converts messages of a channel.
func (c *copying) readPart(ctx context.Context, s *stores.Snapshot, from stores.SourceChannel, next uint64) part {
	rows, err := s.Rows(ctx, from.ID, next, from.Last, copyRows, copyBytes)
	if err != nil {
		return part{err: err}
	}
	p := part{rows: make([]stores.CopiedRow, len(rows)), last: from.Last}
	var mapping *proto.Mapping
	if block := c.events.Of(from.Name); block != nil {
		mapping = block.Mapping
	}
	for i := range rows {
		if p.rows[i], err = c.convert(&rows[i], mapping); err != nil {
			return part{err: own(fmt.Errorf("source: channel %q: %w", from.Name, err))}
		}
	}
	if len(rows) > 0 { // there may be more
		p.last = rows[len(rows)-1].Sequence
	}
	return p
}

// convert gives a row the columns of the target. Databases keep JSON in their own ways, so that event_data is made anew of the message
// where the message says what the columns say; otherwise the channel has a mapping that this program does not know.
func (c *copying) convert(r *stores.StoredRow, mapping *proto.Mapping) (stores.CopiedRow, error) {
	row := stores.CopiedRow{Sequence: r.Sequence, Timestamp: r.Timestamp, Data: r.Data, Erased: r.Erased, Appender: r.Appender, Link: r.Link}
	if r.Type == "" {
		return row, nil
	}
	if r.Position == 0 {
		return row, fmt.Errorf("the event with sequence %d has no position: run nats-streaming-server migrate on the source", r.Sequence)
	}
	if len(r.Link) == 0 {
		return row, fmt.Errorf("the event with sequence %d is not in the chain of hashes: run nats-streaming-server migrate on the source", r.Sequence)
	}
	row.Version, row.Position = r.Version, r.Position
	ev := &proto.Event{ID: r.ID, Type: r.Type, AggregateType: r.AggregateType, AggregateID: r.AggregateID, Metadata: r.Metadata, Tags: r.Tags}
	row.Event, row.Document = ev, r.Document
	if r.Erased > 0 {
		return row, nil
	}
	var m pb.MsgProto
	if err := m.Unmarshal(r.Data); err != nil {
		return row, nil // damaged, as verify reports; it is copied as it is
	}
	said, err := mapping.Extract(m.Data)
	if err != nil || said.ID != r.ID || said.Type != r.Type || said.AggregateType != r.AggregateType || said.AggregateID != r.AggregateID {
		return row, nil
	}
	ev.Metadata = said.Metadata
	row.Document = said.Document(c.target.store.JSONDepth())
	return row, nil
}

// trim removes messages that limits have removed from the source since they were copied, and compares the counters.
func (c *copying) trim(ctx context.Context, s *stores.Snapshot, from stores.SourceChannel) error {
	ch := c.channels[from.ID]
	if ch.Info().Msgs > from.Msgs {
		first, err := s.First(ctx, from.ID)
		if err != nil {
			return err
		}
		if first == 0 {
			first = from.Last + 1
		}
		if err := c.target.store.Prune(ctx, ch.Channel, first-1); err != nil {
			return own(fmt.Errorf("target: messages that the source no longer has: copy into an empty database: %w", err))
		}
	}
	info, last := ch.Info(), c.target.store.Copied(ch.Channel)
	if info.Msgs != from.Msgs || info.Bytes != from.Bytes || last != from.Last {
		return own(fmt.Errorf("channel %q has %d messages with %d bytes up to sequence %d in the target, and %d with %d up to %d in the source: were messages erased meanwhile, or does verify find faults in the source? Copy into an empty database",
			from.Name, info.Msgs, info.Bytes, last, from.Msgs, from.Bytes, from.Last))
	}
	c.report.Channels++
	c.report.Messages += info.Msgs
	return nil
}

// compare reads what was copied of a channel on both sides, and compares digests.
func (c *copying) compare(ctx context.Context, s *stores.Snapshot, from stores.SourceChannel, over func() bool, progress func()) error {
	ch := c.channels[from.ID]
	for ch.compared < from.Last && !over() {
		next, last := ch.compared+1, from.Last
		there, err := s.Rows(ctx, from.ID, next, from.Last, copyRows, copyBytes)
		if err != nil {
			return err
		}
		if len(there) > 0 && (len(there) == copyRows || there[len(there)-1].Sequence < from.Last) {
			last = there[len(there)-1].Sequence
		}
		here, err := c.readBack(ctx, from.ID, next, last)
		if err != nil {
			return own(fmt.Errorf("target: %w", err))
		}
		// Limits remove the first messages of the source, also after they were copied.
		for len(here) > 0 && here[0].Type == "" && (len(there) == 0 || here[0].Sequence < there[0].Sequence) {
			here = here[1:]
		}
		if digest(there) != digest(here) {
			return own(fmt.Errorf("channel %q differs between the sequences %d and %d, with %d messages in the source and %d in the target: run eventstore verify on the source, and copy into an empty database",
				from.Name, next, last, len(there), len(here)))
		}
		ch.compared = last
		progress()
	}
	return nil
}

// readBack reads messages of a channel of the target.
func (c *copying) readBack(ctx context.Context, channel int64, from, to uint64) (all []stores.StoredRow, err error) {
	err = c.back.Read(ctx, func(ctx context.Context, s *stores.Snapshot) error {
		for from <= to {
			rows, err := s.Rows(ctx, channel, from, to, copyRows, copyBytes)
			if err != nil || len(rows) == 0 {
				return err
			}
			all = append(all, rows...)
			from = rows[len(rows)-1].Sequence + 1
		}
		return nil
	})
	return all, err
}

// digest returns one of messages and event columns. Documents are left out, since databases keep them in their own words: they follow from
// the message.
func digest(rows []stores.StoredRow) (sum [sha256.Size]byte) {
	h := sha256.New()
	var buffer []byte
	for i := range rows {
		r := &rows[i]
		buffer = binary.BigEndian.AppendUint64(buffer[:0], r.Sequence)
		buffer = binary.BigEndian.AppendUint64(buffer, uint64(r.Timestamp))
		buffer = binary.BigEndian.AppendUint64(buffer, r.Version)
		buffer = binary.BigEndian.AppendUint64(buffer, r.Position)
		buffer = binary.BigEndian.AppendUint64(buffer, r.Erased)
		buffer = binary.BigEndian.AppendUint64(buffer, r.Appender)
		for _, text := range append([]string{r.ID, r.Type, r.AggregateType, r.AggregateID}, r.Tags...) {
			buffer = binary.BigEndian.AppendUint64(buffer, uint64(len(text)))
			buffer = append(buffer, text...)
		}
		buffer = append(binary.BigEndian.AppendUint64(buffer, uint64(len(r.Link))), r.Link...)
		buffer = binary.BigEndian.AppendUint64(buffer, uint64(len(r.Data)))
		add(h, buffer)
		add(h, r.Data)
	}
	return [sha256.Size]byte(h.Sum(sum[:0]))
}

func add(h hash.Hash, data []byte) { _, _ = h.Write(data) } // which never fails
