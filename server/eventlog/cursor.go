package eventlog

import (
	"context"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Cursor reads a channel forward: from the tail in memory, or ahead from the database, within the memory budget of all
// cursors and paced for the sake of publishers. It passes a gap of missing messages with one read, then waits for the
// next commit. Only one goroutine uses a cursor.
type Cursor struct {
	ch    *Channel
	ready chan struct{} // one slot
	stop  func()        // watching
	next  uint64        // next sequence to read, after msgs

	msgs []stores.Message // read from the database, not yet taken
	// held means that memory is reserved for msgs. Without it, messages not taken at once are dropped and read again.
	held    bool
	running *read // the running read, or nil

	granted int         // messages of msgs that may be taken
	timer   *time.Timer // signals ready after a pause
	until   time.Time   // end of the pause, or zero
}

// read is a read that runs on its own goroutine.
type read struct {
	to     uint64 // last sequence to read
	held   bool
	done   chan struct{} // closed once msgs and err are set
	msgs   []stores.Message
	err    error
	cancel context.CancelFunc
}

// Cursor returns a cursor at sequence next, or at the first later message if that one is gone. The caller closes it.
func (c *Channel) Cursor(next uint64) *Cursor {
	cur := &Cursor{ch: c, ready: make(chan struct{}, 1), next: max(next, 1)}
	cur.stop = c.Watch(func() { signal(cur.ready) })
	signal(cur.ready)
	return cur
}

// Ready receives a value when Next may return messages or an error. It has one slot.
func (c *Cursor) Ready() <-chan struct{} { return c.ready }

// Position returns the sequence of the next message, past known gaps.
func (c *Cursor) Position() uint64 {
	c.skip()
	if len(c.msgs) > 0 {
		return c.msgs[0].Sequence
	}
	return c.next
}

// skip passes messages that the limits have removed.
func (c *Cursor) skip() {
	if n := len(c.msgs); n > 0 {
		c.consume(n - len(c.ch.remaining(c.msgs)))
	}
	if len(c.msgs) == 0 {
		c.next = max(c.next, c.ch.first())
	}
}

// Next returns up to max messages that are at hand, in order. It never blocks. Ready receives a value when there are
// more. After an error, the cursor reads again after a pause.
func (c *Cursor) Next(max int) ([]stores.Message, error) {
	if c.ch.Deleted() {
		return nil, ErrChannelDeleted
	}
	if max <= 0 {
		return nil, nil
	}
	c.skip()
	if len(c.msgs) == 0 {
		if err := c.finishRead(); err != nil {
			return nil, err
		}
		c.skip()
	}
	if len(c.msgs) > 0 {
		return c.take(max), nil
	}
	last := c.ch.stored.Info().Last
	if c.running != nil || c.next > last || c.pausing() {
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

// take returns messages that were read, as far as pacing allows, and starts to read ahead.
func (c *Cursor) take(max int) []stores.Message {
	n := min(max, len(c.msgs))
	if last := c.ch.stored.Info().Last; c.held && c.running == nil && c.next <= last && !c.ch.tail.reaches(c.next) {
		c.begin(last, 0)
	}
	if c.held {
		if c.pausing() {
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
	if c.consume(n); len(c.msgs) > 0 || c.running == nil {
		signal(c.ready)
	}
	return msgs
}

// consume removes the first n messages.
func (c *Cursor) consume(n int) {
	if n == 0 {
		return
	}
	if !c.held {
		c.next = c.msgs[n-1].Sequence + 1 // messages not taken are read again
	}
	if c.msgs = c.msgs[n:]; len(c.msgs) > 0 && c.held {
		return
	}
	c.msgs, c.granted = nil, 0
	if c.held {
		c.ch.log.reading.release()
		c.held = false
	}
	if r := c.running; r != nil {
		select {
		case <-r.done:
			signal(c.ready) // the read ended before these messages were taken
		default:
		}
	}
}

// begin starts to read messages up to last. window is the number that can be taken now; it bounds the read if there is
// no memory to hold more. With window 0, it reads ahead of messages at hand.
func (c *Cursor) begin(last uint64, window int) {
	second := window == 0
	held := c.ch.log.reading.reserve(second)
	if !held && second {
		return
	}
	maxMsgs, maxBytes := batchMsgs, batchBytes
	if !held {
		maxMsgs, maxBytes = min(maxMsgs, window), smallBytes
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &read{to: last, held: held, done: make(chan struct{}), cancel: cancel}
	c.running = r
	from := c.next
	go func() { // its cursor waits for it in finishRead or drop
		r.msgs, r.err = c.ch.readStored(ctx, from, last, maxMsgs, maxBytes)
		close(r.done)
		signal(c.ready)
	}()
}

// finishRead takes over the messages of a finished read.
func (c *Cursor) finishRead() error {
	r := c.running
	if r == nil {
		return nil
	}
	select {
	case <-r.done:
	default:
		return nil
	}
	r.cancel()
	c.running = nil
	if len(r.msgs) == 0 && r.held {
		c.ch.log.reading.release()
		r.held = false
	}
	switch {
	case r.err != nil:
		c.pause(readRetry)
		return r.err
	case len(r.msgs) == 0:
		c.next = max(c.next, r.to+1) // the last sequences are missing
		return nil
	}
	c.msgs, c.held = r.msgs, r.held
	if c.held {
		c.next = c.msgs[len(c.msgs)-1].Sequence + 1
	}
	return nil
}

// pause returns no messages for a while, then signals ready.
func (c *Cursor) pause(wait time.Duration) {
	c.until = time.Now().Add(wait)
	if c.timer == nil {
		c.timer = time.AfterFunc(wait, func() { signal(c.ready) })
		return
	}
	c.timer.Reset(wait)
}

// pausing reports whether a pause is still on.
func (c *Cursor) pausing() bool {
	if c.until.IsZero() {
		return false
	}
	if time.Now().Before(c.until) {
		return true
	}
	c.until = time.Time{}
	return false
}

// ReadTo returns up to max messages, none beyond sequence to. It waits for the database and returns none only if none
// are left; Position is then beyond to. After an error, the next call reads again.
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
			c.next = last + 1 // the last sequences are missing
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

// Release releases memory and keeps the position.
func (c *Cursor) Release() {
	c.drop()
	signal(c.ready)
}

// drop forgets the messages that were read and waits for the running read.
func (c *Cursor) drop() {
	if len(c.msgs) > 0 {
		c.next = c.msgs[0].Sequence
	}
	c.msgs, c.granted = nil, 0
	if c.held {
		c.ch.log.reading.release()
		c.held = false
	}
	if r := c.running; r != nil {
		r.cancel()
		<-r.done
		if c.running = nil; r.held {
			c.ch.log.reading.release()
		}
	}
}

// Close releases memory and stops watching.
func (c *Cursor) Close() {
	c.drop()
	c.stop()
	if c.timer != nil {
		c.timer.Stop()
	}
}
