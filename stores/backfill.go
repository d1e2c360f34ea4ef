package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/proto"
)

// Backfill says how the messages that a channel held before it became an event channel become events.
type Backfill struct {
	From     uint64         // the first sequence to examine; 0 for the first of the channel
	Mapping  *proto.Mapping // reads an event from a payload
	Versions Versions       // which event_version an event may carry
	// Left is called for each message that stays without event columns. why is an error of Mapping.Extract, one that
	// Append returns for a new message, or a *RepeatedError.
	Left func(sequence uint64, why error)
	// Progress is called after each batch with the last sequence examined. It may be nil.
	Progress func(sequence uint64)
}

// RepeatedError says that a message repeats an event.
type RepeatedError struct {
	ID       string // event_id
	Sequence uint64 // of the message that is the event
}

func (e *RepeatedError) Error() string {
	return fmt.Sprintf("event_id %q already belongs to sequence %d, with the same content", e.ID, e.Sequence)
}

// errLaterEvents says that no version in the order of the sequences is left.
var errLaterEvents = errors.New("later events of its aggregate already have versions: no version in the order of sequences is left")

const (
	// backfillSequences, backfillMessages and backfillBytes bound one batch: the sequences that it examines, and the
	// messages that it changes in one transaction.
	backfillSequences = 10_000
	backfillMessages  = 1000
	backfillBytes     = 4 << 20
)

// Backfill fills the event columns of a channel's messages without them, in the order of their sequences, as Append
// would have done. An event without a version gets the next one of its aggregate, in the column only: what subscribers
// receive stays the same, byte for byte. Backfill returns how many messages became events.
//
// It works in batches and retries while the database is unavailable. When ctx ends, finished batches stay; the next
// call continues there and reports again what was left.
//
// Only the goroutine that calls Append may call Backfill.
func (s *Store) Backfill(ctx context.Context, c *Channel, f Backfill) (uint64, error) {
	if !s.isKnown(c) {
		return 0, ErrUnknownChannel
	}
	run := &backfill{Backfill: f, s: s, c: c, later: map[aggregate]uint64{}}
	s.heads.clear() // look up each aggregate, which also finds events behind these messages
	info := c.Info()
	if info.First > 0 {
		for from := max(info.First, f.From); from <= info.Last; {
			next, err := run.batch(ctx, from, info.Last)
			if err != nil {
				return run.filled, fmt.Errorf("fill event columns of channel %q from sequence %d: %w", c.name, from, err)
			}
			if f.Progress != nil {
				f.Progress(next - 1)
			}
			from = next
		}
	}
	return run.filled, nil
}

// backfill is one call of Store.Backfill.
type backfill struct {
	Backfill
	s      *Store
	c      *Channel
	filled uint64
	// later holds the aggregates that had an event behind the messages of a batch when they were first looked up.
	later map[aggregate]uint64
}

// plain is a message without event columns.
type plain struct {
	sequence uint64
	data     []byte
}

// batch handles messages from a sequence on, and returns the sequence to continue with.
func (f *backfill) batch(ctx context.Context, from, last uint64) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, context.Cause(ctx)
	}
	var messages []plain
	var next uint64
	err := f.s.retryRead(ctx, func() (err error) {
		messages, next, err = readPlain(ctx, f.s.reader, f.s.dialect.plainMessages(true), f.c.id, f.c.Info(), from, last)
		return err
	})
	if err != nil {
		return 0, err
	}
	var appends []Append
	var places []unnumbered
	for _, m := range messages {
		timestamp, payload, ev, err := extract(m.data, f.Mapping)
		if err != nil {
			f.Left(m.sequence, err)
			continue
		}
		places = append(places, unnumbered{channel: f.c, sequence: m.sequence, timestamp: timestamp, data: m.data})
		appends = append(appends, Append{Channel: f.c, Payload: payload, Event: &ev, Mapping: f.Mapping, Versions: f.Versions})
	}
	return next, f.fill(ctx, appends, places)
}

// extract reads the event in an encoded pb.MsgProto.
func extract(data []byte, mapping *proto.Mapping) (timestamp int64, payload []byte, ev proto.Event, err error) {
	var m pb.MsgProto
	if err := m.Unmarshal(data); err != nil {
		return 0, nil, proto.Event{}, fmt.Errorf("not a message of NATS Streaming: %w", err)
	}
	ev, err = mapping.Extract(m.Data)
	return m.Timestamp, m.Data, ev, err
}

// fill makes messages events. It finds each whose look-up the database refuses by halving.
func (f *backfill) fill(ctx context.Context, appends []Append, places []unnumbered) error {
	if len(appends) == 0 {
		return nil
	}
	err := f.fillBatch(ctx, f.s.newBatch(appends), places)
	var failed *txError
	switch {
	case !errors.As(err, &failed):
		return err
	case len(appends) == 1:
		f.Left(places[0].sequence, err)
		return nil
	}
	middle := len(appends) / 2
	if err := f.fill(ctx, appends[:middle], places[:middle]); err != nil {
		return err
	}
	return f.fill(ctx, appends[middle:], places[middle:])
}

