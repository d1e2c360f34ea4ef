package stores

import (
	"cmp"
	"container/heap"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// unnumbered is an event that has no position yet, with the one that it gets.
type unnumbered struct {
	channel   *Channel
	sequence  uint64
	timestamp int64
	position  uint64
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
	done     uint64
}

// number numbers all events, and returns the end of the order.
func (s *Store) number(ctx context.Context, channels []ChannelState) (order, error) {
	var columns orderColumns
	if err := s.own.query(ctx, s.text.lastPosition, columns.scan); err != nil {
		return order{}, err
	}
	end, err := columns.order()
	if err != nil {
		return order{}, err
	}
	late := map[int64]bool{}
	if columns.given.Valid {
		if err := s.own.query(ctx, s.text.lateChannels, func(rows *sql.Rows) error {
			var id int64
			err := rows.Scan(&id)
			late[id] = true
			return err
		}); err != nil {
			return order{}, err
		}
		if len(late) == 0 {
			return end, nil
		}
	}
	n := &numbering{s: s, end: end, given: columns.given.Valid}
	total := uint64(0)
	for i := range channels {
		if c := channels[i].Channel; late[c.id] || !n.given && c.Info().Msgs > 0 {
			n.channels = append(n.channels, &lateChannel{channel: c})
			total += c.Info().Msgs
		}
	}
	n.limit = max(16, min(numberEvents, numberMemory/max(1, len(n.channels))))
	return n.run(ctx, total)
}

// run numbers the events of all channels.
func (n *numbering) run(ctx context.Context, total uint64) (order, error) {
	for _, c := range n.channels {
		if err := n.s.retryRead(ctx, func() error { return c.start(ctx, n) }); err != nil {
			return order{}, err
		}
	}
	heap.Init(&n.channels)
	began, told := time.Now(), time.Now()
	for {
		events, err := n.next(ctx)
		if err != nil || len(events) == 0 {
			if err == nil {
				err = n.finish(ctx, time.Since(began))
			}
			return n.end, err
		}
		if err := n.store(ctx, events); err != nil {
			return order{}, fmt.Errorf("give positions from %d on: %w", n.end.position+1, err)
		}
		if n.done += uint64(len(events)); time.Since(told) >= numberProgress {
			told = time.Now()
			rate := float64(n.done) / time.Since(began).Seconds()
			left := time.Duration(float64(total-min(n.done, total)) / rate * float64(time.Second))
			n.s.log.Info("numbering events, so that each has a position", "done", n.done, "of_at_most", total, "per_second", int(rate), "left_at_most", left.Round(time.Second))
		}
	}
}

// finish ends the first numbering.
func (n *numbering) finish(ctx context.Context, took time.Duration) error {
	if n.done > 0 {
		n.s.log.Info("numbered events: each has a position", "events", n.done, "last", n.end.position, "took", took.Round(time.Millisecond))
	}
	if n.given {
		return nil
	}
	return n.s.write(ctx, func(t *transaction) error {
		_, err := t.exec(ctx, n.s.text.beginOrder, n.end.position)
		return err
	})
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
			if err := n.s.retryRead(ctx, func() error { return c.read(ctx, n) }); err != nil {
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

// lateChannel holds the next events of a channel that have no position.
type lateChannel struct {
	channel *Channel
	last    uint64 // sequence of the last event that has a position, or was read
	events  []unnumbered
}

func (c *lateChannel) start(ctx context.Context, n *numbering) error {
	err := n.s.own.query(ctx, n.s.text.lastNumbered, func(rows *sql.Rows) error { return rows.Scan(&c.last) }, c.channel.id)
	if err != nil {
		return err
	}
	return c.read(ctx, n)
}

func (c *lateChannel) read(ctx context.Context, n *numbering) error {
	c.events = nil
	err := n.s.own.query(ctx, n.s.text.unnumbered, func(rows *sql.Rows) error {
		e := unnumbered{channel: c.channel}
		err := rows.Scan(&e.sequence, &e.timestamp)
		c.events = append(c.events, e)
		return err
	}, c.channel.id, c.last, n.limit)
	if err == nil && len(c.events) > 0 {
		c.last = c.events[len(c.events)-1].sequence
	}
	return err
}

// lateChannels is a heap: the channel with the next event is the first. One without events comes before all others.
type lateChannels []*lateChannel

func (l lateChannels) Len() int { return len(l) }

func (l lateChannels) Less(i, j int) bool {
	a, b := l[i].events, l[j].events
	if len(a) == 0 || len(b) == 0 {
		return len(a) < len(b)
	}
	return cmp.Or(cmp.Compare(a[0].timestamp, b[0].timestamp), cmp.Compare(a[0].channel.id, b[0].channel.id)) < 0
}

func (l lateChannels) Swap(i, j int) { l[i], l[j] = l[j], l[i] }
func (l *lateChannels) Push(any)     { panic(errors.ErrUnsupported) }

func (l *lateChannels) Pop() any {
	last := len(*l) - 1
	c := (*l)[last]
	*l = (*l)[:last]
	return c
}
