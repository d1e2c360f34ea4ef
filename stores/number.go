package stores

import (
	"container/heap"
	"context"
	"database/sql"
	"fmt"
	"time"
)

// unnumbered is an event that has no position yet, with the one that it gets.
type unnumbered struct {
	channel   *Channel
	sequence  uint64
	timestamp int64
	position  uint64
	data      []byte // encoded pb.MsgProto, if it becomes an event only now
}

const (
	// numberEvents is the number of events that get their positions in one transaction.
	numberEvents = 2000
	// numberMemory bounds the events of all channels in memory.
	numberMemory = 1 << 20
	// numberProgress is how often progress is logged.
	numberProgress = 5 * time.Second
)

// numbering gives positions to the events that have none: those of a program that does not know positions, be it an
// older version of this server. It takes them in the order of time, channel and sequence. In each channel they come
// after all events that have a position. It works in batches; what is done stays done when it is interrupted.
type numbering struct {
	s        *Store
	end      order
	given    bool // StoreLock has a position: no others wrote before it was given
	channels lateChannels
	limit    int // events of a channel in memory
	progress Numbering
	began    time.Time
	told     time.Time
}

// number numbers all events while it renews the lease, and returns the end of the order.
func (s *Store) number(ctx context.Context, channels []ChannelState) (end order, err error) {
	n := &numbering{s: s, began: time.Now(), told: time.Now()}
	err = s.whileRenewing(ctx, func(ctx context.Context) error { return n.run(ctx, channels) })
	return n.end, err
}

func (n *numbering) run(ctx context.Context, channels []ChannelState) error {
	if err := n.start(ctx, channels); err != nil {
		return err
	}
	for {
		events, err := n.next(ctx)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			return n.finish(ctx)
		}
		if err := n.store(ctx, events); err != nil {
			return fmt.Errorf("give positions from %d on: %w", n.end.position+1, err)
		}
		if n.progress.Done += uint64(len(events)); time.Since(n.told) >= numberProgress {
			n.tell()
		}
	}
}

// start finds the channels that may have events without positions.
func (n *numbering) start(ctx context.Context, channels []ChannelState) error {
	var columns orderColumns
	err := n.s.own.query(ctx, n.s.text.lastPosition, columns.scan)
	if err != nil {
		return err
	}
	if n.end, err = columns.order(); err != nil {
		return err
	}
	n.given = columns.given.Valid
	all := !n.given || n.s.options.NumberAll
	late := map[int64]bool{}
	if !all {
		if err := n.s.own.query(ctx, n.s.text.lateChannels, func(rows *sql.Rows) error {
			var id int64
			err := rows.Scan(&id)
			late[id] = true
			return err
		}); err != nil {
			return err
		}
	}
	for i := range channels {
		if c := channels[i].Channel; c.Info().Msgs > 0 && (all || late[c.id]) {
			n.channels = append(n.channels, newLateChannel(c))
		}
	}
	n.limit = max(16, min(numberEvents, numberMemory/max(1, len(n.channels))))
	for _, c := range n.channels {
		if !all {
			if err := c.skipNumbered(ctx, n); err != nil {
				return err
			}
		}
		n.progress.Most += min(c.channel.Info().Msgs, c.end-c.at)
	}
	for _, c := range n.channels {
		if err := c.read(ctx, n); err != nil {
			return err
		}
	}
	heap.Init(&n.channels)
	return nil
}

// finish ends the first numbering.
func (n *numbering) finish(ctx context.Context) error {
	if !n.given {
		if err := n.s.write(ctx, func(t *transaction) error {
			_, err := t.exec(ctx, n.s.text.beginOrder, n.end.position)
			return err
		}); err != nil {
			return err
		}
	}
	if n.progress.Done > 0 {
		n.progress.Finished = true
		n.tell()
	}
	return nil
}

func (n *numbering) tell() {
	n.told, n.progress.Took = time.Now(), time.Since(n.began)
	tell := n.s.options.Numbering
	if tell == nil {
		tell = func(p Numbering) { p.log(n.s.log) }
	}
	tell(n.progress)
}

// next returns the next events in their order.
func (n *numbering) next(ctx context.Context) ([]unnumbered, error) {
	var events []unnumbered
	for len(events) < numberEvents && len(n.channels) > 0 {
		c := n.channels[0]
		if len(c.events) == 0 { // it has no more
			heap.Pop(&n.channels)
			continue
		}
		events = append(events, c.events[0])
		if c.events = c.events[1:]; len(c.events) == 0 {
			if err := c.read(ctx, n); err != nil {
				return nil, err
			}
		}
		heap.Fix(&n.channels, 0)
	}
	return events, nil
}

// store stores the positions of events.
func (n *numbering) store(ctx context.Context, events []unnumbered) error {
	before := n.end
	end := before
	var steps []uint64
	for i := range events {
		events[i].position = end.follow(events[i].timestamp, &steps)
	}
	err := n.s.write(ctx, func(t *transaction) error {
		if n.given {
			done, err := n.s.advanceOrder(ctx, t, before, end)
			if err != nil || done {
				return err
			}
		}
		if err := n.s.insertSteps(ctx, t, steps); err != nil {
			return err
		}
		return n.s.dialect.fillPositions(ctx, t, events)
	})
	if err == nil {
		n.end = end
	}
	return err
}

// insertSteps records the positions at which time steps back. An earlier attempt may have done so.
func (s *Store) insertSteps(ctx context.Context, t *transaction, steps []uint64) error {
	for _, position := range steps {
		known := false
		err := t.query(ctx, s.text.hasStep, func(*sql.Rows) error {
			known = true
			return nil
		}, position)
		if err == nil && !known {
			_, err = t.exec(ctx, s.text.insertStep, position)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
