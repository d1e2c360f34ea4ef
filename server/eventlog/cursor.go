package eventlog

import (
	"context"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Cursor reads a channel forward: see reader.
type Cursor = reader[stores.Message, bySequence]

// reader reads a line forward: from the tail in memory, or ahead from the database, within the memory budget of all
// readers and paced for the sake of publishers. It passes places without messages with one read, then waits for the next
// commit. Only one goroutine uses a reader.
type reader[M any, K kind[M]] struct {
	log   *Log
	line  readable[M]
	kind  K
	ready chan struct{} // one slot
	stop  func()        // watching
	next  uint64        // next place to read, after msgs

	msgs    []M    // read from the database, not yet taken
	through uint64 // the line has nothing else up to here, once msgs are taken
	plan    string // of the last messages
	// held means that memory is reserved for msgs. Without it, messages not taken at once are dropped and read again.
	held    bool
	running *read[M] // the running read, or nil
	erased  uint64   // erasures before msgs were read

	weight  int         // of a message in ReadTo: see pacing.wait
	granted int         // messages of msgs that may be taken
	timer   *time.Timer // signals ready after a pause
	until   time.Time   // end of the pause, or zero
}

// read is a read that runs on its own goroutine.
type read[M any] struct {
	held   bool
	done   chan struct{} // closed once page and err are set
	page   page[M]
	err    error
	cancel context.CancelFunc
	stale  bool // events were erased after it began
}

// Cursor returns a cursor at sequence next, or at the first later message if that one is gone. The caller closes it.
func (c *Channel) Cursor(next uint64) *Cursor {
	return newReader[stores.Message, bySequence](c.log, c, next)
}

// RelayCursor is Cursor for a relay, whose messages cost more than those of others: see pacing.
func (c *Channel) RelayCursor(next uint64) *Cursor {
	r := c.Cursor(next)
	r.weight = relayWeight
	return r
}

func newReader[M any, K kind[M]](log *Log, line readable[M], next uint64) *reader[M, K] {
	r := &reader[M, K]{log: log, line: line, ready: make(chan struct{}, 1), next: max(next, 1), weight: 1, erased: log.erased.Load()}
	r.stop = line.Watch(func() { signal(r.ready) })
	signal(r.ready)
	return r
}

// Ready receives a value when Next may return messages or an error. It has one slot.
func (c *reader[M, K]) Ready() <-chan struct{} { return c.ready }

// Position returns the place of the next message, past known gaps.
func (c *reader[M, K]) Position() uint64 {
	c.skip()
	if len(c.msgs) > 0 {
		return c.kind.place(&c.msgs[0])
	}
	return c.next
}

// Plan says how the last messages were found, for people.
func (c *reader[M, K]) Plan() string { return c.plan }

// skip passes messages that the limits have removed.
func (c *reader[M, K]) skip() {
	if n := len(c.msgs); n > 0 {
		c.consume(n - len(c.line.remaining(c.msgs)))
	}
	if len(c.msgs) == 0 {
		c.next = max(c.next, c.line.first())
	}
}

// Next returns up to max messages that are at hand, in order. It never blocks. Ready receives a value when there are
// more. After an error, the cursor reads again after a pause.
func (c *reader[M, K]) Next(max int) ([]M, error) {
	if err := c.line.gone(); err != nil {
		return nil, err
	}
	if max <= 0 {
		return nil, nil
	}
	c.refresh()
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
	last := c.line.last()
	if c.running != nil || c.next > last || c.pausing() {
		return nil, nil
	}
	if recent, ok := c.line.recent(c.next, last, min(max, batchMsgs)); ok {
		c.next, c.plan = recent.through+1, recent.plan
		if c.next <= last {
			signal(c.ready)
		}
		return c.line.remaining(recent.msgs), nil
	}
	c.begin(last, max)
	return nil, nil
}

// refresh forgets messages that were read before an erasure: they are read again.
func (c *reader[M, K]) refresh() {
	now := c.log.erased.Load()
	if now == c.erased {
		return
	}
	c.erased = now
	if len(c.msgs) > 0 {
		c.next = c.kind.place(&c.msgs[0])
	}
	c.msgs, c.granted = nil, 0
	if c.held {
		c.log.reading.release()
		c.held = false
	}
	if c.running != nil {
		c.running.stale = true
	}
}

// take returns messages that were read, as far as pacing allows, and starts to read ahead.
func (c *reader[M, K]) take(max int) []M {
	n := min(max, len(c.msgs))
	if last := c.line.last(); c.held && c.running == nil && c.next <= last && !c.line.reaches(c.next) {
		c.begin(last, 0)
	}
	if c.held {
		if c.pausing() {
			return nil
		}
		if c.granted == 0 {
			var wait time.Duration
			if c.granted, wait = c.log.pace.grant(n); wait > 0 {
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
func (c *reader[M, K]) consume(n int) {
	if n == 0 {
		return
	}
	if !c.held {
		c.next = c.kind.place(&c.msgs[n-1]) + 1 // messages not taken are read again
		if n == len(c.msgs) {
			c.next = c.through + 1
		}
	}
	if c.msgs = c.msgs[n:]; len(c.msgs) > 0 && c.held {
		return
	}
	c.msgs, c.granted = nil, 0
	if c.held {
		c.log.reading.release()
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
func (c *reader[M, K]) begin(last uint64, window int) {
	second := window == 0
	held := c.log.reading.reserve(second)
	if !held && second {
		return
	}
	maxMsgs, maxBytes := batchMsgs, batchBytes
	if !held {
		maxMsgs, maxBytes = min(maxMsgs, window), smallBytes
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &read[M]{held: held, done: make(chan struct{}), cancel: cancel}
	c.running = r
	from := c.next
	go func() { // its cursor waits for it in finishRead or drop
		r.page, r.err = c.line.load(ctx, from, last, maxMsgs, maxBytes)
		close(r.done)
		signal(c.ready)
	}()
}

// finishRead takes over the messages of a finished read.
func (c *reader[M, K]) finishRead() error {
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
	if (len(r.page.msgs) == 0 || r.stale) && r.held {
		c.log.reading.release()
		r.held = false
	}
	switch {
	case r.stale:
		return nil
	case r.err != nil:
		c.pause(readRetry)
		return r.err
	case len(r.page.msgs) == 0:
		c.next, c.plan = max(c.next, r.page.through+1), r.page.plan
		return nil
	}
	c.msgs, c.through, c.plan, c.held = r.page.msgs, r.page.through, r.page.plan, r.held
	if c.held {
		c.next = c.through + 1
	}
	return nil
}

// pause returns no messages for a while, then signals ready.
func (c *reader[M, K]) pause(wait time.Duration) {
	c.until = time.Now().Add(wait)
	if c.timer == nil {
		c.timer = time.AfterFunc(wait, func() { signal(c.ready) })
		return
	}
	c.timer.Reset(wait)
}

// pausing reports whether a pause is still on.
func (c *reader[M, K]) pausing() bool {
	if c.until.IsZero() {
		return false
	}
	if time.Now().Before(c.until) {
		return true
	}
	c.until = time.Time{}
	return false
}

// ReadTo returns up to max messages, none beyond place to. It waits for the database. It may return none before, so that a
// long search can be reported; Position is beyond to once none are left. After an error, the next call reads again.
func (c *reader[M, K]) ReadTo(ctx context.Context, to uint64, max int) ([]M, error) {
	c.drop()
	for {
		if err := c.line.gone(); err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		c.skip()
		last := min(to, c.line.last())
		if c.next > last {
			return nil, nil
		}
		before := c.log.erased.Load()
		part, ok := c.line.recent(c.next, last, min(max, batchMsgs))
		if !ok {
			var err error
			if part, err = c.line.load(ctx, c.next, last, min(max, batchMsgs), batchBytes); err != nil {
				return nil, err
			}
			if err := c.log.pace.wait(ctx, len(part.msgs), c.weight); err != nil {
				return nil, err
			}
		}
		if c.log.erased.Load() != before {
			continue
		}
		c.next, c.plan = part.through+1, part.plan
		if msgs := c.line.remaining(part.msgs); len(msgs) > 0 || len(part.msgs) == 0 && c.next <= last {
			return msgs, nil
		}
	}
}

// Release releases memory and keeps the position.
func (c *reader[M, K]) Release() {
	c.drop()
	signal(c.ready)
}

// drop forgets the messages that were read and waits for the running read.
func (c *reader[M, K]) drop() {
	if len(c.msgs) > 0 {
		c.next = c.kind.place(&c.msgs[0])
	}
	c.msgs, c.granted = nil, 0
	if c.held {
		c.log.reading.release()
		c.held = false
	}
	if r := c.running; r != nil {
		r.cancel()
		<-r.done
		if c.running = nil; r.held {
			c.log.reading.release()
		}
	}
}

// Close releases memory and stops watching.
func (c *reader[M, K]) Close() {
	c.drop()
	c.stop()
	if c.timer != nil {
		c.timer.Stop()
	}
}