// fillBatch assigns versions to the events of a batch, as if they were published now, and stores them.
func (f *backfill) fillBatch(ctx context.Context, b *batch, places []unnumbered) error {
	items := make([]int, len(places))
	var ids []eventKey
	for i := range items {
		items[i] = i
		if ev := b.appends[i].Event; ev.ID != "" {
			ids = append(ids, eventKey{f.c.id, ev.ID})
		}
	}
	if len(ids) > 0 {
		if err := b.readEvents(ctx, ids); err != nil {
			return err
		}
	}
	if err := b.fillHeads(ctx, items); err != nil {
		return err
	}
	// An aggregate that memory did not know may have events behind these messages.
	for key := range b.fresh {
		if b.heads[key] == 0 {
			continue
		}
		last, err := f.lastEvent(ctx, key)
		if err != nil {
			return err
		}
		if last > places[0].sequence {
			f.later[key] = last
		}
	}
	items = slices.DeleteFunc(items, func(i int) bool {
		a := &b.appends[i]
		late := f.later[a.aggregate()] > places[i].sequence && (a.Event.Version == 0 || f.Versions != VersionsUnique) &&
			b.known[eventKey{f.c.id, a.Event.ID}] == nil // otherwise it is a repeated one
		if late {
			f.Left(places[i].sequence, errLaterEvents)
		}
		return late
	})
	p, err := b.plan(ctx, items)
	if err != nil {
		return err
	}
	for _, d := range p.decided {
		why := d.result.Err
		if d.result.Duplicate {
			why = &RepeatedError{b.appends[d.item].Event.ID, d.result.Sequence}
		}
		f.Left(places[d.item].sequence, why)
	}
	for _, d := range p.duplicates {
		f.Left(places[d.item].sequence, &RepeatedError{d.of.event.ID, places[d.of.item].sequence})
	}
	for _, r := range p.rows {
		r.sequence, r.timestamp, r.data = places[r.item].sequence, places[r.item].timestamp, places[r.item].data
	}
	return f.store(ctx, p.rows)
}

// lastEvent returns the sequence of the event with an aggregate's highest version.
func (f *backfill) lastEvent(ctx context.Context, key aggregate) (uint64, error) {
	var sequence uint64
	err := f.s.retryRead(ctx, func() error {
		return f.s.own.query(ctx, f.s.dialect.lastEvent(), func(rows *sql.Rows) error {
			return rows.Scan(&sequence)
		}, key.id, key.typ, key.channel)
	})
	if err != nil {
		return 0, fmt.Errorf("look up the last event of aggregate %q: %w", key.id, err)
	}
	return sequence, nil
}

// store writes the event columns of rows. It finds each row that the database refuses by halving.
func (f *backfill) store(ctx context.Context, rows []*row) error {
	if len(rows) == 0 {
		return nil
	}
	before := f.s.order()
	end := before
	var steps []uint64
	for _, r := range rows {
		r.position = end.follow(r.timestamp, &steps)
	}
	f.s.chain(rows, &end)
	err := f.s.write(ctx, func(t *transaction) error {
		done, err := f.s.advanceOrder(ctx, t, before, end)
		if err != nil || done {
			return err
		}
		if err := f.s.insertSteps(ctx, t, steps); err != nil {
			return err
		}
		if err := f.s.dialect.fillEvents(ctx, t, rows); err != nil {
			return err
		}
		return f.s.dialect.insertTags(ctx, t, tagsOf(rows))
	})
	var failed *txError
	switch {
	case err == nil:
		f.s.setOrder(end)
		f.filled += uint64(len(rows))
		for _, r := range rows {
			key := aggregate{f.c.id, r.event.AggregateType, r.event.AggregateID}
			head, _ := f.s.heads.get(key)
			f.s.heads.put(key, max(head, r.version))
		}
		return nil
	case !errors.As(err, &failed):
		return err
	case len(rows) == 1:
		f.Left(rows[0].sequence, err)
		return nil
	}
	if err := f.store(ctx, rows[:len(rows)/2]); err != nil {
		return err
	}
	return f.store(ctx, rows[len(rows)/2:])
}

// readPlain reads the messages of one batch with a text of dialect.plainMessages. It returns the sequence after those
// that it examined.
func readPlain(ctx context.Context, q querier, text string, channel int64, info ChannelInfo, from, last uint64) ([]plain, uint64, error) {
	to := min(last, from+backfillSequences-1)
	// A database sends all requested rows, whether or not they are read: ask only for those that fit.
	limit := backfillMessages
	if info.Msgs > 0 {
		limit = max(1, min(limit, backfillBytes/int(info.Bytes/info.Msgs+1)))
	}
	var messages []plain
	bytes := 0
	err := q.query(ctx, text, func(rows *sql.Rows) error {
		var m plain
		if err := rows.Scan(&m.sequence, &m.data); err != nil {
			return err
		}
		messages = append(messages, m)
		if bytes += len(m.data); bytes >= backfillBytes {
			limit = len(messages)
			return errStop
		}
		return nil
	}, channel, from, to, limit)
	if err != nil {
		return nil, 0, err
	}
	if len(messages) < limit {
		return messages, to + 1, nil
	}
	return messages, messages[len(messages)-1].sequence + 1, nil
}

// FirstPlain returns the sequence of a message without event columns, or 0 if the first messages of the channel all
// have them. The error is ErrUnavailable. FirstPlain does not retry.
func (s *Store) FirstPlain(ctx context.Context, c *Channel) (uint64, error) {
	info := c.Info()
	if info.First == 0 {
		return 0, nil
	}
	var first uint64
	err := s.reader.query(ctx, s.dialect.plainMessages(true), func(rows *sql.Rows) error {
		var data []byte
		return rows.Scan(&first, &data)
	}, c.id, info.First, info.First+backfillMessages-1, 1)
	if err != nil {
		return 0, fmt.Errorf("look for messages of channel %q that are not events: %w", c.name, s.readError(ctx, err))
	}
	return first, nil
}
