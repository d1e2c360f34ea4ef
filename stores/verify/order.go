package verify

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
)

const (
	givenText = "SELECT position FROM StoreLock"
	// The last column is the last position up to this one at which time steps back: that event may have been erased.
	orderText = "SELECT m.position, m.id, m.seq, m.timestamp, (SELECT s.position FROM TimeSteps AS s WHERE s.position <= m.position ORDER BY s.position DESC LIMIT 1), m.tags FROM Messages AS m WHERE m.position IS NOT NULL ORDER BY m.position"
)

// howToNumber says what gives events their positions.
const howToNumber = "run nats-streaming-server migrate, or start a server, which gives one to those at the end of each channel"

// orderCheck is what is known about the order of events when it has been read up to a position.
type orderCheck struct {
	*check
	leased bool          // StoreLock has a row
	given  sql.NullInt64 // its position
	last   int64         // position
	time   int64         // of that event
	count  int64         // positions that events have
	tags   uint64        // of all events
	holes  *findings
	behind map[int64]place // the last event of each channel
}

// place is where an event is in its channel and in the order of all events.
type place struct{ sequence, position int64 }

// positions checks that the positions of events run from 1 without a hole, that times do not step back along them, except where
// TimeSteps says so, and that they follow the sequences of each channel.
func (c *check) positions(ctx context.Context) error {
	o := &orderCheck{check: c, holes: newFindings(c.Limit), behind: map[int64]place{}}
	if err := c.snapshot.Query(ctx, givenText, func(rows *sql.Rows) error {
		var err error
		o.leased, err = o.scanned(rows, "StoreLock", &o.given)
		return err
	}); err != nil {
		return err
	}
	if err := c.snapshot.Query(ctx, orderText, o.follow); err != nil {
		return err
	}
	o.finish()
	return c.eventTags(ctx, o.tags)
}

// follow checks an event against those before it.
func (o *orderCheck) follow(rows *sql.Rows) error {
	var position, channel, sequence, timestamp int64
	var step sql.NullInt64
	var list []byte
	ok, err := o.scanned(rows, "Messages", &position, &channel, &sequence, &timestamp, &step, &list)
	if err != nil || !ok {
		return err
	}
	key := o.keyOf(channel, sequence)
	bad := func(format string, args ...any) { o.findings.add("order", "Messages", key, format, args...) }
	before := o.behind[channel]
	switch {
	case position < 1:
		bad("position %d: positions begin at 1", position)
		return nil
	case position == o.last:
		bad("another event also has position %d", position)
		return nil
	case position > o.last+1:
		o.holes.add("order", "Messages", key, "no event has the positions from %d to %d before it", o.last+1, position-1)
	}
	stepped := step.Int64 > o.last
	if timestamp < o.time && !stepped {
		bad("its timestamp, %d, is earlier than that of the position before it, %d, and table TimeSteps does not name position %d", timestamp, o.time, position)
	}
	if sequence < before.sequence && step.Int64 <= before.position {
		bad("its position, %d, is above that of sequence %d, %d, and table TimeSteps names none of those between", position, before.sequence, before.position)
	}
	o.behind[channel] = place{max(sequence, before.sequence), position}
	o.last, o.time = position, timestamp
	if o.count++; o.count%stepRows == 0 {
		o.progress("positions", uint64(o.count), o.report.Events)
	}
	if tags, err := decodeTags(list); err == nil { // compare reports an error
		o.tags += uint64(len(tags))
	}
	return nil
}

// finish compares the last position with the lease row. It reports holes unless as many messages are missing, which another
// check reports.
func (o *orderCheck) finish() {
	bad := func(format string, args ...any) { o.findings.add("order", "StoreLock", "position", format, args...) }
	switch {
	case !o.leased, !o.given.Valid && o.report.Events == 0:
	case !o.given.Valid:
		bad("it is NULL: the events that were stored before have no positions yet; %s", howToNumber)
	case o.given.Int64 < 0:
		bad("it is %d: positions begin at 1", o.given.Int64)
	case o.given.Int64 < o.last:
		bad("it is %d, but an event has position %d; start a server, which mends it", o.given.Int64, o.last)
	case o.given.Int64 > o.last:
		o.holes.add("order", "StoreLock", "position", "no event has the positions from %d to %d, the last one given", o.last+1, o.given.Int64)
	}
	if max(o.given.Int64, o.last)-o.count > o.missing {
		o.findings.join(o.holes)
	}
}

func (c *check) keyOf(channel, sequence int64) string {
	if ch := c.channels[channel]; ch != nil {
		return ch.key(sequence)
	}
	return fmt.Sprintf("id %d, sequence %d", channel, sequence)
}

// decodeTags reads the column tags.
func decodeTags(text []byte) ([]string, error) {
	if text == nil {
		return nil, nil
	}
	var tags []string
	if err := json.Unmarshal(text, &tags); err != nil {
		return nil, err
	}
	if len(tags) == 0 {
		return nil, errors.New("it has no elements: NULL means without tags")
	}
	return tags, nil
}
