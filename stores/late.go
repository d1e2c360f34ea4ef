package stores

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"time"
)

// lateChannel holds the next events of a channel that have no position.
type lateChannel struct {
	channel *Channel
	at, end uint64 // the sequence up to which it was read, and that of its last message
	window  uint64 // sequences that one statement examines
	events  []unnumbered
}

const (
	// lateWindow is the smallest window. A channel may hold any number of messages that are not late.
	lateWindow = 10_000
	// lateTime is how long a statement with the right window takes, at most.
	lateTime = 200 * time.Millisecond
)

func newLateChannel(c *Channel) *lateChannel {
	info := c.Info()
	return &lateChannel{channel: c, at: max(info.First, 1) - 1, end: info.Last, window: lateWindow}
}

// skipNumbered goes to the last event that has a position, because those of an older server come after it. It searches from
// the end.
func (c *lateChannel) skipNumbered(ctx context.Context, n *numbering) error {
	found := false
	for to := c.end; to > c.at && !found; {
		from := max(c.at, to-min(to, c.window))
		if err := n.s.retryRead(ctx, func() error {
			return c.examine(ctx, n, n.s.text.lastNumbered, func(rows *sql.Rows) error {
				found = true
				return rows.Scan(&c.at)
			}, from, to, 1)
		}); err != nil {
			return err
		}
		to = from
	}
	return nil
}

// read reads the next events. There are none if the channel has no more.
func (c *lateChannel) read(ctx context.Context, n *numbering) error {
	c.events = nil
	for c.at < c.end && len(c.events) == 0 {
		to := min(c.end, c.at+c.window)
		if err := n.s.retryRead(ctx, func() error {
			c.events = nil
			return c.examine(ctx, n, n.s.text.unnumbered, func(rows *sql.Rows) error {
				e := unnumbered{channel: c.channel}
				err := rows.Scan(&e.sequence, &e.timestamp)
				c.events = append(c.events, e)
				return err
			}, c.at, to, n.limit)
		}); err != nil {
			return err
		}
		if c.at = to; len(c.events) == n.limit {
			c.at = c.events[len(c.events)-1].sequence
		}
	}
	return nil
}

// examine runs a text on a range of sequences, and fits the window.
func (c *lateChannel) examine(ctx context.Context, n *numbering, text string, scan func(*sql.Rows) error, from, to uint64, limit int) error {
	began := time.Now()
	err := n.s.own.query(ctx, text, scan, c.channel.id, from, to, limit)
	switch took := time.Since(began); {
	case took < lateTime/2:
		c.window = min(2*c.window, maxSequence)
	case took > lateTime:
		c.window = max(c.window/2, lateWindow)
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
