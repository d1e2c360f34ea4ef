package eventlog

import (
	"context"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Cursor reads a channel onwards: from the tail in memory, or ahead from the database, within the budget of all cursors
// and paced beside publishers. It knows holes: messages that are gone are skipped once, and the database is not asked
// again before something new is committed. One goroutine uses a cursor.
type Cursor struct {
	ch    *Channel
	ready chan struct{} // one slot
	stop  func()        // watching
	next  uint64        // sequence of the next message to be read: behind those of msgs

	msgs []stores.Message // read from the database and not taken
	// held says that memory is reserved for msgs. Without it, what is not taken at once is forgotten and read again.
	held bool
	runs *read // the read that runs; nil: none does

	granted int         // messages of msgs that may be taken
	timer   *time.Timer // signals ready when pacing or the pause after an error is over
	until   time.Time   // the end of that; zero: there is none
}

// read is one that runs, beside the goroutine of its cursor.
type read struct {
	to     uint64 // where it ends
	held   bool
	done   chan struct{} // closed when what follows is set
	msgs   []stores.Message
	err    error
	cancel context.CancelFunc
}

// Cursor returns a cursor whose first message is the one with sequence next or, if that is gone, the first one after it.
// The caller closes it.
func (c *Channel) Cursor(next uint64) *Cursor {
	cur := &Cursor{ch: c, ready: make(chan struct{}, 1), next: max(next, 1)}
	cur.stop = c.Watch(func() { signal(cur.ready) })
	signal(cur.ready)
	return cur
}

// Ready has a value when Next may return something, or an error. It has one slot.
func (c *Cursor) Ready() <-chan struct{} { return c.ready }

// Position returns the sequence of the next message to be returned. Holes that are known are skipped.
func (c *Cursor) Position() uint64 {
	c.skip()
	if len(c.msgs) > 0 {
		return c.msgs[0].Sequence
	}
	return c.next
}

// skip passes over what the limits have removed.
func (c *Cursor) skip() {
	if n := len(c.msgs); n > 0 {
		c.taken(n - len(c.ch.remaining(c.msgs)))
	}
	if len(c.msgs) == 0 {
		c.next = max(c.next, c.ch.first())
	}
}

// Next returns up to max messages in order, those that are at hand. If there are none, Ready has a value once there may
// be; so it has if there are more. It never blocks. After an error, the messages are read again in a while.
func (c *Cursor) Next(max int) ([]stores.Message, error) {
	if c.ch.Deleted() {
		return nil, ErrChannelDeleted
	}
	if max <= 0 {
		return nil, nil
	}
	c.skip()
	if len(c.msgs) == 0 {
		if err := c.arrived(); err != nil {
			return nil, err
		}
		c.skip()
	}
	if len(c.msgs) > 0 {
		return c.take(max), nil
	}
	last := c.ch.stored.Info().Last
	if c.runs != nil || c.next > last || c.pauses() {
		return nil, nil
	}
	if msgs := c.ch.tail.read(c.next, last, min(max, batchMsgs)); msgs != nil {
		msgs = c.ch.remaining(within(msgs, batchBytes))
		if len(msgs) > 0 {
			c.next = msgs[len(msgs)-1].Sequence + 1
		}
		if c.next <= last {
			signal(c.ready)
		}
		return msgs, nil
	}
	c.begin(last, max)
	return nil, nil
}

// take returns messages that were read, as many as pacing lets it, and begins to read those that follow.
func (c *Cursor) take(max int) []stores.Message {
	n := min(max, len(c.msgs))
	if last := c.ch.stored.Info().Last; c.held && c.runs == nil && c.next <= last && !c.ch.tail.reaches(c.next) {
		c.begin(last, 0)
	}
	if c.held {
		if c.pauses() {
			return nil
		}
		if c.granted == 0 {
			var wait time.Duration
			if c.granted, wait = c.ch.log.pace.grant(n); wait > 0 {
				c.pause(wait)
				return nil
			}
		}
		n = min(n, c.granted)
		c.granted -= n
	}
	msgs := c.msgs[:n:n]
	if c.taken(n); len(c.msgs) > 0 || c.runs == nil {
		signal(c.ready)
	}
	return msgs
}

// taken takes note that the first n messages were taken.
func (c *Cursor) taken(n int) {
	if n == 0 {
		return
	}
	if !c.held {
		c.next = c.msgs[n-1].Sequence + 1 // what is not taken is read again
	}
	if c.msgs = c.msgs[n:]; len(c.msgs) > 0 && c.held {
		return
	}
	c.msgs, c.granted = nil, 0
	if c.held {
		c.ch.log.reading.give()
		c.held = false
	}
	if r := c.runs; r != nil {
		select {
		case <-r.done:
			signal(c.ready) // it ended while there were others to take
		default:
		}
	}
}

// begin begins to read messages up to the last one that is stored. window is how many can be taken now: no more are read
// if there is no memory to hold them; 0: messages are at hand already.
func (c *Cursor) begin(last uint64, window int) {
	second := window == 0
	held := c.ch.log.reading.take(second)
	if !held && second {
		return
	}
	maxMsgs, maxBytes := batchMsgs, batchBytes
	if !held {
		maxMsgs, maxBytes = min(maxMsgs, window), smallBytes
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &read{to: last, held: held, done: make(chan struct{}), cancel: cancel}
	c.runs = r
	from := c.next
	go func() { // its cursor waits for it: in arrived, or in Release
		r.msgs, r.err = c.ch.readStored(ctx, from, last, maxMsgs, maxBytes)
		close(r.done)
		signal(c.ready)
	}()
}

// arrived takes over what was read, if the read has ended.
func (c *Cursor) arrived() error {
	r := c.runs
	if r == nil {
		return nil
	}
	select {
	case <-r.done:
	default:
		return nil
	}
	r.cancel()
	c.runs = nil
	if len(r.msgs) == 0 && r.held {
		c.ch.log.reading.give()
		r.held = false
	}
	switch {
	case r.err != nil:
		c.pause(readRetry)
		return r.err
	case len(r.msgs) == 0:
		c.next = max(c.next, r.to+1) // a hole to the end
		return nil
	}
	c.msgs, c.held = r.msgs, r.held
	if c.held {
		c.next = c.msgs[len(c.msgs)-1].Sequence + 1
	}
	return nil
}

// pause has nothing returned for a while, after which ready is signalled.
func (c *Cursor) pause(wait time.Duration) {
	c.until = time.Now().Add(wait)
	if c.timer == nil {
		c.timer = time.AfterFunc(wait, func() { signal(c.ready) })
		return
	}
	c.timer.Reset(wait)
}

// pauses reports whether a pause is not over.
func (c *Cursor) pauses() bool {
	if c.until.IsZero() {
		return false
	}
	if time.Now().Before(c.until) {
		return true
	}
	c.until = time.Time{}
	return false
}

// ReadTo returns some messages up to a sequence, at most max, and at least one if there is any. It waits for the database. If
// there is none, Position is behind that sequence. After an error, the next call reads again.
func (c *Cursor) ReadTo(ctx context.Context, to uint64, max int) ([]stores.Message, error) {
	c.drop()
	for {
		switch {
		case c.ch.Deleted():
			return nil, ErrChannelDeleted
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		}
		c.skip()
		last := min(to, c.ch.stored.Info().Last)
		if c.next > last {
			return nil, nil
		}
		all, stored, err := c.ch.read(ctx, c.next, last, min(max, batchMsgs))
		if err != nil {
			return nil, err
		}
		if len(all) == 0 {
			c.next = last + 1 // a hole to the end
			continue
		}
		if stored {
			if err := c.ch.log.pace.wait(ctx, len(all)); err != nil {
				return nil, err
			}
		}
		c.next = all[len(all)-1].Sequence + 1
		if msgs := c.ch.remaining(all); len(msgs) > 0 {
			return msgs, nil
		}
	}
}

// Release gives memory back and keeps the position.
func (c *Cursor) Release() {
	c.drop()
	signal(c.ready)
}

// drop forgets what was read, and waits for the read that runs.
func (c *Cursor) drop() {
	if len(c.msgs) > 0 {
		c.next = c.msgs[0].Sequence
	}
	c.msgs, c.granted = nil, 0
	if c.held {
		c.ch.log.reading.give()
		c.held = false
	}
	if r := c.runs; r != nil {
		r.cancel()
		<-r.done
		if c.runs = nil; r.held {
			c.ch.log.reading.give()
		}
	}
}

// Close gives memory back and ends watching.
func (c *Cursor) Close() {
	c.drop()
	c.stop()
	if c.timer != nil {
		c.timer.Stop()
	}
}
